import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data import array_images
from autoencoders.data.array_layout import find_layout
from autoencoders.data.arrays import ArraysDataModule
from autoencoders.types import UserError

RNG = np.random.default_rng(0)


def prepared(path, tmp_path, **options):
    options = {"batch_size": 2, "split": "alphabetical", "validation": 0.2, "test": 0.2} | options
    data = ArraysDataModule(str(path), cache=str(tmp_path / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


def pixels(data):
    return torch.cat([data.images(split)[:] for split in ("train", "val", "test")]).numpy()


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def images(*shape, dtype=np.uint8, high=256):
    return RNG.integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((10, 9, 12), (0, 1, 2)), ((10, 3, 9, 12), None), ((10, 9, 12, 3), (0, 3, 1, 2)), ((10, 9, 12, 1), (0, 3, 1, 2))],
)
def test_every_layout_is_read_as_channels_height_width(tmp_path, shape, axes):
    array = images(*shape)
    data = prepared(save(tmp_path / "x.npz", images=array), tmp_path)
    expected = array[:, None] if array.ndim == 3 else array if axes is None else array.transpose(axes)
    np.testing.assert_array_equal(pixels(data), expected)
    assert data.context is None


@pytest.mark.parametrize(("shape", "given"), [((9, 3, 3, 3), "both"), ((9, 28, 28, 28), "neither")])
def test_an_ambiguous_layout_is_refused_and_can_be_set(tmp_path, shape, given):
    with pytest.raises(UserError, match=rf"because {given} .* may be the channels\. Set data\.layout=NCHW or data\.la"):
        find_layout(shape)
    assert find_layout(shape, "NHWC") == "NHWC"
    with pytest.raises(UserError, match=r"data\.layout must be a layout of 4 dimensions"):
        find_layout(shape, "NHW")
    path = save(tmp_path / "x.npz", images=images(10, 5, 8, 3))
    with pytest.raises(UserError, match=r"between 8 and 1024 pixels, got 5 x 8 \(height x width\)\. Set data\.size"):
        prepared(path, tmp_path)
    assert prepared(path, tmp_path, layout="NCHW", size=[8, 9]).shape == (5, 8, 9)
    assert prepared(path, tmp_path, size=8).shape == (3, 8, 8)
    with pytest.raises(UserError, match="Images must be an array with 3 or 4 dimensions"):
        find_layout((10, 784))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(640, dtype=np.float32) / 639, lambda a: a * 255),
        (np.arange(640, dtype=np.float64) / 64, lambda a: a * 64 / 639 * 255),  # white is the maximum
        (np.arange(640, dtype=np.uint16), lambda a: a / 1023 * 255),  # 10 bits
        (np.arange(640, dtype=np.int64) * 90, lambda a: a / 65535 * 255),
        (np.arange(640) % 3 == 0, lambda a: a * 255.0),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_values_of_every_type_are_scaled_by_one_white_point(tmp_path, array, expected, depth):
    path = save(tmp_path / "x.npz", images=array.reshape(10, 8, 8))
    data = prepared(path, tmp_path, depth=depth)
    wanted = (expected(array.astype(np.float64)) * (257 if depth == 16 else 1)).reshape(10, 1, 8, 8)
    np.testing.assert_allclose(pixels(data).astype(float), wanted, atol=0.5001)
    assert sum("White is" in note for note in data.notes) == (array.dtype != bool)


