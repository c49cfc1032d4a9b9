import os

import pytest
from data_samples import paint, prepared, values

from autoencoders.data.image_io import list_image_names
from autoencoders.types import UserError


def test_subfolders_are_classes_and_files_are_sorted(tmp_path):
    for i in (3, 1, 4, 0, 2):
        paint(tmp_path / f"in/cat [a], b=c/{i}.png", 10 + i)
        paint(tmp_path / f"in/dog/deeper/{i}.PNG", 20 + i)
    (tmp_path / "in/notes.txt").write_text("not an image")
    data = prepared(tmp_path / "in", tmp_path)
    assert sum((values(data, s) for s in ("train", "val", "test")), []) == [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]
    assert data.context.names == ("cat [a], b=c", "dog")
    assert data.take("val", 9).y.tolist() == [1, 1]
    assert data.shape == (3, 8, 8)


def test_train_and_test_folders_are_used_as_splits(tmp_path):
    for i in range(5):
        paint(tmp_path / f"in/train/{i}.png", i)
        paint(tmp_path / f"in/test/{i}.png", 100 + i)
    data = prepared(tmp_path / "in", tmp_path, color=False)
    assert values(data, "test") == [100, 101, 102, 103, 104]
    assert values(data, "train") + values(data, "val") == [0, 1, 2, 3, 4]
    assert data.context is None


@pytest.mark.parametrize(
    ("table", "kind", "names", "expected"),
    [
        ("file,kind\n{}", "classes", ("a", "b"), [0, 1, 0, 1, 0, 1]),
        ("file,x,y\n{}", "attributes", ("x", "y"), [[i, -i] for i in range(6)]),
    ],
)
def test_a_table_gives_classes_or_attributes(tmp_path, table, kind, names, expected):
    rows = []
    for i in range(10):
        paint(tmp_path / f"in/{i}.png", i)
        rows.append(f"{i}.png,{'ab'[i % 2]}" if kind == "classes" else f"{i}.png,{i},{-i}")
    (tmp_path / "labels.csv").write_text(table.format("\n".join(rows[::-1])))
    data = prepared(tmp_path / "in", tmp_path, labels=str(tmp_path / "labels.csv"))
    assert (data.context.kind, data.context.names) == (kind, names)
    assert data.get_split("train").labels.tolist() == expected


def test_invalid_options_are_named(tmp_path):
    with pytest.raises(UserError, match="must be a folder of image files"):
        prepared(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="must contain at least one image file"):
        prepared(tmp_path / "empty", tmp_path)
    for i in range(10):
        paint(tmp_path / f"in/{i}.png", i)
    with pytest.raises(UserError, match=r"or the path of an existing CSV file, got x.csv, which does not exist"):
        prepared(tmp_path / "in", tmp_path, labels="x.csv")
    (tmp_path / "y.csv").write_text("file,kind\n0.png,a\n")
    with pytest.raises(UserError, match=r"must contain the labels of all images, but has no label for 1\.png"):
        prepared(tmp_path / "in", tmp_path, labels=str(tmp_path / "y.csv"))
    with pytest.raises(UserError, match=r"data\.fit must be"):
        prepared(tmp_path / "in", tmp_path, fit="pad")


def test_a_second_setup_checks_each_file_once_and_opens_none(tmp_path, monkeypatch):
    for i in range(12):
        paint(tmp_path / f"in/{'ab'[i % 2]}/{i % 3}/{i}.png", i)
    first = prepared(tmp_path / "in", tmp_path)
    checked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: checked.append(os.fspath(path)) or stat(path, *a, **k))
    monkeypatch.setattr("autoencoders.data.folder.read_image", lambda *a, **k: pytest.fail("an image was opened"))
    second = prepared(tmp_path / "in", tmp_path)
    assert sum(str(path).endswith(".png") for path in checked) == 12
    assert second.fingerprint() == first.fingerprint()
    assert second.annotations("test").names == first.annotations("test").names == ["b/2/11.png", "b/2/5.png"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path):
    paint(tmp_path / "in/b-c/1.png", 1)
    paint(tmp_path / "in/b/2.JPG", 2)
    paint(tmp_path / "elsewhere/3.png", 3)
    for name, target in {
        "0.png": "elsewhere/3.png", "lost.png": "nowhere", "loop.png": "in/loop.png", "folder": "elsewhere",
    }.items():  # fmt: skip
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    assert list_image_names(tmp_path / "in") == ["0.png", "b-c/1.png", "b/2.JPG"]


# Unreadable files -----------------------------------------------------------------------------------------------


def write_images(tmp_path, unreadable=(2, 5, 6, 7, 13)):
    for i in range(20):
        paint(tmp_path / f"in/{'ab'[i % 2]}/{i:02d}.png", 10 * i)
        if i in unreadable:
            (tmp_path / f"in/{'ab'[i % 2]}/{i:02d}.png").write_bytes(b"not an image")
    return tmp_path / "in"


def test_unreadable_files_are_counted_and_the_first_are_named(tmp_path, monkeypatch):
    root = write_images(tmp_path)
    with pytest.raises(UserError) as raised:
        prepared(root, tmp_path)
    reason = "not an image format that Pillow supports"
    assert str(raised.value) == (
        f"5 of 20 image files cannot be read: {root}/a/02.png ({reason}), {root}/a/06.png ({reason}), {root}/b/05.png "
        f"({reason}), and 2 more. Remove or repair these files, or set data.skip_unreadable=true to skip them."
    )
    monkeypatch.setattr("autoencoders.data.folder.read_image", lambda *_, **__: pytest.fail("decoded again"))
    data = prepared(root, tmp_path, skip_unreadable=True)
    assert sum(len(data.images(s)) for s in ("train", "val", "test")) == 15
    assert data.notes == [str(raised.value).partition(" Remove")[0] + " These files are skipped."]
    with pytest.raises(UserError, match="5 of 20"):  # the cache contains the list of unreadable files
        prepared(root, tmp_path)


def test_the_remaining_images_keep_their_labels_and_names(tmp_path):
    data = prepared(write_images(tmp_path), tmp_path, skip_unreadable=True, split="random")
    complete = prepared(write_images(tmp_path / "complete", unreadable=()), tmp_path, split="random")
    for split in ("train", "val", "test"):
        known = data.annotations(split)
        for value, name, label in zip(values(data, split), known.names, known.classes.tolist(), strict=True):
            number = int(name[2:4])
            assert (value, label) == (10 * number, number % 2)
        # The splits are the same as without unreadable files.
        assert set(known.names) == {n for n in complete.annotations(split).names if int(n[2:4]) not in (2, 5, 6, 7, 13)}


def test_a_repaired_file_is_read_again(tmp_path):
    root = write_images(tmp_path, unreadable=(3,))
    prepared(root, tmp_path, skip_unreadable=True)
    paint(root / "b/03.png", 30)
    assert sum(len(prepared(root, tmp_path).images(s)) for s in ("train", "val", "test")) == 20
