import functools
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders import train
from autoencoders.data import array_images
from autoencoders.data.wrapped_dataset import DatasetDataModule
from autoencoders.types import UserError


class Pictures(torch.utils.data.Dataset):
    """Twenty images whose pixels are 10 times their index, in the form that `form` names."""

    def __init__(self, form="uint8", label="class", train=True, count=20):
        self.form, self.label, self.count, self.offset = form, label, count, 0 if train else 5

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if i >= self.count:
            raise IndexError
        value = 10 * i + self.offset
        array = np.full((9, 12), value, np.uint8)
        image = {
            "uint8": lambda: torch.from_numpy(array),
            "float": lambda: torch.from_numpy(array)[None] / 255,
            "numpy": lambda: np.repeat(array[..., None], 3, axis=2),
            "pil": lambda: Image.fromarray(array).convert("RGB"),
            "palette": lambda: Image.fromarray(array).convert("P"),
            "deep": lambda: Image.fromarray(array.astype(np.uint16) * 257),
        }[self.form]()
        label = {
            "class": i % 3, "tensor": torch.tensor(i % 3), "text": "abc"[i % 3], "attributes": torch.tensor([i % 2, 1]),
            "number": i / 2, "none": None, "dict": {"a": 1}, "ragged": [0] * (1 + i % 2),
        }  # fmt: skip
        return image if self.label is None else (image, label[self.label])


def prepared(tmp_path, dataset, **options):
    options = {"batch_size": 2, "split": "alphabetical", "validation": 0.2, "test": 0.2} | options
    data = DatasetDataModule(dataset, cache=str(tmp_path / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("form", ["uint8", "float", "numpy", "pil", "palette", "deep"])
def test_images_of_every_form_are_read(tmp_path, form):
    data = prepared(tmp_path, functools.partial(Pictures, form=form))
    images = torch.cat([data.images(split) for split in ("train", "val", "test")])
    expected = 10 * torch.arange(20)
    if form == "float":  # the largest value is 190 / 255, below 1, so that white is 1
        assert "White is 1" in data.notes[-1]
    assert data.shape == (3 if form in ("numpy", "pil", "palette") else 1, 9, 12)
    assert torch.equal(images.flatten(1), expected.byte()[:, None].expand(20, images[0].numel()))
    assert data.get_split("val").labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("label", "kind", "names", "first"),
    [
        ("tensor", "classes", ("0", "1", "2"), [0, 1, 2]),
        ("text", "classes", ("a", "b", "c"), [0, 1, 2]),
        ("attributes", "attributes", ("label 0", "label 1"), [[0, 1], [1, 1], [0, 1]]),
        ("number", "attributes", ("label",), [[0], [0.5], [1]]),
        ("none", None, None, None),
        (None, None, None, None),
    ],
)
def test_labels_of_every_form_are_read(tmp_path, label, kind, names, first):
    data = prepared(tmp_path, functools.partial(Pictures, label=label))
    assert (data.context and data.context.kind, data.context and data.context.names) == (kind, names)
    labels = data.get_split("train").labels
    assert (labels is None and first is None) or labels[:3].tolist() == first


@pytest.mark.parametrize(
    ("label", "message"), [("dict", "got a dict"), ("ragged", "with the same length for all images")]
)
def test_labels_of_other_forms_are_refused(tmp_path, label, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, functools.partial(Pictures, label=label))


def test_options_per_split_give_official_splits(tmp_path):
    splits = {"train": {"train": True}, "test": {"train": False, "count": 6}}
    data = prepared(tmp_path, Pictures, splits=splits)
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [16, 4, 6]
    assert data.images("test")[:, 0, 0, 0].tolist() == [5, 15, 25, 35, 45, 55]
    with pytest.raises(UserError, match=r"data\.splits must contain train"):
        prepared(tmp_path, Pictures, splits={"test": {}})


def test_a_second_start_reads_no_item_and_other_options_do(tmp_path, monkeypatch):
    first = prepared(tmp_path, Pictures, size=16, fit="pad")
    monkeypatch.setattr(Pictures, "__getitem__", lambda self, i: pytest.fail("an item was read"))
    second = prepared(tmp_path, Pictures, size=16, fit="pad")
    assert second.identity() == first.identity()
    with pytest.raises(pytest.fail.Exception):
        prepared(tmp_path, functools.partial(Pictures, count=10), size=16, fit="pad")


def test_images_of_different_sizes_need_a_size(tmp_path):
    class Mixed(Pictures):
        def __getitem__(self, i):
            return np.full((9 + i % 2, 12), i, np.uint8)

    with pytest.raises(UserError, match=r"9 x 12 pixels like the first one, but image 1 has 10 x 12\. Set data\.size"):
        prepared(tmp_path, Mixed)
    assert prepared(tmp_path, Mixed, size=8).shape == (1, 8, 8)


MODULE = """
import numpy as np
class Stripes:
    def __init__(self, width=8):
        self.width = width
    def __len__(self):
        return 60
    def __getitem__(self, i):
        return np.arange(8 * self.width, dtype=np.uint8).reshape(8, self.width) * (i % 7), i % 2
"""


def test_a_module_of_the_current_folder_is_trained_and_applied(tmp_path, run_command, monkeypatch):
    from autoencoders import apply

    (tmp_path / "my_stripes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)  # as python -m does for the current folder
    words = ["data=dataset", "data.dataset._target_=my_stripes.Stripes", "+data.dataset.width=10", "data.cache=cache"]
    words += ["model=cvae", "net.widths=[8]", "trainer.max_epochs=1", "data.batch_size=8", "logger=none"]
    done = run_command(train, *words, "callbacks=checkpoint", "hydra.run.dir=run", "trainer=cpu", cwd=tmp_path)
    try:
        assert done.returncode == 0, done.stderr
        assert "my_stripes.Stripes(width=10)" in done.stdout
        words = ["run=run", "application=reconstruct"]
        refused = run_command(apply, *words, cwd=tmp_path)
        assert refused.returncode == 2
        assert "trust=[my_stripes]" in refused.stderr
        monkeypatch.setattr(array_images, "to_array", lambda *_: pytest.fail("an image was read"))
        done = run_command(apply, *words, "trust=[my_stripes]", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    finally:
        sys.modules.pop("my_stripes", None)
