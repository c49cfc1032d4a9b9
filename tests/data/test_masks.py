import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data.folder import ImageFolderDataModule
from autoencoders.data.image_io import UnreadableImageError, read_image
from autoencoders.data.masks import match_masks, read_mask
from autoencoders.types import UserError


def save(values, path, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(values, dtype=np.uint8))
    (picture if mode is None else picture.convert(mode)).save(path, **options)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (40, 40)])
def test_masks_have_the_geometry_of_images(tmp_path, fit, shape):
    values = np.zeros(shape)
    values[12:28, 16:24] = 255
    save(values, tmp_path / "white.png")
    image = read_image(tmp_path / "white.png", (20, 20), color=False, fit=fit)[0]
    mask = read_mask(tmp_path / "white.png", (20, 20), fit)
    assert mask.dtype == bool
    clear = (image < 10) | (image > 245)  # not blurred by the interpolation of the image
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(mask[clear], image[clear] > 127)
    assert abs(mask.sum() - (image > 127).sum()) <= 8


def test_the_data_module_reads_masks_as_its_images(tmp_path):
    for i in range(30):
        save(np.full((20, 30, 3), 8 * i), tmp_path / f"photos/{i}.png")
    values = np.zeros((20, 30))
    values[:, :9] = 255
    save(values, tmp_path / "mask.png")
    for fit, white in (("crop", 2 * 10), ("pad", 3 * 7), ("stretch", 3 * 10)):  # columns x rows
        folder, cache = str(tmp_path / "photos"), str(tmp_path / "cache")
        data = ImageFolderDataModule(folder, size=10, fit=fit, cache=cache, batch_size=8, test=0.2)
        data.setup()
        masks = data.read_mask_files([tmp_path / "mask.png"])
        assert masks.shape == (1, 10, 10)
        assert int(masks.sum()) == white


def test_white_is_255_or_1_in_any_mode(tmp_path):
    values = np.zeros((10, 10))
    values[2:5, 3:7] = 1
    expected = values.astype(bool)
    save(values, tmp_path / "ones.png")
    save(values * 255, tmp_path / "white.png")
    save(values * 255, tmp_path / "bits.png", "1")
    save(values * 255, tmp_path / "color.png", "RGB")
    palette = Image.fromarray(values.astype(np.uint8))
    palette.putpalette([0, 0, 0, 90, 0, 0])
    palette.save(tmp_path / "palette.png")
    for name in ("ones", "white", "bits", "color", "palette"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png", (10, 10)), expected)
    save(values * 3, tmp_path / "labels.png")
    with pytest.raises(UserError, match=r"must be black and white .* got values up to 3 in .*labels.png"):
        read_mask(tmp_path / "labels.png", (10, 10))
    (tmp_path / "broken.png").write_bytes(b"no mask")
    with pytest.raises(UnreadableImageError):
        read_mask(tmp_path / "broken.png", (10, 10))


def test_masks_are_found_by_name(tmp_path):
    for name in ("scratch/000_mask.png", "scratch/001.bmp", "dent/000_mask.png"):
        save(np.zeros((8, 8)), tmp_path / name)
    images = ["dent/000.png", "good/000.png", "scratch/000.jpg", "scratch/001.png"]
    found = match_masks(images, tmp_path)
    expected = ["dent/000_mask.png", None, "scratch/000_mask.png", "scratch/001.bmp"]
    assert found == [None if name is None else tmp_path / name for name in expected]


@pytest.mark.parametrize(
    ("images", "masks", "sentence"),
    [
        (["a.png", "b.png"], ["a.png"], "1 of 2 images have none, such as b.png. Add a black mask"),
        (["a.png"], ["a.png", "c_mask.png"], "Each mask must have the name of an image, but 1 of the masks"),
        (["a.png"], ["a.png", "a_mask.png"], "must have one mask, got a.png and a_mask.png"),
        (["a.png", "a.jpg"], ["a.png"], "the names of two images must differ without their suffixes"),
    ],
)
def test_missing_and_misnamed_masks_are_refused(tmp_path, images, masks, sentence):
    for name in masks:
        save(np.zeros((8, 8)), tmp_path / name)
    with pytest.raises(UserError) as refused:
        match_masks(images, tmp_path)
    assert sentence in str(refused.value)
    with pytest.raises(UserError, match="masks must be a folder of mask files, got"):
        match_masks(images, tmp_path / "none")


def test_masks_are_bool_tensors(digits, tmp_path):
    save(np.eye(8) * 255, tmp_path / "eye.png")
    assert digits.read_mask_files([tmp_path / "eye.png"]).dtype == torch.bool
