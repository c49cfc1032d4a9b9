import gzip
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autoencoders.data.datamodule import ImageDataModule, Source, data_root
from autoencoders.data.digits import DigitsDataModule
from autoencoders.data.fashion import FashionMNISTDataModule
from autoencoders.data.loader import Batches, Split, binary
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.types import Context, UserError


class Counted(ImageDataModule):
    """Images whose first pixel is their row: what a split holds can be read off it."""

    def read(self):
        images = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(200, 1, 8, 8).contiguous()
        return Source(Split(images, torch.arange(200) % 10), None, Context("classes", tuple("0123456789")))


def counted(**options):
    data = Counted(name="counted", batch_size=16, **options)
    data.setup()
    return data


def test_splits_are_disjoint_and_complete_and_follow_the_seed():
    data, again, other = counted(), counted(seed=9), counted(split_seed=1)
    rows = {split: set(data.images(split)[:, 0, 0, 0].tolist()) for split in ("train", "val", "test")}
    assert [len(rows[s]) for s in rows] == [140, 20, 40]
    assert set.union(*rows.values()) == set(range(200))
    assert torch.equal(data.images("val"), again.images("val"))
    assert not torch.equal(data.images("val"), other.images("val"))


def test_digits_are_scikit_learns_and_fill_28_pixels(digits):
    assert digits.shape == (1, 28, 28)
    assert digits.context.size == 10
    total = sum(len(digits.images(s)) for s in ("train", "val", "test"))
    assert total == len(load_digits().images) == 1797
    small = DigitsDataModule(name="digits", size=8)
    small.setup()
    whole = torch.cat([small.images(s) for s in ("train", "val", "test")]).float().mean() * 16 / 255
    assert whole.item() == pytest.approx(load_digits().images.mean(), rel=1e-3)


def test_real_mnist_keeps_its_official_test_split(mnist_root):
    data = MNISTDataModule(name="mnist", root=str(mnist_root), validation=5000)
    data.prepare_data()
    data.setup()
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [55_000, 5_000, 10_000]
    raw = np.fromfile(mnist_root / "MNIST/raw/t10k-images-idx3-ubyte", dtype=np.uint8)[16:]
    assert np.array_equal(data.images("test").numpy().ravel(), raw)
    pixels = torch.cat([data.images("train"), data.images("val")]).double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)  # the published mean of the training images


def write_idx(folder, compressed=False):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        images = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, 60, dtype=np.uint8)
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            content = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
            opened = gzip.open if compressed else open
            with opened(folder / (name + ".gz" * compressed), "wb") as file:
                file.write(content)


@pytest.mark.parametrize(("kind", "name"), [(MNISTDataModule, "MNIST"), (FashionMNISTDataModule, "FashionMNIST")])
def test_files_in_place_are_used_without_a_download(tmp_path, monkeypatch, kind, name):
    write_idx(tmp_path / name / "raw")
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path))
    data = kind(name=name.lower(), batch_size=8)
    data.prepare_data()
    data.setup()
    assert data.shape == (1, 28, 28)
    assert data.context.size == 10


def test_the_root_is_the_option_then_the_environment_then_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path / "env"))
    assert data_root(str(tmp_path)) == tmp_path
    assert data_root(None) == tmp_path / "env"
    monkeypatch.delenv("AUTOENCODERS_DATA")
    assert data_root(None).name == "autoencoders"


# Batches ------------------------------------------------------------------------------------------------------


def rows(batches):
    return [batch.index.tolist() for batch in batches]


def training(data, **options):
    return Batches(data._prepared("train"), "train", batch_size=16, train=True, **options)


def test_an_epoch_visits_each_row_once_in_an_order_of_its_own():
    data = counted()
    batches = training(data)
    first = rows(batches)
    assert len(first) == len(batches) == 140 // 16
    flat = sum(first, [])
    assert len(set(flat)) == len(flat) == 128
    assert rows(batches) == first
    batches.set_epoch(1)
    assert rows(batches) != first
    assert rows(training(data, seed=1)) != first


def test_batches_hold_the_images_labels_and_rows_they_name():
    data = counted()
    batch = next(iter(training(data)))
    assert batch.x is batch.target
    assert batch.x.dtype == torch.float32
    stored = data.images("train")[batch.index]
    torch.testing.assert_close(batch.x, stored.float() / 255)
    assert torch.equal(batch.y, stored[:, 0, 0, 0].long() % 10)


def test_an_epoch_continues_in_the_middle():
    data = counted()
    whole, interrupted, resumed = training(data), training(data), training(data)
    iterator = iter(interrupted)
    done = [next(iterator).index.tolist() for _ in range(3)]
    resumed.go_to(interrupted.position())
    assert done + rows(resumed) == rows(whole)
    assert rows(resumed) == rows(whole)  # the epoch after starts at its beginning


