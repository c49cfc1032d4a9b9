from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data.base import ImageData, Source
from autoencoders.data.batches import Batches, Drawn, Rows, Split, on_device
from autoencoders.data.pictures import read_picture
from autoencoders.data.store import cached_images, decode_files, listing
from autoencoders.parts import parts
from autoencoders.principal import principal_components
from autoencoders.types import UserError


def make(tmp_path, settings=(1,), memory=1e9, calls=None):
    def fill(images):
        calls is None or calls.append(1)
        images[:] = np.arange(20, dtype=np.uint8)[:, None, None, None]

    return cached_images("x", ["x", *settings], 20, (1, 4, 4), fill, cache=tmp_path / "cache", memory=memory)


def test_a_store_is_made_once_for_its_settings(tmp_path):
    calls = []
    first, again, other = (make(tmp_path, s, calls=calls) for s in ((1,), (1,), (2,)))
    assert len(calls) == 2
    assert torch.equal(first, again)
    assert first[:, 0, 0, 0].tolist() == other[:, 0, 0, 0].tolist() == list(range(20))


def test_an_interrupted_store_leaves_nothing(tmp_path):
    def fail(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_images("x", ["x", 1], 20, (1, 4, 4), fail, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(make(tmp_path)) == 20


def test_a_large_store_stays_on_disk_and_serves_the_same(tmp_path):
    small, large = make(tmp_path), make(tmp_path, memory=10)
    index = torch.tensor([3, 17, 5, 9, 11, 2])
    views = [Split(images, None).rows(index, memory=10) for images in (small, large)]
    assert isinstance(views[1].images, Rows)
    batches = [torch.cat([b.x for b in Batches(v, "val", batch_size=4)]) for v in views]
    assert torch.equal(*batches)
    assert batches[0][:, 0, 0, 0].mul(255).round().tolist() == index.tolist()
    for got, expected in zip(
        principal_components(views[1].images, 1), principal_components(small[index], 1), strict=True
    ):
        torch.testing.assert_close(got, expected)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's list of memory maps")
def test_a_large_store_is_mapped_read_only(tmp_path, recwarn):
    """A private writable map counts against the machine's memory: Linux refuses one of more bytes than there are."""
    images = make(tmp_path, memory=10)
    maps = [line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert maps == ["r--s"]
    assert images.sum() == 16 * sum(range(20))
    assert not recwarn


def test_rows_of_a_large_store_move_to_an_accelerator(tmp_path, monkeypatch):
    monkeypatch.setattr("autoencoders.parts.PART", 16 * 3)  # three rows at a time
    store, index = make(tmp_path, memory=10), torch.tensor([3, 17, 5, 9, 11, 2, 8])
    split = Split(store, torch.arange(20)).rows(index, memory=10)
    moved = on_device(split, torch.device("meta"))
    assert (moved.images.shape, moved.images.device.type, moved.labels.device.type) == (
        split.images.shape,
        "meta",
        "meta",
    )
    assert torch.equal(split.images.to(torch.device("cpu")), store[index])
    assert torch.equal(split.images[2], store[5])


def test_a_static_draw_of_a_large_store_is_not_kept_and_is_the_same(tmp_path):
    def data(memory):
        found = Large(name="x", cache=tmp_path, memory=memory, binarize="static", batch_size=2)
        found.setup()
        return found

    kept, drawn = data(1e9), data(10)
    assert (type(kept.images("train")), type(drawn.images("train"))) == (torch.Tensor, Drawn)
    assert kept.fingerprint() == drawn.fingerprint()
    assert torch.equal(kept.mean_image(), drawn.mean_image())
    assert 0 < kept.mean_image().mean() < 1
    for a, b in zip(kept.evaluation("val"), drawn.evaluation("val"), strict=True):
        assert torch.equal(a.target, b.target)


class Large(ImageData):
    """Twenty grey images from a cache."""

    def __init__(self, cache, **common):
        super().__init__(**common)
        self.cache = cache

    def read(self):
        return Source(Split(make(self.cache, memory=self.memory) * 12, None), None, None)


@pytest.mark.parametrize(
    ("count", "row", "most", "sizes"), [(10, 10, 4, [4, 4, 2]), (5, 40, 4, [2, 2, 1]), (2, 1000, 4, [1, 1])]
)
def test_parts_are_smaller_where_rows_are_larger(monkeypatch, count, row, most, sizes):
    monkeypatch.setattr("autoencoders.parts.PART", 99)
    found = list(parts(count, row, most))
    assert [part.stop - part.start for part in found] == sizes
    assert [i for part in found for i in range(count)[part]] == list(range(count))


def test_a_listing_changes_with_its_files(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    before = listing(tmp_path, ["a.png"])
    assert listing(tmp_path, ["a.png"]) == before
    file.write_bytes(b"three")
    assert listing(tmp_path, ["a.png"]) != before


def test_files_are_decoded_many_to_a_task(monkeypatch):
    tasks, submit = [], ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda pool, *a: tasks.append(a) or submit(pool, *a))
    images, files = np.zeros((100, 1, 1, 1), np.uint8), [str(i) for i in range(100)]
    decode_files(files, lambda name: np.full((1, 1, 1), int(name)), "x")(images)
    assert images.flatten().tolist() == list(range(100))
    assert len(tasks) < 10


# Pictures -----------------------------------------------------------------------------------------------------


def gradient():
    """(40, 60, 3): red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([columns * 4, rows * 6, np.full_like(rows, 77)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", ["png", "palette", "rgba", "bmp"])
def test_colour_is_read_right_whatever_the_file(tmp_path, kind):
    picture = Image.fromarray(gradient())
    expected = gradient().astype(float)
    if kind == "palette":
        picture = picture.quantize(256)
    if kind == "rgba":
        alpha = np.full((40, 60), 255, np.uint8)
        alpha[:, :30] = 0
        picture.putalpha(Image.fromarray(alpha))
        expected[:, :30] = 255  # transparency lies on white
    path = tmp_path / f"x.{'bmp' if kind == 'bmp' else 'png'}"
    picture.save(path)
    pixels = read_picture(path, (40, 60), colour=True)
    assert np.abs(pixels.transpose(1, 2, 0) - expected).mean() < (6 if kind == "palette" else 0.01)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    grey = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.png")
    pixels = read_picture(tmp_path / "x.png", (64, 64), colour=False)[0]
    np.testing.assert_allclose(pixels, grey / 257, atol=1)


def test_a_rotated_photo_stands_upright(tmp_path):
    picture = Image.fromarray(gradient())
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "x.png", exif=exif)
    pixels = read_picture(tmp_path / "x.png", (60, 40), colour=True)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.rot90(gradient(), -1))


def test_crop_keeps_proportions_and_stretch_does_not(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    cropped = read_picture(tmp_path / "x.png", (40, 40), colour=True)
    np.testing.assert_array_equal(cropped.transpose(1, 2, 0), gradient()[:, 10:50])
    boxed = read_picture(tmp_path / "x.png", (20, 20), colour=True, box=20)
    np.testing.assert_array_equal(boxed.transpose(1, 2, 0), gradient()[10:30, 20:40])
    stretched = read_picture(tmp_path / "x.png", (40, 40), colour=True, fit="stretch")
    assert stretched[0].max() > 225
    assert stretched[0].min() < 10


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.png cannot be read as a picture"):
        cached_images(
            "x",
            [],
            1,
            (1, 8, 8),
            decode_files([tmp_path / "x.png"], lambda f: read_picture(f, (8, 8), colour=False), "x"),
            cache=tmp_path / "cache",
        )
