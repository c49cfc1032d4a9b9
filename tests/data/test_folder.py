import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_samples import paint, prepared, values
from PIL import Image

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
        prepared(tmp_path / "in", tmp_path, fit="fill")


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


def test_images_are_sorted_by_the_bytes_of_their_names(tmp_path):
    names = [b".a.png", b"B.png", b"a.b.TIFF", b"\x80.png", "é.png".encode()]
    for name in [*names[::-1], b".png", b"..jpg", b"png", b"a.png.txt"]:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert [os.fsencode(name) for name in list_image_names(tmp_path)] == names


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


# Rectangles, depth and white point ------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_may_be_rectangles(tmp_path, fit):
    for i in range(10):
        paint(tmp_path / f"in/{i}.png", 20 * i, size=(30, 50))
    data = prepared(tmp_path / "in", tmp_path, size=[24, 16], fit=fit)
    assert data.shape == (3, 24, 16)
    assert data.images("train").unique().tolist() == [0, 20, 40, 60, 80, 100]


def write_deep(tmp_path, split_folders):
    """Write 16-bit images with values from 100 to 1,000; the brightest are in the last files or in test/."""
    for i in range(10):
        folder = tmp_path / "in" / (("train" if i < 7 else "test") if split_folders else "")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 100 * (i + 1), np.uint16)).save(folder / f"{i}.png")


@pytest.mark.parametrize("split_folders", [False, True])
@pytest.mark.parametrize(("depth", "full"), [(8, 255), (16, 65535)])
def test_16_bit_images_of_a_folder_have_one_white_point(tmp_path, monkeypatch, split_folders, depth, full):
    write_deep(tmp_path, split_folders)
    options = {"color": False, "depth": depth}
    data = prepared(tmp_path / "in", tmp_path, **options)
    expected = [round(100 * (i + 1) / 1023 * full) for i in range(10)]
    assert sum((values(data, split) for split in ("train", "val", "test")), []) == expected
    notes = [note for note in data.notes if "White is" in note]
    assert len(notes) == 1
    assert notes[0].startswith("Pixel values are between 100 and 1000. White is 1023 (for all images; data.white sets")
    assert ("data.depth=16" in notes[0]) == (depth == 8)
    one = data.read_image_files([tmp_path / "in" / ("test" if split_folders else "") / "9.png"])
    assert one.unique().tolist() == [expected[9]]  # a single picture has the white point of the dataset
    monkeypatch.setattr("autoencoders.data.folder.read_image", lambda *_, **__: pytest.fail("decoded again"))
    assert prepared(tmp_path / "in", tmp_path, **options).notes == data.notes
    monkeypatch.undo()
    set_white = prepared(tmp_path / "in", tmp_path, white=500, **options)
    assert values(set_white, "test") == [full] * len(values(set_white, "test"))
    assert "Values below 0 and above 500 are clipped." in " ".join(set_white.notes)


def test_8_bit_images_are_decoded_once(tmp_path, monkeypatch):
    from autoencoders.data import folder

    for i in range(10):
        paint(tmp_path / f"in/{i}.png", i)
    opened, read = [], folder.read_image
    monkeypatch.setattr(
        folder, "read_image", lambda file, *a, **k: opened.append(Path(file).name) or read(file, *a, **k)
    )
    data = prepared(tmp_path / "in", tmp_path, white=100)
    assert sorted(opened) == [f"{i}.png" for i in range(10)]
    assert data.notes == ["data.white is not used, because all images are read with 8 bits or fewer."]


