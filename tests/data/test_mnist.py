import numpy as np
import pytest
import torch
from data_samples import write_idx

from autoencoders.data.fashion import FashionMNISTDataModule
from autoencoders.data.mnist import MNISTDataModule


def test_real_mnist_keeps_its_official_test_split(mnist_root):
    data = MNISTDataModule(str(mnist_root), validation=5000)
    data.prepare_data()
    data.setup()
    assert data.name == "mnist"
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [55_000, 5_000, 10_000]
    raw = np.fromfile(mnist_root / "MNIST/raw/t10k-images-idx3-ubyte", dtype=np.uint8)[16:]
    assert np.array_equal(data.images("test").numpy().ravel(), raw)
    pixels = torch.cat([data.images("train"), data.images("val")]).double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)  # the published mean of the training images


@pytest.mark.parametrize(("kind", "name"), [(MNISTDataModule, "MNIST"), (FashionMNISTDataModule, "FashionMNIST")])
def test_existing_files_are_used_without_a_download(tmp_path, monkeypatch, kind, name):
    write_idx(tmp_path / name / "raw")
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path))
    data = kind(name=name.lower(), batch_size=8, validation=0.1)
    data.prepare_data()
    data.setup()
    assert data.shape == (1, 28, 28)
    assert data.context.size == 10