def test_frames_of_different_brightness_in_two_splits_have_one_white_point(tmp_path):
    dark, bright = np.full((10, 8, 8), 0.5), np.full((4, 8, 8), 2.0)
    path = save(tmp_path / "x.npz", train_images=dark, test_images=bright)
    data = prepared(path, tmp_path)
    assert data.images("train").unique().tolist() == [64]
    assert data.images("test").unique().tolist() == [255]
    assert "White is 2 (for all images; data.white sets another value)." in " ".join(data.notes)
    data = prepared(path, tmp_path, white=1)
    assert data.images("train").unique().tolist() == [128]
    assert "White is 1 (set by data.white). Values below 0 and above 1 are clipped." in " ".join(data.notes)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((10, 8, 8), -0.5), r"must be >= 0, because 0 is black, got -0\.5.*set data\.white"),
        (np.full((10, 8, 8), np.nan), "must be a finite number, but image 0 contains NaN"),
        (np.full((10, 8, 8), np.inf), "must be a finite number, but image 0 contains NaN or infinity"),
        (np.ones((10, 8, 8), np.uint8), r"so that white may be 1 or 255\. Set data\.white=1 or data\.white=255"),
        (np.full((10, 8, 8), "a"), "must be a picture or an array of numbers"),
        (np.full((10, 8, 8), None), "contains Python objects, which are not read because loading them may execute"),
    ],
)
def test_values_that_are_not_pixels_are_refused(tmp_path, array, message):
    with pytest.raises(UserError, match=message):
        prepared(save(tmp_path / "x.npz", images=array), tmp_path)
    if array.dtype == np.uint8:
        assert prepared(tmp_path / "x.npz", tmp_path, white=1).images("train").unique().tolist() == [255]


def medmnist(path, labels=1, multi=False):
    """Write a file with the keys, shapes and types of MedMNIST."""
    content = {}
    for split, count in (("train", 12), ("val", 5), ("test", 7)):
        content[f"{split}_images"] = images(count, 28, 28, 3)
        high = 2 if multi else 4
        content[f"{split}_labels"] = np.arange(count * labels).reshape(count, labels).astype(np.uint8) % high
    return save(path, **content), content


def test_medmnist_is_read_with_its_splits_and_labels(tmp_path):
    path, content = medmnist(tmp_path / "pathmnist.npz")
    data = prepared(path, tmp_path, split="random")
    for split in ("train", "val", "test"):
        expected = content[f"{split}_images"].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(data.images(split), expected)
        assert data.get_split(split).labels.tolist() == content[f"{split}_labels"][:, 0].tolist()
    assert (data.context.kind, data.context.names) == ("classes", ("0", "1", "2", "3"))


def test_multi_label_medmnist_has_attributes_that_can_be_selected(tmp_path):
    path, content = medmnist(tmp_path / "chestmnist.npz", labels=3, multi=True)
    data = prepared(path, tmp_path)
    assert (data.context.kind, data.context.names) == ("attributes", ("label 0", "label 1", "label 2"))
    assert data.get_split("val").labels.tolist() == content["val_labels"].tolist()
    data = prepared(path, tmp_path, attributes=["label 2"])
    assert data.get_split("val").labels.tolist() == content["val_labels"][:, 2:].tolist()
    assert data.annotations("val").attributes.shape == (5, 3)
    with pytest.raises(UserError, match=r"got 'age'\. Choose from: label 0, label 1, label 2"):
        prepared(path, tmp_path, attributes=["age"])


