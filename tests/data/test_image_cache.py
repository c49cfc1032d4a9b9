import errno
import json
import os
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data import image_cache
from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.image_cache import cached_images, listing
from autoencoders.data.image_io import decode_files, read_all, read_picture
from autoencoders.data.loader import Batches, Drawn, Rows, Split, on_device
from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pca import principal_components


def make(tmp_path, settings=(1,), memory=1e9, calls=None):
    def fill(images):
        calls is None or calls.append(1)
        images[:] = np.arange(20, dtype=np.uint8)[:, None, None, None]

    return cached_images("x", ["x", *settings], 20, (1, 4, 4), fill, cache=tmp_path / "cache", memory=memory).images


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
    monkeypatch.setattr("autoencoders.utils.chunks.CHUNK_BYTES", 16 * 3)  # three rows at a time
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


class Large(ImageDataModule):
    """Twenty gray images from a cache."""

    def __init__(self, cache, **common):
        super().__init__(**common)
        self.cache = cache

    def read(self):
        return Source(Split(make(self.cache, memory=self.memory) * 12, None), None, None)


@pytest.mark.parametrize(
    ("count", "row", "most", "sizes"), [(10, 10, 4, [4, 4, 2]), (5, 40, 4, [2, 2, 1]), (2, 1000, 4, [1, 1])]
)
def test_parts_are_smaller_where_rows_are_larger(monkeypatch, count, row, most, sizes):
    monkeypatch.setattr("autoencoders.utils.chunks.CHUNK_BYTES", 99)
    found = list(chunk_slices(count, row, most))
    assert [part.stop - part.start for part in found] == sizes
    assert [i for part in found for i in range(count)[part]] == list(range(count))


def cut(folder):
    file = folder / "images.npy"
    file.write_bytes(file.read_bytes()[:300])


def older(folder):
    (folder / "store.json").write_text(json.dumps({"version": image_cache.VERSION - 1, "unreadable": {}}))


DAMAGE = {
    "cut": (cut, "."),
    "empty": (lambda folder: (folder / "images.npy").write_bytes(b""), "No data left in file"),
    "no images": (lambda folder: (folder / "images.npy").unlink(), "No such file"),
    "no card": (lambda folder: (folder / "store.json").unlink(), "No such file"),
    "half a card": (lambda folder: (folder / "store.json").write_text('{"ver'), "Unterminated"),
    "older": (older, f"of version {image_cache.VERSION - 1}, and this is version {image_cache.VERSION}"),
    "others": (lambda folder: np.save(folder / "images.npy", np.zeros((3, 1, 4, 4), np.uint8)), "was expected"),
}