def test_float_images_brighter_than_1_are_scaled_by_their_maximum(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(10):
        Image.fromarray(np.full((8, 8), (i + 1) / 4, np.float32)).save(tmp_path / f"in/{i}.tif")
    data = prepared(tmp_path / "in", tmp_path, color=False)
    assert values(data, "test") == [round(255 * 0.9), 255]
    assert "White is 2.5" in data.notes[-1]


# Labels, groups and names -----------------------------------------------------------------------------------------


def write_numbered(root, count=12):
    """Write the images `0.png` to `<count - 1>.png`, whose pixels are equal to their number."""
    for i in range(count):
        paint(root / f"{i}.png", i)
    return root


def write_table(path, rows):
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_a_csv_that_lists_one_image_twice_is_refused(tmp_path):
    root = write_numbered(tmp_path / "in")
    rows = ["file,kind", *(f"{i}.png,k{i}" for i in range(12)), "3.png,k4"]
    with pytest.raises(UserError, match=r"must list each image once, got 3\.png in line 5 and in line 14"):
        prepared(root, tmp_path, labels=write_table(tmp_path / "l.csv", rows))


def test_each_image_has_the_label_of_its_own_row(tmp_path):
    root = write_numbered(tmp_path / "in")
    rows = ["file,kind", "unused.png,k", *(f"{i}.png,{i + 100}" for i in (7, 3, 11, 0, 1, 2, 10, 9, 8, 4, 6, 5))]
    data = prepared(root, tmp_path, labels=write_table(tmp_path / "l.csv", rows), split="random", validation=2, test=3)
    for split, size in (("train", 7), ("val", 2), ("test", 3)):
        names = [data.context.names[i] for i in data.get_split(split).labels]
        assert [int(name) - 100 for name in names] == values(data, split)
        assert len(names) == size


def test_an_image_with_an_empty_cell_is_left_out_and_counted(tmp_path):
    root = write_numbered(tmp_path / "in")
    rows = ["file,kind", *(f"{i}.png,{'' if i == 4 else i % 3}" for i in range(12))]
    data = prepared(root, tmp_path, labels=write_table(tmp_path / "l.csv", rows))
    assert data.context.kind == "classes"
    assert data.context.names == ("0", "1", "2")
    found = sum((values(data, s) for s in ("train", "val", "test")), [])
    assert sorted(found) == [i for i in range(12) if i != 4]
    assert data.left_out == {"the class is unknown": 1}


def test_a_group_is_in_one_split_and_is_no_label(tmp_path):
    root = write_numbered(tmp_path / "in", 60)
    rows = ["file,person,age", *(f"{i}.png,P{i % 12},{i}.5" for i in range(60))]
    options = {"labels": write_table(tmp_path / "l.csv", rows), "split": "random", "validation": 10, "test": 10}
    data = prepared(root, tmp_path, group="person", **options)
    persons = {split: {i % 12 for i in values(data, split)} for split in ("train", "val", "test")}
    assert sum(map(len, persons.values())) == 12 == len(set.union(*persons.values()))
    assert [len(data.images(split)) for split in persons] == [40, 10, 10]
    assert data.context.names == ("age",)
    known = data.annotations("val")
    assert [known.group_names[i] for i in known.groups] == [f"P{i % 12}" for i in values(data, "val")]
    assert "The 12 values of person are kept in one split each (data.group)." in data.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "folders"}, r"data\.group=person must be a column of a CSV file, but data\.labels is folders"),
        ({"split": "alphabetical"}, r"data\.split must be random with data\.group=person"),
        ({"group": "patient"}, r"data\.group must be a column of .*, got 'patient'\. Choose from: person"),
    ],
)
def test_a_group_that_cannot_be_used_is_refused(tmp_path, options, message):
    root = write_numbered(tmp_path / "in")
    labels = write_table(tmp_path / "l.csv", ["file,person", *(f"{i}.png,P{i % 4}" for i in range(12))])
    with pytest.raises(UserError, match=message):
        prepared(root, tmp_path, **{"labels": labels, "group": "person", "split": "random"} | options)


def test_a_group_in_two_split_folders_is_refused(tmp_path):
    paths = ["train/0.png", "train/1.png", "train/2.png", "test/3.png"]
    for i, path in enumerate(paths):
        paint(tmp_path / "in" / path, i)
    rows = ["file,person", *(f"{path},P{i % 3}" for i, path in enumerate(paths))]
    labels = write_table(tmp_path / "l.csv", rows)
    with pytest.raises(UserError, match=r"must be in one split only, got 'P0' and 0 more in the folders of train and"):
        prepared(tmp_path / "in", tmp_path, labels=labels, group="person", split="random")


def test_an_added_file_moves_no_other_file(tmp_path):
    root = write_numbered(tmp_path / "in", 100)
    options = {"split": "random", "validation": 0.2, "test": 0.2}
    before = prepared(root, tmp_path, **options)
    names = {split: set(before.annotations(split).names) for split in ("train", "val", "test")}
    for i in range(100, 120):
        paint(root / f"{i}.png", i)
    after = prepared(root, tmp_path, **options)
    for split, known in names.items():
        assert known == {name for name in after.annotations(split).names if int(name[:-4]) < 100}
    assert sum(len(after.images(split)) for split in names) == 120


def test_file_names_that_are_not_utf_8_are_read_and_printable(tmp_path):
    for kind in (b"Z\xfcrich", "thé".encode()):
        folder = os.fsencode(tmp_path / "in") + b"/" + kind
        os.makedirs(folder)
        for i in range(6):
            paint(tmp_path / "image.png", i)
            os.rename(tmp_path / "image.png", folder + b"/\xff%d.png" % i)
    data = prepared(tmp_path / "in", tmp_path, split="random", validation=2, test=2)
    assert data.context.names == (r"Z\xfcrich", "thé")
    names = [name for split in ("train", "val", "test") for name in data.annotations(split).names]
    assert sorted(names) == sorted(rf"{kind}/\xff{i}.png" for kind in data.context.names for i in range(6))
    for name, value in zip(data.annotations("train").names, values(data, "train"), strict=True):
        assert name.endswith(f"{value}.png")


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}


@pytest.mark.slow
def test_the_data_are_the_same_in_the_c_locale(tmp_path):
    """The C locale decodes file names as ASCII. Splits, labels, names and digests do not depend on it."""
    for i in range(12):
        paint(tmp_path / f"in/{'äö'[i % 2]}/é{i}.png", i)
    rows = ["file,kind", *(f"{'äö'[i % 2]}/é{i}.png,ß{i % 3}" for i in range(12))]
    (tmp_path / "l.csv").write_text("\n".join(rows), encoding="utf-8")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from test_folder import data_summary; "
        "print(ascii(data_summary(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **C_LOCALE}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == data_summary(tmp_path)


def data_summary(folder):
    """Return digests, names, and labels of the images in `in/` with the label file `l.csv`."""
    options = {"split": "random", "validation": 3, "test": 3, "labels": str(folder / "l.csv")}
    data = prepared(folder / "in", folder, **options)
    names = [data.annotations(split).names for split in ("train", "val", "test")]
    return [data.identity(), data.identity(sampled=True), data.context.names, data.notes, names]
