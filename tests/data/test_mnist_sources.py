"""MNIST from four sources: equal images and, with equal splits and seed, equal metrics."""

import numpy as np
import pytest
import torch

from autoencoders.config import instantiate
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.train import train

COUNT = {"train": 3000, "test": 500}
WORDS = ["model=cvae", "net.widths=[16]", "likelihood=bernoulli", "latent_dim=4", "data.validation=500", "trainer=cpu"]
WORDS += ["trainer.max_epochs=1", "trainer.limit_train_batches=15", "logger=none", "callbacks=[checkpoint,baselines]"]


@pytest.fixture(scope="module")
def mnist(mnist_root):
    """The official parts of MNIST."""
    return MNISTDataModule(str(mnist_root)).read()


@pytest.fixture(scope="module")
def sources(mnist, tmp_path_factory):
    """Write the first images of MNIST in the format of each source. Return source -> command-line words."""
    place = tmp_path_factory.mktemp("mnist")
    parts = {name: (data.images[: COUNT[name]], data.labels[: COUNT[name]]) for name, data in mnist.parts.items()}
    write_idx_files(place / "MNIST/raw", parts)
    arrays = {f"{name}_images": images[:, 0].numpy() for name, (images, _) in parts.items()}
    labels = {f"{name}_labels": values.numpy()[:, None] for name, (_, values) in parts.items()}
    np.savez_compressed(place / "mnist.npz", **arrays, **labels)
    return {
        "mnist": ["data=mnist", f"data.root={place}"],
        "arrays": ["data=arrays", f"data.path={place}/mnist.npz", f"data.cache={place}/cache"],
        "torchvision": ["data=torchvision", "data.dataset=MNIST", f"data.root={place}", f"data.cache={place}/cache"],
        "huggingface": ["data=huggingface", f"data.dataset={write_parquet(place, parts)}", f"data.cache={place}/cache"],
    }


def write_idx_files(folder, parts):
    folder.mkdir(parents=True)
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = parts[name]
        for kind, array in (("images-idx3", images[:, 0].numpy()), ("labels-idx1", labels.byte().numpy())):
            sizes = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4")
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(sizes.tobytes() + array.tobytes())


def write_parquet(place, parts):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)})
    (place / "parquet").mkdir()
    for name, (images, labels) in parts.items():
        content = {"image": [Image.fromarray(image[0].numpy()) for image in images], "label": labels.tolist()}
        rows = datasets.Dataset.from_dict(content, features=features)
        rows.to_parquet(place / f"parquet/{name}-00000-of-00001.parquet")
    return place / "parquet"


def test_four_sources_give_equal_images_and_metrics(sources, compose_into, tmp_path):
    images, metrics = {}, {}
    for name, words in sources.items():
        config = compose_into(*words, *WORDS, folder=tmp_path / name)
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        images[name] = {split: (data.images(split), data.get_split(split).labels) for split in ("train", "val", "test")}
        metrics[name] = train(config)
    for name, found in images.items():
        for split, (pixels, labels) in found.items():
            assert torch.equal(pixels, images["mnist"][split][0]), (name, split)
            assert torch.equal(labels, images["mnist"][split][1]), (name, split)
    assert len(metrics["mnist"]) > 10
    assert metrics["arrays"] == metrics["torchvision"] == metrics["huggingface"] == metrics["mnist"]


@pytest.mark.parametrize("source", ["arrays", "torchvision", "huggingface"])
def test_a_classifier_is_trained_on_every_source(sources, compose_into, tmp_path, source):
    words = ["model=classifier", "net.width=4", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=3"]
    metrics = train(compose_into(*sources[source], *words, "callbacks=none", "logger=none", folder=tmp_path / "run"))
    assert 0 < metrics["test/accuracy"] < 1