def test_processes_share_every_batch():
    data = counted()
    shares = [rows(training(data, rank=r, world=2)) for r in (0, 1)]
    for one, two, whole in zip(*shares, rows(training(data)), strict=True):
        assert len(one) == len(two) == 8
        assert sorted(one + two) == sorted(whole)


def test_evaluation_covers_odd_splits_exactly_once_over_processes():
    part = counted()._prepared("train")
    shares = [rows(Batches(part, "val", batch_size=16, rank=r, world=3)) for r in range(3)]
    assert sorted(sum(sum(shares, []), [])) == list(range(140))
    assert [len(Batches(part, "val", batch_size=16, rank=r, world=3)) for r in range(3)] == [len(s) for s in shares]


def test_static_binarization_is_one_draw_and_dynamic_a_fresh_one():
    gray = DigitsDataModule(name="digits")
    static, again = (
        DigitsDataModule(name="digits", binarize="static"),
        DigitsDataModule(name="digits", binarize="static", seed=5),
    )
    dynamic = DigitsDataModule(name="digits", binarize="dynamic")
    for data in (gray, static, again, dynamic):
        data.setup()
    assert set(static.images("train").unique().tolist()) == {0, 255}
    assert torch.equal(static.images("train"), again.images("train"))
    batches = Batches(dynamic._prepared("train"), "train", batch_size=64, train=True, binarize="dynamic")
    draws = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        draws.append(torch.cat([b.x for b in batches])[torch.cat([b.index for b in batches]).argsort()][:1000])
    assert not torch.equal(*draws)
    for images in (static.images("train").float() / 255, draws[0], dynamic.take("val", 180).x):
        assert set(images.unique().tolist()) == {0, 1}
        assert images.mean().item() == pytest.approx(gray.images("train").float().mean().item() / 255, rel=0.05)
    assert torch.equal(dynamic.take("val", 180).x[:50], dynamic.take("val", 50).x)


def test_binary_images_have_their_gray_levels_as_means():
    gray = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).expand(20_000, 1, 8, 8)
    mean = binary(gray, 0, torch.arange(20_000)).mean(0)
    torch.testing.assert_close(mean, gray[0], atol=5 * 0.5 / 20_000**0.5, rtol=0)


def test_the_mean_image_baseline_is_numpys(digits):
    train, val = (digits.images(s).double().numpy() / 255 for s in ("train", "val"))
    assert digits.mean_image_mse("val") == pytest.approx(((val - train.mean(0)) ** 2).mean(), rel=1e-6)


def test_fingerprints_tell_images_apart(digits):
    other = DigitsDataModule(name="digits", split_seed=1)
    other.setup()
    assert len(digits.fingerprint()) == 64
    assert digits.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binarize": "both"}, "data.binarize must be one of"),
        ({"batch_size": 0}, "data.batch_size must be a number of images"),
        ({"batch_size": 2000}, "data.batch_size is 2000, and data=digits has 1258 training images"),
        ({"validation": 0}, "data.validation must be"),
        ({"validation": 1700, "test": 0.2}, "none is left to train on"),
        ({"size": 4}, "data.size must lie in 8 .. 1024"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        DigitsDataModule(name="digits", **options).setup()


def test_a_batch_must_divide_among_processes():
    data = counted()
    data.trainer = SimpleNamespace(strategy=None, world_size=3, global_rank=0)
    with pytest.raises(UserError, match="multiple of 3"):
        data.train_dataloader()


# Excluded classes -----------------------------------------------------------------------------------------------


def test_excluded_classes_are_left_out_of_training_and_validation_and_kept_in_test():
    data, whole = counted(exclude=[3, "8"]), counted()
    for split in ("train", "val"):
        rows = whole.images(split)[:, 0, 0, 0]
        expected = rows[(rows % 10 != 3) & (rows % 10 != 8)]
        assert torch.equal(data.images(split)[:, 0, 0, 0], expected)
        assert torch.equal(data.annotations(split).classes, expected.long() % 10)
    assert torch.equal(data.images("test"), whole.images("test"))
    assert data.excluded.tolist() == [3, 8]


def test_excluding_what_is_no_class_lists_those_there_are():
    with pytest.raises(UserError, match=r"exclude names 'cat'.*It has the classes: 0, 1, 2"):
        counted(exclude=["cat"])
    with pytest.raises(UserError, match="leaves no image"):
        counted(exclude=range(10))


def test_excluding_without_classes_says_so():
    class Bare(Counted):
        def read(self):
            return Source(super().read().train, None, None)

    with pytest.raises(UserError, match="has no classes"):
        Bare(name="bare", batch_size=8, exclude=["a"]).setup()
