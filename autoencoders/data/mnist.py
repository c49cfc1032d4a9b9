"""MNIST, downloaded from the mirrors and verified with the checksums that torchvision lists."""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.download import decompress, fetch, matches_checksum
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Context, UserError

IDX_MAGIC = re.compile(rb"\0\0\x08[\x01\x03]")
"""Pattern of the first four bytes in an idx file of uint8 values.

The last byte is the number of dimensions: 1 for labels, 3 for images.
"""


class MNISTDataModule(ImageDataModule):
    """Gray 28 x 28 images of handwritten digits: 60,000 for training and 10,000 for test.

    Complete files in `<root>/MNIST/raw/` are used. Missing and damaged files are downloaded to this folder and verified
    with the checksums from torchvision. The official test split is kept. The validation images are taken from the
    training images.

    Source: LeCun, Cortes and Burges, 1998.

    Args:
        root: see `ImageDataModule`.
        validation: number of validation images, or their fraction below 1.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "mnist"
    dataset: ClassVar[str] = "MNIST"
    """Name of the dataset class in torchvision, and of the folder in `root`."""
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def __init__(self, root: str | None = None, *, validation: float = 5000, **common: Any) -> None:
        super().__init__(root, validation=validation, **common)

    @property
    def folder(self) -> Path:
        """Folder with the four idx files: images and labels for training and test."""
        return self.root / self.dataset / "raw"

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return str(self.folder)

    def _torchvision_dataset(self) -> Any:
        """Return the dataset class in torchvision. It lists the files with their checksums and reads them."""
        import torchvision  # type: ignore[import-untyped]  # torchvision has no type information

        return getattr(torchvision.datasets, self.dataset)

    def prepare_data(self) -> None:
        """Download the idx files that are missing or damaged."""
        if self.is_loaded:  # Lightning calls this method again before the test, when the files may no longer exist
            return
        published = self._torchvision_dataset()
        for name, md5 in published.resources:
            file, archive = self.folder / name.removesuffix(".gz"), self.folder / name
            damage = find_idx_damage(file)
            if damage is None:
                continue
            if file.is_file():
                print(f"autoencoders: {file} is replaced because it is damaged (it {damage}).", file=sys.stderr)
            if not matches_checksum(archive, f"md5:{md5}"):
                self._fetch([mirror + name for mirror in published.mirrors], archive, f"md5:{md5}", damage)
            decompress(archive, file)

    def _fetch(self, addresses: list[str], archive: Path, checksum: str, damage: str) -> None:
        try:
            fetch(addresses, archive, checksum)
        except UserError as error:
            raise UserError(
                f"data={self.name} needs the four {self.dataset} files in {self.folder}, but {archive.stem} {damage} "
                f"and the download failed ({error}). Connect to the network, copy the four files into this folder, or "
                f"set data.root (or AUTOENCODERS_DATA) to the folder that contains {self.dataset}/raw/ with the files."
            ) from error

    def _open(self, train: bool) -> Split:
        dataset = self._torchvision_dataset()(self.root, train=train)
        return Split(dataset.data[:, None].contiguous(), dataset.targets.long())

    def read(self) -> Source:
        """Read the official training and test images with their classes."""
        return Source(self._open(train=True), self._open(train=False), Context("classes", self.classes))


def find_idx_damage(file: Path) -> str | None:
    """Check the header and size of an idx file. Return what is wrong with the file, or None if it is complete."""
    if not file.is_file():
        return "is missing"
    with file.open("rb") as stream:
        start = stream.read(4)
        if not IDX_MAGIC.fullmatch(start):
            return "is not an idx file"
        dimensions = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
    expected = 4 + 4 * len(dimensions) + math.prod(dimensions)
    size = file.stat().st_size
    return None if size == expected else f"has {size:,} bytes, expected {expected:,}"
