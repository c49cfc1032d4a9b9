"""The description of the data, compared with values that are counted by hand."""

import json

import pytest
import torch
from data_samples import CountedDataModule, prepare_counted

from autoencoders.data.description import describe_data, description_rows
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.training.summary import print_wrapped
from autoencoders.types import Context


def test_classes_and_splits_are_counted():
    data = prepare_counted(exclude=["3"])
    described = describe_data(data)
    assert json.loads(json.dumps(described)) == described
    assert described["images"] == {split: len(data.images(split)) for split in ("train", "val", "test")}
    assert described["left_out"] == {"the class is in data.exclude": 160 - sum(described["images"].values()) + 40}
    labels = described["labels"]
    assert (labels["kind"], labels["count"], labels["names"]) == ("classes", 10, list("0123456789"))
    for i, counts in enumerate(labels["frequencies"]):
        for split, count in counts.items():
            assert count == sum(value % 10 == i for value in data.images(split)[:, 0, 0, 0].tolist())
    rows = dict(description_rows(described))
    assert rows["data"] == f"counted: {sum(described['images'].values())} images with shape 1 x 8 x 8"
    assert rows["classes"].startswith("0 (20), 1 (20), 2 (20), 3 (")
    assert "(the class is in data.exclude)" in rows["left out"]


class AttributesDataModule(CountedDataModule):
    """The images of `CountedDataModule` with an age, a binary attribute, and one of -1 and 1."""

    def read(self):
        i = torch.arange(200)
        labels = torch.stack([20 + i % 70, i % 4 == 0, 2 * (i % 2) - 1], 1).float()
        labels[5, 0] = float("nan")
        return Source(Split(super().read().train.images, labels), None, Context("attributes", ("age", "a", "b")))


def test_ranges_of_attributes():
    data = AttributesDataModule(name="x", batch_size=4, split="alphabetical")
    data.setup()
    described = describe_data(data)
    age, a, b = described["labels"]["ranges"]
    assert (age["min"], age["max"], age["binary"]) == (20, 89, False)
    ages = [20 + i % 70 for i in range(140) if i != 5]
    assert age["mean"] == pytest.approx(sum(ages) / len(ages))
    assert (a["binary"], b["binary"]) == (True, True)
    rows = dict(description_rows(described))
    assert rows["attributes"] == "age (20 to 89), a (25%), b (50%)"
    assert rows["left out"] == "1 image (an attribute is unknown)"


def test_many_classes_are_shown_as_a_readable_number():
    class Many(CountedDataModule):
        def read(self):
            names = tuple(f"class {i}" for i in range(1500))
            return Source(Split(super().read().train.images, torch.arange(200)), None, Context("classes", names))

    data = Many(name="many", batch_size=4)
    data.setup()
    described = describe_data(data)
    assert described["labels"]["count"] == 1500
    assert len(described["labels"]["names"]) == len(described["labels"]["frequencies"]) == 200
    assert dict(description_rows(described))["classes"].endswith("class 11 (1), and 1,488 more")


def test_the_text_is_wrapped_at_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = " ".join(f"word{i}" for i in range(50))
    print_wrapped("classes", text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(line[11:] for line in lines) == text
    assert lines[0].startswith("classes    word0")