@pytest.mark.parametrize(
    ("arrays", "options", "kind"),
    [
        ({"x": images(10, 8, 8), "y": np.arange(10) % 3}, {}, "classes"),
        ({"Data": images(10, 8, 8), "targets": np.array(list("abcabcabca"))}, {}, "classes"),
        ({"arr_0": images(10, 8, 8), "arr_1": np.arange(10) % 3}, {}, "classes"),
        ({"stack": images(10, 8, 8), "age": np.linspace(0, 1, 10)}, {"labels": "age"}, "attributes"),
        ({"a": images(10, 8, 8), "b": images(10, 8, 8), "y": np.arange(10)}, {"images": "b"}, "classes"),
        ({"x_train": images(9, 8, 8), "y_train": np.arange(9), "x_test": images(4, 8, 8), "y_test": np.arange(4)}, {},
         "classes"),
        ({"x": images(10, 8, 8), "y": np.arange(10)}, {"labels": "none"}, None),
        ({"x": images(10, 8, 8), "y": np.arange(10) % 2 - 1}, {}, "classes"),
    ],
)  # fmt: skip
def test_arrays_are_found_by_name_or_by_shape(tmp_path, arrays, options, kind):
    data = prepared(save(tmp_path / "x.npz", **arrays), tmp_path, **options)
    assert (data.context and data.context.kind) == kind
    if "b" in arrays:
        np.testing.assert_array_equal(pixels(data)[:, 0], arrays["b"])
        assert "These arrays of x.npz are not read: a." in data.notes
    if "y" in arrays and -1 in arrays["y"]:
        assert data.left_out == {"the class is unknown": 5}


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"a": images(10, 8, 8), "b": images(10, 8, 8)}, {}, r"data\.images must be .* Choose from: a \(10 x"),
        ({"x": images(10, 8, 8), "data": images(10, 8, 8)}, {}, r"ambiguous, because .* contains x, data\. Set"),
        ({"x": images(10, 8, 8), "train_x": images(10, 8, 8)}, {}, "ambiguous"),
        ({"x": images(10, 8, 8), "y": np.arange(9)}, {}, "one label for each of the 10 images in x, got 9 labels"),
        ({"x": images(10, 8, 8)}, {"labels": "z"}, r"data\.labels must be an array in .*got 'z'\. Choose from: x"),
        ({"test_x": images(10, 8, 8)}, {}, "must contain images for training, but only contains images for test"),
        ({"train_x": images(9, 8, 8), "test_x": images(9, 8, 8), "train_y": np.arange(9)}, {}, "no labels for test"),
        ({"train_x": images(9, 8, 8), "test_x": images(9, 9, 8)}, {}, "must have 8 x 8 pixels like the first one"),
    ],
)  # fmt: skip
def test_ambiguous_arrays_are_refused(tmp_path, arrays, options, message):
    with pytest.raises(UserError, match=message):
        prepared(save(tmp_path / "x.npz", **arrays), tmp_path, **options)


def test_files_and_folders_of_arrays(tmp_path):
    array = images(10, 8, 8)
    np.save(tmp_path / "one.npy", array)
    np.testing.assert_array_equal(pixels(prepared(tmp_path / "one.npy", tmp_path))[:, 0], array)
    folder = tmp_path / "folder"
    folder.mkdir()
    for split, count in (("train", 10), ("test", 3)):
        np.save(folder / f"{split}_images.npy", array[:count])
        np.save(folder / f"{split}_labels.npy", np.arange(count))
    data = prepared(folder, tmp_path)
    np.testing.assert_array_equal(data.images("test")[:, 0], array[:3])
    assert data.get_split("test").labels.tolist() == [0, 1, 2]
    shards = tmp_path / "shards"
    shards.mkdir()
    save(shards / "train.npz", images=array, labels=np.arange(10))
    save(shards / "test.npz", images=array[:3], labels=np.arange(3))
    np.testing.assert_array_equal(prepared(shards, tmp_path).images("test")[:, 0], array[:3])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_a_damaged_file_is_named(tmp_path, suffix, content):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.{suffix} cannot be read as a NumPy file"):
        prepared(path, tmp_path)
    with pytest.raises(UserError, match=r"data\.path must be a \.npz or \.npy file or a folder of them"):
        prepared(tmp_path / "nowhere.npz", tmp_path)


def test_images_are_resized_as_pillow_resizes_them(tmp_path):
    array = images(10, 20, 40, 3)
    path = save(tmp_path / "x.npz", images=array)
    stretched = pixels(prepared(path, tmp_path, size=[10, 30], fit="stretch"))
    for image, original in zip(stretched, array, strict=True):
        expected = Image.fromarray(original).resize((30, 10), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(expected))
    assert prepared(path, tmp_path, size=16, fit="pad", color=False).shape == (1, 16, 16)


def test_a_second_start_reads_no_image(tmp_path, monkeypatch):
    path = save(tmp_path / "x.npz", images=images(10, 8, 8).astype(np.float32), labels=np.arange(10) % 2)
    first = prepared(path, tmp_path)
    monkeypatch.setattr(array_images, "to_array", lambda *_: pytest.fail("an image was read"))
    second = prepared(path, tmp_path)
    assert second.fingerprint() == first.fingerprint()
    assert (second.notes, second.context, second.white_point) == (first.notes, first.context, first.white_point)
