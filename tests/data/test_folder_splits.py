"""Which subfolders are splits, and which are classes."""

import pytest
from data_samples import paint, prepared, values

from autoencoders.data.folder_splits import find_parts
from autoencoders.types import UserError


def tree(root, *paths):
    """Write one image per path. The pixels of an image are equal to its position in `paths`."""
    for i, path in enumerate(paths):
        paint(root / path, i)
    return root


def names(root):
    return {part: files.paths for part, files in find_parts(root).parts.items()}


@pytest.mark.parametrize(
    "folders",
    [("train", "val", "test"), ("Training", "Validation", "Testing"), ("TRAIN", "valid", "Test")],
)
def test_folders_with_names_of_splits_are_the_splits(tmp_path, folders):
    paths = [f"{folder}/{kind}/{i}.png" for folder in folders for kind in "ab" for i in range(2)]
    data = prepared(tree(tmp_path / "in", *paths), tmp_path)
    assert {split: values(data, split) for split in ("train", "val", "test")} == {
        "train": [0, 1, 2, 3], "val": [4, 5, 6, 7], "test": [8, 9, 10, 11],
    }  # fmt: skip
    assert data.context.names == ("a", "b")
    assert [data.get_split(split).labels.tolist() for split in ("train", "val", "test")] == [[0, 0, 1, 1]] * 3
    assert data.annotations("val").names == paths[4:8]
    assert data.notes == [f"The folders {', '.join(sorted(f'{f}/' for f in folders))} are the splits."]


def test_train_next_to_other_folders_is_a_class(tmp_path):
    kinds = ("aeroplane", "bus", "train")
    data = prepared(tree(tmp_path / "in", *(f"{kind}/{i}.png" for kind in kinds for i in range(4))), tmp_path)
    assert data.context.names == kinds
    assert sum(len(data.images(split)) for split in ("train", "val", "test")) == 12
    assert data.notes == ["The folder train/ is not used as a split, because aeroplane/, bus/ are not names of splits."]


def test_a_missing_split_is_taken_from_the_training_images(tmp_path):
    root = tree(tmp_path / "in", *(f"train/{i}.png" for i in range(10)), "val/a.png", "val/b.png")
    data = prepared(root, tmp_path, test=0.2)
    assert (len(values(data, "train")), values(data, "val"), values(data, "test")) == (8, [10, 11], [8, 9])
    assert data.notes == [
        "The folders train/, val/ are the splits. The test images are taken from the training images (data.test)."
    ]


def test_splits_without_training_images_are_classes(tmp_path):
    root = tree(tmp_path / "in", "test/0.png", "val/1.png")
    assert names(root) == {"train": ["test/0.png", "val/1.png"]}
    assert find_parts(root).notes == [
        "The folders test/, val/ are not used as splits, because none of them is named train."
    ]


def test_folders_without_images_are_not_considered(tmp_path):
    root = tree(tmp_path / "in", "train/0.png", "test/1.png")
    (root / "annotations").mkdir()
    (root / "annotations/train.json").write_text("{}")
    (root / "valid").mkdir()
    assert names(root) == {"train": ["train/0.png"], "test": ["test/1.png"]}


def test_a_linked_split_folder_is_read(tmp_path):
    tree(tmp_path / "elsewhere", "0.png")
    root = tree(tmp_path / "in", "test/1.png")
    (root / "train").symlink_to(tmp_path / "elsewhere")
    assert names(root) == {"train": ["train/0.png"], "test": ["test/1.png"]}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ("train/0.png", "val/1.png", "valid/2.png"),
            r"got val/, valid/, which have the same meaning\. Merge or rename",
        ),
        (("train/0.png", "test/1.png", "loose.png"), r"got the image loose\.png next to them\. Move the image"),
        (("notes/readme.txt",), "must contain at least one image file"),
    ],
)
def test_ambiguous_folders_are_refused(tmp_path, paths, message):
    for path in paths:
        if path.endswith(".png"):
            paint(tmp_path / "in" / path, 1)
        else:
            (tmp_path / "in" / path).parent.mkdir(parents=True)
            (tmp_path / "in" / path).write_text("")
    with pytest.raises(UserError, match=message):
        find_parts(tmp_path / "in")


def test_images_next_to_class_folders_are_noted(tmp_path):
    data = prepared(tree(tmp_path / "in", "a/0.png", "b/1.png", *(f"{i}.png" for i in range(6))), tmp_path)
    assert data.context is None
    assert data.notes == ["The images have no classes, because 6 of them are not in a subfolder, such as 0.png."]
