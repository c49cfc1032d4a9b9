import errno
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from autoencoders.data.image_io import decode_files, read_all, read_image
from autoencoders.data.white_point import UnknownWhiteError
from autoencoders.types import UserError


def test_a_task_decodes_many_files(monkeypatch):
    tasks, submit = [], ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda pool, *a: tasks.append(a) or submit(pool, *a))
    images, files = np.zeros((100, 1, 1, 1), np.uint8), [str(i) for i in range(100)]
    decode_files(files, lambda name: np.full((1, 1, 1), int(name)), "x")(images)
    assert images.flatten().tolist() == list(range(100))
    assert len(tasks) < 10


def gradient():
    """Return an image (40, 60, 3) whose red increases to the right and whose green increases downwards."""
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([columns * 4, rows * 6, np.full_like(rows, 77)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", ["png", "palette", "rgba", "bmp"])
def test_colors_are_read_from_every_kind_of_file(tmp_path, kind):
    image = Image.fromarray(gradient())
    expected = gradient().astype(float)
    if kind == "palette":
        image = image.quantize(256)
    if kind == "rgba":
        alpha = np.full((40, 60), 255, np.uint8)
        alpha[:, :30] = 0
        image.putalpha(Image.fromarray(alpha))
        expected[:, :30] = 255  # transparent pixels become white
    path = tmp_path / f"x.{'bmp' if kind == 'bmp' else 'png'}"
    image.save(path)
    pixels = read_image(path, (40, 60), color=True)
    assert np.abs(pixels.transpose(1, 2, 0) - expected).mean() < (6 if kind == "palette" else 0.01)


@pytest.mark.parametrize(("depth", "step"), [(8, 257), (16, 1)])
def test_sixteen_bit_images_are_scaled_and_not_clipped(tmp_path, depth, step):
    gray = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "x.png")
    with pytest.raises(UnknownWhiteError):
        read_image(tmp_path / "x.png", (64, 64), color=False)
    pixels = read_image(tmp_path / "x.png", (64, 64), color=True, white=65535, depth=depth)
    for channel in pixels:
        np.testing.assert_allclose(channel, gray / step, atol=0.5 if step > 1 else 0)


def test_a_rotated_photo_is_turned_upright(tmp_path):
    image = Image.fromarray(gradient())
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    image.save(tmp_path / "x.png", exif=exif)
    pixels = read_image(tmp_path / "x.png", (60, 40), color=True)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.rot90(gradient(), -1))


def test_an_image_of_the_requested_size_is_not_copied(tmp_path, monkeypatch):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "copy", lambda image: pytest.fail("the image was copied"))
    pixels = read_image(str(tmp_path / "x.png"), (40, 60), color=True)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), gradient())


def test_crop_keeps_the_aspect_ratio_and_stretch_does_not(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    cropped = read_image(tmp_path / "x.png", (40, 40), color=True)
    np.testing.assert_array_equal(cropped.transpose(1, 2, 0), gradient()[:, 10:50])
    boxed = read_image(tmp_path / "x.png", (20, 20), color=True, box=20)
    np.testing.assert_array_equal(boxed.transpose(1, 2, 0), gradient()[10:30, 20:40])
    stretched = read_image(tmp_path / "x.png", (40, 40), color=True, fit="stretch")
    assert stretched[0].max() > 225
    assert stretched[0].min() < 10


def test_pad_shows_the_complete_image_in_the_mean_color_of_its_edge(tmp_path):
    image = np.full((20, 40, 3), 100, np.uint8)
    image[0, :, 0], image[5:15, 5:35] = 255, 7
    Image.fromarray(image).save(tmp_path / "x.png")
    padded = read_image(tmp_path / "x.png", (40, 40), color=True, fit="pad")
    np.testing.assert_array_equal(padded[:, 10:30].transpose(1, 2, 0), image)
    edges = image[0].sum(0) + image[-1].sum(0) + image[1:-1, 0].sum(0) + image[1:-1, -1].sum(0, dtype=float)
    mean = np.round(edges / (2 * 40 + 2 * 18))
    for row in (0, 9, 30, 39):
        np.testing.assert_array_equal(padded[:, row], np.repeat(mean[:, None], 40, 1))


def test_images_that_are_read_together_have_one_white_point(tmp_path):
    for name, value in (("dark", 200), ("bright", 4000)):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"{name}.png")
    files = [tmp_path / "dark.png", tmp_path / "bright.png"]
    pixels = read_all(files, lambda file, white=None: read_image(file, (8, 8), color=False, white=white))
    assert pixels[:, 0, 0, 0].tolist() == [round(200 / 4095 * 255), round(4000 / 4095 * 255)]
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "half.tif")
    pixels = read_all([tmp_path / "half.tif"], lambda f, white=None: read_image(f, (8, 8), color=True, white=white))
    assert np.unique(pixels).tolist() == [128]


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
def test_every_mode_is_converted_to_gray_or_color(tmp_path, mode, value, color, expected):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (8, 8), value).save(path)
    assert read_image(path, (8, 8), color=color)[:, 4, 4].tolist() == expected


@pytest.fixture
def broken(tmp_path):
    """Return a folder with one valid image and one unreadable file for each reason in `REASONS`."""
    rng = np.random.default_rng(0)
    good = tmp_path / "good.png"
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(good)
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "cut.jpg")
    content = good.read_bytes()
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:700])
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"not an image")
    (tmp_path / "header.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    bomb = bytearray(content)
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2  # width and height: 900 million pixels
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bomb)
    return tmp_path


REASONS = {
    "bomb.png": "more than 178,956,970 pixels",
    "cut.jpg": "truncated",
    "cut.png": "truncated",
    "empty.png": "not an image format that Pillow supports",
    "header.png": "not an image format that Pillow supports",
    "nan.tif": "NaN or infinity",
    "text.png": "not an image format that Pillow supports",
}


def test_unreadable_files_are_reported_with_a_reason_each(broken):
    files = sorted(file for file in broken.iterdir() if file.suffix)
    contents = decode_files(files, lambda f: read_image(f, (8, 8), color=True), "x")(np.zeros((8, 3, 8, 8), np.uint8))
    reasons = {files[row].name: reason for row, reason in contents.unreadable.items()}
    assert reasons.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in reasons[name], name
        assert str(broken) not in reasons[name]
    with pytest.raises(
        UserError, match=rf"^7 of 8 image files cannot be read: {broken}/bomb\.png \(.*and 4 more\. Remove"
    ):
        read_all(files, lambda f: read_image(f, (8, 8), color=True))


def test_a_disk_error_is_not_reported_as_an_unreadable_image(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("autoencoders.data.image_io.Image.open", refuse)
    with pytest.raises(UserError, match=r"x\.png cannot be read \(Input/output error\)"):
        decode_files([tmp_path / "x.png"], lambda f: read_image(f, (8, 8), color=True), "x")(np.zeros((1, 3, 8, 8)))
