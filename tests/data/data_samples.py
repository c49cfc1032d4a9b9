"""Small datasets with known content."""

import gzip
import struct
import zlib

import numpy as np
import torch
from PIL import Image

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.folder import ImageFolderDataModule
from autoencoders.data.image_cache import cached_images
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Context


class CountedDataModule(ImageDataModule):
    """200 images whose pixels are equal to the image index, which shows the images that are in a split."""

    def read(self):
        images = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(200, 1, 8, 8).contiguous()
        return Source(Split(images, torch.arange(200) % 10), None, Context("classes", tuple("0123456789")))


def prepare_counted(**options):
    """Return a prepared `CountedDataModule`."""
    data = CountedDataModule(name="counted", **{"batch_size": 16, **options})
    data.setup()
    return data


def cache_counted(folder, settings=(1,), memory=1e9, calls=None):
    """Return 20 cached images (1, 4, 4) whose pixels are equal to the image index.

    Each time the cache is built, 1 is appended to `calls`.
    """

    def fill(images):
        if calls is not None:
            calls.append(1)
        images[:] = np.arange(20, dtype=np.uint8)[:, None, None, None]

    return cached_images("x", ["x", *settings], 20, (1, 4, 4), fill, cache=folder / "cache", memory=memory).images


def write_idx(folder, compressed=False):
    """Write the four idx files of a small random dataset in the format of MNIST."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        images = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, 60, dtype=np.uint8)
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            content = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
            (folder / (name + ".gz" * compressed)).write_bytes(gzip.compress(content) if compressed else content)


def paint(path, value, size=(12, 10)):
    """Write an image file with 12 x 10 pixels that are all equal to `value`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def prepared(root, tmp_path, **options):
    """Return the data module of a folder, after `setup`."""
    options = {"size": 8, "batch_size": 2, "split": "alphabetical", "validation": 0.2, "test": 0.2} | options
    data = ImageFolderDataModule(name="folder", path=str(root), cache=str(tmp_path / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


def values(data, split):
    """Return the pixel value of each image of a split."""
    return data.images(split)[:, 0, 0, 0].tolist()


def write_16_bit_colors(path, pixels):
    """Write pixels (H, W, 3) to a PNG, TIFF or PPM file with 16 bits per color channel, which Pillow cannot write."""
    height, width, _ = pixels.shape
    if path.suffix == ".png":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        content = b"\x89PNG\r\n\x1a\n"
        for name, data in chunks:
            content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    elif path.suffix == ".tif":
        data, entries_end = pixels.astype("<u2").tobytes(), 8 + 2 + 10 * 12 + 4
        entries = [
            (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, entries_end), (259, 3, 1, 1), (262, 3, 1, 2),
            (273, 4, 1, entries_end + 6), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
        ]  # fmt: skip
        content = b"II*\0" + struct.pack("<IH", 8, 10)
        content += b"".join(struct.pack("<HHII", *entry) for entry in entries)
        content += struct.pack("<I", 0) + struct.pack("<3H", 16, 16, 16) + data
    else:
        content = f"P6 {width} {height} 65535\n".encode() + pixels.astype(">u2").tobytes()
    path.write_bytes(content)
