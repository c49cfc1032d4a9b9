from types import SimpleNamespace

import pytest
import torch
from data_samples import CountedDataModule, cache_counted, prepare_counted

from autoencoders.data.cartoons import CartoonsDataModule
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.digits import DigitsDataModule
from autoencoders.data.fashion import FashionMNISTDataModule
from autoencoders.data.folder import ImageFolderDataModule
from autoencoders.data.lfw import LFWDataModule
from autoencoders.data.loader import Batches, BinarizedView, Split
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.data.splits import Source
from autoencoders.types import UserError


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (MNISTDataModule, "mnist"),
        (FashionMNISTDataModule, "fashion"),
        (DigitsDataModule, "digits"),
        (LFWDataModule, "lfw"),
        (CartoonsDataModule, "cartoons"),
    ],
)
def test_a_dataset_needs_only_its_root(tmp_path, kind, name):
    data = kind(str(tmp_path), batch_size=64)
    assert (data.name, data.root, data.batch_size) == (name, tmp_path, 64)
    assert kind(name="other").name == "other"


def test_a_folder_dataset_needs_only_its_path(tmp_path):
    data = ImageFolderDataModule(str(tmp_path))
    assert (data.name, data.path) == ("folder", tmp_path)


def test_static_binarization_is_constant_and_dynamic_binarization_changes_per_epoch():
    gray = DigitsDataModule(name="digits")
    static = DigitsDataModule(name="digits", binarize="static")
    other_seed = DigitsDataModule(name="digits", binarize="static", seed=5)
    dynamic = DigitsDataModule(name="digits", binarize="dynamic")
    for data in (gray, static, other_seed, dynamic):
        data.setup()
    assert set(static.images("train").unique().tolist()) == {0, 255}
    assert torch.equal(static.images("train"), other_seed.images("train"))
    batches = Batches(dynamic.get_split("train"), "train", batch_size=64, train=True, binarize="dynamic")
    epochs = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        epochs.append(torch.cat([b.x for b in batches])[torch.cat([b.index for b in batches]).argsort()][:1000])
    assert not torch.equal(*epochs)
    for images in (static.images("train").float() / 255, epochs[0], dynamic.take("val", 180).x):
        assert set(images.unique().tolist()) == {0, 1}
        assert images.mean().item() == pytest.approx(gray.images("train").float().mean().item() / 255, rel=0.05)
    assert torch.equal(dynamic.take("val", 180).x[:50], dynamic.take("val", 50).x)


class CachedDataModule(ImageDataModule):
    """Twenty gray images from a cache."""

    def __init__(self, folder, **common):
        super().__init__(**common)
        self.folder = folder

    def read(self):
        return Source(Split(cache_counted(self.folder, memory=self.memory) * 12, None), None, None)


def test_static_binarization_of_a_large_store_is_not_copied_and_is_the_same(tmp_path):
    def prepare(memory):
        data = CachedDataModule(tmp_path, name="x", memory=memory, binarize="static", batch_size=2)
        data.setup()
        return data

    copied, view = prepare(1e9), prepare(10)
    assert (type(copied.images("train")), type(view.images("train"))) == (torch.Tensor, BinarizedView)
    assert copied.identity() == view.identity(sampled=False) != view.identity()
    assert copied.identity(sampled=True) == view.identity()
    assert torch.equal(copied.mean_image(), view.mean_image())
    assert 0 < copied.mean_image().mean() < 1
    for a, b in zip(copied.evaluation_batches("val"), view.evaluation_batches("val"), strict=True):
        assert torch.equal(a.target, b.target)


def test_the_mean_image_baseline_equals_that_of_numpy(digits):
    train, val = (digits.images(s).double().numpy() / 255 for s in ("train", "val"))
    assert digits.mean_image_mse("val") == pytest.approx(((val - train.mean(0)) ** 2).mean(), rel=1e-6)


def test_fingerprints_of_different_splits_differ(digits):
    other = DigitsDataModule(name="digits", split_seed=1)
    other.setup()
    assert len(digits.fingerprint()) == 64
    assert digits.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binarize": "both"}, "data.binarize must be one of"),
        ({"split": "sorted"}, "data.split must be one of"),
        ({"shift": -1}, "data.shift must be a number of pixels >= 0, got -1"),
        ({"shift": 28}, "data.shift must be less than the smaller image side of 28 pixels, got 28"),
        ({"memory": -1}, "data.memory must be a number of bytes >= 0"),
        ({"batch_size": 0}, "data.batch_size must be a number of images >= 1"),
        (
            {"batch_size": 2000},
            "must not exceed the 1258 training images of data=digits, got 2000. Lower",
        ),
        ({"validation": 0}, "data.validation must be"),
        ({"validation": 1700, "test": 0.2}, "because otherwise no image is left for training, got 2059. Lower"),
        ({"size": 4}, "data.size must be a number of pixels between 8 and 1024, got 4"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        DigitsDataModule(name="digits", **options).setup()


def test_the_batch_size_must_be_a_multiple_of_the_number_of_processes():
    data = prepare_counted()
    data.trainer = SimpleNamespace(strategy=None, world_size=3, global_rank=0)
    with pytest.raises(UserError, match=r"multiple of the number of processes \(3\).*, got 16. Choose a multiple of 3"):
        data.train_dataloader()


def test_data_are_loaded_on_first_use():
    data = CountedDataModule()
    loaded = prepare_counted()
    assert torch.equal(data.images("train"), loaded.images("train"))
    assert data.shape == loaded.shape