@pytest.mark.parametrize("memory", [1e9, 10])
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_or_older_store_is_named_and_made_again(tmp_path, capsys, how, memory):
    calls = []
    make(tmp_path, calls=calls, memory=memory)
    (folder,) = (tmp_path / "cache").iterdir()
    harm, told = DAMAGE[how]
    harm(folder)
    assert make(tmp_path, calls=calls, memory=memory)[:, 0, 0, 0].tolist() == list(range(20))
    said = capsys.readouterr().err
    assert said.startswith(f"autoencoders: the cache {folder} is not used (")
    assert told in said
    assert said.count("\n") == 1
    make(tmp_path, calls=calls, memory=memory)
    assert len(calls) == 2
    assert capsys.readouterr().err == ""
    assert list((tmp_path / "cache").iterdir()) == [folder]


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("memory", [1e9, 10])
def test_two_processes_that_build_one_store_at_once_both_have_it(tmp_path, memory, damaged):
    if damaged:
        make(tmp_path)
        cut(next((tmp_path / "cache").iterdir()))
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    def fill(images):
        (meeting / str(os.getpid())).touch()
        while len(list(meeting.iterdir())) < 2:  # both are building
            time.sleep(0.005)
        images[:] = np.arange(20, dtype=np.uint8)[:, None, None, None]

    children = []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                images = cached_images("x", ["x", 1], 20, (1, 4, 4), fill, cache=tmp_path / "cache", memory=memory)[0]
                time.sleep(0.05)  # the other has put its own there, or thrown it away
                os._exit(images[:, 0, 0, 0].tolist() != list(range(20)))
            finally:
                os._exit(2)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    calls = []
    assert len(make(tmp_path, calls=calls)) == 20
    assert calls == []
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_a_killed_process_left_long_ago_goes(tmp_path):
    make(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    left, recent = (folder.with_name(f".{folder.name}-{name}") for name in ("left", "recent"))
    for partial in (left, recent):
        partial.mkdir()
        (partial / "images.npy").write_bytes(b"half")
    for path in (left / "images.npy", left):
        os.utime(path, (0, 0))
    older(folder)
    make(tmp_path)
    assert sorted((tmp_path / "cache").iterdir()) == [recent, folder]


def test_a_full_disk_leaves_no_half_store(tmp_path):
    """A mapped file on a disk that is full kills its process: room is taken first."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(UserError) as raised:
            cached_images("x", [], 2000, (1, 8, 8), lambda images: pytest.fail("filled"), cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(raised.value) == (
        f"{tmp_path}/cache could not be written (File too large). Make room there, or choose another disk with "
        "data.cache. The cache of decoded images takes 0.00013 GB."
    )
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("refusal", ["a file in the way", "no permission"])
def test_a_cache_that_cannot_be_written_names_the_option(tmp_path, monkeypatch, refusal):
    cache = tmp_path / "cache"
    if refusal == "a file in the way":
        cache.write_text("no folder")
    else:

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied", str(cache))

        monkeypatch.setattr(image_cache.tempfile, "mkdtemp", refuse)
    with pytest.raises(UserError, match=r"cache cannot be used \(.*\)\. Choose a place .* with data\.cache\."):
        make(tmp_path)


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
def test_color_is_read_right_whatever_the_file(tmp_path, kind):
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
    pixels = read_picture(path, (40, 60), color=True)
    assert np.abs(pixels.transpose(1, 2, 0) - expected).mean() < (6 if kind == "palette" else 0.01)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    gray = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "x.png")
    pixels = read_picture(tmp_path / "x.png", (64, 64), color=False)[0]
    np.testing.assert_allclose(pixels, gray / 257, atol=1)


def test_a_rotated_photo_stands_upright(tmp_path):
    picture = Image.fromarray(gradient())
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "x.png", exif=exif)
    pixels = read_picture(tmp_path / "x.png", (60, 40), color=True)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.rot90(gradient(), -1))


def test_crop_keeps_proportions_and_stretch_does_not(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    cropped = read_picture(tmp_path / "x.png", (40, 40), color=True)
    np.testing.assert_array_equal(cropped.transpose(1, 2, 0), gradient()[:, 10:50])
    boxed = read_picture(tmp_path / "x.png", (20, 20), color=True, box=20)
    np.testing.assert_array_equal(boxed.transpose(1, 2, 0), gradient()[10:30, 20:40])
    stretched = read_picture(tmp_path / "x.png", (40, 40), color=True, fit="stretch")
    assert stretched[0].max() > 225
    assert stretched[0].min() < 10


def test_dark_deep_gray_stays_dark_and_decimal_gray_is_seen(tmp_path):
    Image.fromarray(np.full((8, 8), 200, np.uint16)).save(tmp_path / "dark.png")
    assert read_picture(tmp_path / "dark.png", (8, 8), color=False).max() == 1  # 200 of 65,535
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "half.tif")
    assert set(read_picture(tmp_path / "half.tif", (8, 8), color=True).ravel()) == {128}


@pytest.mark.parametrize(
    ("mode", "value", "color", "expected"),
    [
        ("CMYK", (0, 255, 255, 0), True, [255, 0, 0]),
        ("L", 100, True, [100, 100, 100]),
        ("1", 1, True, [255, 255, 255]),
        ("LA", (100, 255), False, [100]),
        ("RGBA", (255, 0, 0, 255), True, [255, 0, 0]),
        ("RGB", (255, 255, 255), False, [255]),
    ],
)
def test_every_mode_is_made_gray_or_color(tmp_path, mode, value, color, expected):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (8, 8), value).save(path)
    assert read_picture(path, (8, 8), color=color)[:, 4, 4].tolist() == expected


@pytest.fixture
def broken(tmp_path):
    """A folder of one good picture and one of every kind of bad file, in the order of their names."""
    rng = np.random.default_rng(0)
    good = tmp_path / "good.png"
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(good)
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "cut.jpg")
    whole = good.read_bytes()
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:700])
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"no picture")
    (tmp_path / "header.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    bomb = bytearray(whole)
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2  # width and height: 900 million pixels
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bomb)
    return tmp_path


REASONS = {
    "bomb.png": "of more than 178,956,970 pixels",
    "cut.jpg": "truncated",
    "cut.png": "truncated",
    "empty.png": "no image format that Pillow knows",
    "header.png": "no image format that Pillow knows",
    "nan.tif": "NaN or infinity",
    "text.png": "no image format that Pillow knows",
}


def test_files_that_are_no_pictures_are_found_each_with_its_reason(broken):
    files = sorted(file for file in broken.iterdir() if file.suffix)
    rows = decode_files(files, lambda f: read_picture(f, (8, 8), color=True), "x")(np.zeros((8, 3, 8, 8), np.uint8))
    found = {files[row].name: why for row, why in rows.items()}
    assert found.keys() == REASONS.keys()
    for name, why in REASONS.items():
        assert why in found[name], name
        assert str(broken) not in found[name]
    with pytest.raises(
        UserError, match=rf"^7 of 8 pictures cannot be read: {broken}/bomb\.png \(.*and 4 more\. Remove"
    ):
        read_all(files, lambda f: read_picture(f, (8, 8), color=True))


def test_a_file_that_the_disk_refuses_is_not_taken_for_a_broken_one(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("autoencoders.data.image_io.Image.open", refuse)
    with pytest.raises(UserError, match=r"x\.png cannot be read \(Input/output error\)"):
        decode_files([tmp_path / "x.png"], lambda f: read_picture(f, (8, 8), color=True), "x")(np.zeros((1, 3, 8, 8)))
