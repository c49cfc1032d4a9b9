import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data import lfw
from autoencoders.data.lfw import LFWDataModule
from autoencoders.types import UserError

PEOPLE = {"Ada_Byron": 3, "Al-Hassan_Q": 1, "Bo_Li": 12, "Cy_Young": 2, "Di_Ng": 6, "Ed_Poe": 6}


@pytest.fixture
def photos(tmp_path):
    """Return a data root with 30 random photos and a table with 73 attributes for 28 of them."""
    rng = np.random.default_rng(0)
    names = [f"attribute {i}" for i in range(71)] + ["Male", "Smiling"]
    lines = ["# a comment", "#\tperson\timagenum\t" + "\t".join(names)]
    for person, count in PEOPLE.items():
        folder = tmp_path / "lfw/lfw-deepfunneled" / person
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = rng.integers(0, 255, (250, 250, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{person}_{number:04d}.jpg", quality=95)
            if (person, number) not in (("Bo_Li", 11), ("Ed_Poe", 6)):
                values = [f"{v:.4f}" for v in rng.normal(size=71)] + [str(len(person)), str(number)]
                lines.append("\t".join([person.replace("_", " "), str(number), *values]))
    (tmp_path / "lfw/lfw_attributes.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def prepared(root, **options):
    options = {"split": "alphabetical", "validation": 0.1, "test": 0.1, "batch_size": 2} | options
    data = LFWDataModule(name="lfw", root=str(root), cache=str(root / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


def test_photos_are_in_name_order_cropped_and_resized(photos):
    data = prepared(photos, size=32, crop=90)
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [24, 3, 3]
    first = Image.open(photos / "lfw/lfw-deepfunneled/Ada_Byron/Ada_Byron_0001.jpg")
    expected = first.crop((80, 80, 170, 170)).resize((32, 32), Image.Resampling.BICUBIC)
    difference = data.images("train")[0].numpy().transpose(1, 2, 0).astype(int) - np.asarray(expected).astype(int)
    assert np.abs(difference).max() <= 1
    assert data.context is None
    assert data.photo_crop == (250, 90)
    assert prepared(photos, size=32, color=False).shape == (1, 32, 32)


def test_attributes_are_joined_on_person_and_number_and_photos_without_attributes_are_left_out(photos):
    data = prepared(photos, size=32, attributes=["Smiling", "Male"])
    assert data.context.names == ("Smiling", "Male")
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [23, 3, 2]
    photos_of_training = [(p, n) for p, count in PEOPLE.items() for n in range(1, count + 1)][:24]
    expected = [[n, len(p)] for p, n in photos_of_training if (p, n) != ("Bo_Li", 11)]
    assert data.get_split("train").labels.tolist() == expected


def test_all_attributes_can_be_labels(photos):
    data = prepared(photos, size=32, attributes="all")
    assert data.context.names == data.annotations("train").attribute_names
    assert {"Smiling", "Male"} < set(data.context.names)
    assert torch.equal(data.annotations("train").attributes, data.get_split("train").labels)


def test_an_unknown_attribute_lists_the_attributes_of_the_table(photos):
    with pytest.raises(
        UserError, match=r"must contain only attributes in lfw_attributes.txt, got 'Bald'. Choose from: attribute 0,"
    ):
        prepared(photos, attributes=["Bald"])


def test_a_second_setup_reads_no_photo(photos, monkeypatch):
    first = prepared(photos, size=32)
    monkeypatch.setattr(lfw, "read_image", lambda *_, **__: pytest.fail("a photo was read"))
    assert torch.equal(prepared(photos, size=32).images("train"), first.images("train"))


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_an_existing_archive_is_unpacked(photos, tmp_path):
    photo = (photos / "lfw/lfw-deepfunneled/Bo_Li/Bo_Li_0001.jpg").read_bytes()
    root = tmp_path / "other"
    (root / "lfw").mkdir(parents=True)
    archive(root / "lfw/lfw-funneled.tgz", {f"lfw_funneled/Bo_Li/Bo_Li_{i:04d}.jpg": photo for i in range(20)})
    assert len(prepared(root, size=32).images("train")) == 16


def test_the_checksum_is_that_of_scikit_learn():
    from sklearn.datasets._lfw import FUNNELED_ARCHIVE

    assert (lfw.DOWNLOAD, lfw.SHA256) == (FUNNELED_ARCHIVE.url, FUNNELED_ARCHIVE.checksum)


def test_an_unreadable_photo_is_named(photos):
    (photos / "lfw/lfw-deepfunneled/Bo_Li/Bo_Li_0003.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 30 image files cannot be read: .*Bo_Li_0003\.jpg .*Unpack the archive"):
        prepared(photos, size=32)


def test_the_data_root_is_not_written_to(photos, tmp_path_factory, monkeypatch):
    def state():
        return sorted((str(p), p.stat().st_mtime_ns) for p in (photos, *photos.rglob("*")))

    before, cache = state(), tmp_path_factory.mktemp("elsewhere")
    data = LFWDataModule(name="lfw", root=str(photos), cache=str(cache), size=32, batch_size=2, attributes=["Smiling"])
    data.prepare_data()
    data.setup()
    assert data.annotations("train").names
    assert state() == before


@pytest.mark.slow
def test_real_lfw(tmp_path):
    root = Path(os.environ.get("AUTOENCODERS_DATA", ""))
    if not (root / "lfw/lfw-deepfunneled").is_dir():
        pytest.skip("AUTOENCODERS_DATA is not a folder with lfw/lfw-deepfunneled/")
    data = LFWDataModule(
        name="lfw", root=str(root), cache=str(tmp_path), size=32, split="alphabetical", validation=0.1, test=0.1
    )
    data.prepare_data()
    data.setup()
    assert sum(len(data.images(s)) for s in ("train", "val", "test")) == 13_233


def write_attribute_table(path, *rows):
    path.write_text("# LFW attributes\n#\tperson\timagenum\tMale\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_a_table_that_lists_a_photo_twice_or_has_words_is_refused(tmp_path):
    from autoencoders.data.lfw import read_attributes

    files = [tmp_path / "None/None_0001.jpg", tmp_path / "Ann_B/Ann_B_0002.jpg", tmp_path / "Ann_B/portrait.jpg"]
    table = write_attribute_table(tmp_path / "t.txt", "Ann B\t2\t1.5", "None\t1\t-0.5")
    values = read_attributes(table, files, ["Male"])
    assert values[:2].flatten().tolist() == [-0.5, 1.5]  # a person who is called None
    assert values[2].isnan().all()
    write_attribute_table(table, "Ann B\t2\t1.5", "None\t1\t-0.5", "Ann B\t2\t-1.5")
    with pytest.raises(UserError, match="must list each photo once, got Ann_B_0002 twice"):
        read_attributes(table, files, ["Male"])
    write_attribute_table(table, "Ann B\t2\tyes")
    with pytest.raises(UserError, match="must contain numbers in all columns but the first"):
        read_attributes(table, files, ["Male"])
