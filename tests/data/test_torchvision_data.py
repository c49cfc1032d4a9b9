import hashlib
import pickle

import numpy as np
import pytest
import torch
from data_samples import write_idx
from PIL import Image

from autoencoders.data import array_images
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.data.torchvision_data import TorchvisionDataModule
from autoencoders.types import UserError

torchvision = pytest.importorskip("torchvision")


def prepared(tmp_path, dataset, **options):
    options = {"batch_size": 2, "validation": 0.2, "test": 0.2, "root": str(tmp_path)} | options
    data = TorchvisionDataModule(dataset, cache=str(tmp_path / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Write files in the format of CIFAR-10, with few images, and return the images and classes per file."""
    folder, rng, written = tmp_path / "cifar-10-batches-py", np.random.default_rng(0), {}
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def write_batch(name):
        pixels, labels = rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 6).tolist()
        written[name] = (pixels, labels)
        return write(name, {"data": pixels.reshape(6, -1), "labels": labels})

    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [write_batch(f"data_batch_{i}") for i in (1, 2)])
    monkeypatch.setattr(kind, "test_list", [write_batch("test_batch")])
    name, md5 = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(kind, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return written


def test_cifar_is_read_with_its_official_test_split(tmp_path, cifar):
    data = prepared(tmp_path, "CIFAR10", split="alphabetical")
    expected = np.concatenate([cifar["data_batch_1"][0], cifar["data_batch_2"][0]])
    np.testing.assert_array_equal(torch.cat([data.images("train"), data.images("val")]), expected)
    np.testing.assert_array_equal(data.images("test"), cifar["test_batch"][0])
    assert data.get_split("test").labels.tolist() == cifar["test_batch"][1]
    assert data.context.names[:3] == ("airplane", "automobile", "bird")
    assert "torchvision.datasets.CIFAR10" in data.origin


def test_a_second_start_reads_no_image(tmp_path, cifar, monkeypatch):
    first = prepared(tmp_path, "CIFAR10")
    monkeypatch.setattr(array_images, "to_array", lambda *_: pytest.fail("an image was read"))
    second = prepared(tmp_path, "CIFAR10")
    assert second.identity() == first.identity()


def test_mnist_files_give_the_images_of_data_mnist(tmp_path):
    write_idx(tmp_path / "MNIST/raw")
    data, mnist = prepared(tmp_path, "MNIST"), MNISTDataModule(str(tmp_path), batch_size=2, validation=0.2)
    mnist.setup()
    for split in ("train", "val", "test"):
        assert torch.equal(data.images(split), mnist.images(split))
        assert torch.equal(data.get_split(split).labels, mnist.get_split(split).labels)


def test_further_arguments_select_a_variant(tmp_path):
    for name in ("emnist-letters-train", "emnist-letters-test"):
        source = tmp_path / name
        write_idx(source)
        target = tmp_path / "EMNIST/raw"
        target.mkdir(parents=True, exist_ok=True)
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            (source / f"train-{kind}").rename(target / f"{name}-{kind}")
    data = prepared(tmp_path, "EMNIST", options={"split": "letters"})
    assert data.context.names[1:3] == ("a", "b")
    assert (data.shape, len(data.images("test"))) == ((1, 28, 28), 60)
    with pytest.raises(UserError, match=r"data\.options must be arguments of torchvision\.datasets\.EMNIST"):
        prepared(tmp_path, "EMNIST")


def write_celeba(folder, counts=(9, 4, 5)):
    """Write files in the format of CelebA, with 3 of the 40 attributes, and return the attributes."""
    (folder / "img_align_celeba").mkdir(parents=True)
    total = sum(counts)
    values = np.random.default_rng(0).integers(0, 2, (total, 3)) * 2 - 1
    names = [f"{i + 1:06d}.jpg" for i in range(total)]
    for i, name in enumerate(names):
        Image.new("RGB", (178, 218), (i, 10 * i, 100)).save(folder / "img_align_celeba" / name, quality=95)
    split = np.repeat([0, 1, 2], counts)
    rows = [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, values, strict=True)]
    (folder / "list_attr_celeba.txt").write_text(f"{total}\nMale Smiling Young\n" + "\n".join(rows) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(f"{n} {s}" for n, s in zip(names, split, strict=True)))
    (folder / "identity_CelebA.txt").write_text("\n".join(f"{name} 1" for name in names))
    (folder / "list_bbox_celeba.txt").write_text(
        f"{total}\nimage_id x_1 y_1 width height\n" + "\n".join(f"{n} 1 1 9 9" for n in names)
    )
    (folder / "list_landmarks_align_celeba.txt").write_text(
        f"{total}\n" + " ".join("abcdefghij") + "\n" + "\n".join(n + " 1" * 10 for n in names)
    )
    return (values + 1) // 2, counts


def test_celeba_has_attributes_and_three_official_splits(tmp_path, monkeypatch):
    values, counts = write_celeba(tmp_path / "celeba")
    kind = torchvision.datasets.CelebA
    monkeypatch.setattr(kind, "file_list", [(key, None, name) for key, _, name in kind.file_list])  # no checksums
    data = prepared(tmp_path, "CelebA", size=[54, 44], fit="stretch")
    assert tuple(len(data.images(split)) for split in ("train", "val", "test")) == counts
    assert data.shape == (3, 54, 44)
    assert (data.context.kind, data.context.names) == ("attributes", ("Male", "Smiling", "Young"))
    assert data.get_split("val").labels.tolist() == values[9:13].tolist()
    chosen = prepared(tmp_path, "CelebA", size=[54, 44], fit="stretch", attributes=["Young"])
    assert chosen.get_split("test").labels.tolist() == values[13:, 2:].tolist()


def test_a_dataset_without_splits_is_cut(tmp_path):
    options = {"size": 20, "image_size": (3, 10, 12), "num_classes": 4}
    data = prepared(tmp_path, "FakeData", options=options)
    assert data.shape == (3, 10, 12)
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [12, 4, 4]


def test_both_parts_of_omniglot_have_their_own_classes(tmp_path, monkeypatch):
    for part, alphabet in (("images_background", "Greek"), ("images_evaluation", "Tengwar")):
        for character in ("character01", "character02"):
            folder = tmp_path / "omniglot-py" / part / alphabet / character
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("1", (105, 105), i % 2).save(folder / f"{i}.png")
        (tmp_path / "omniglot-py" / f"{part}.zip").write_bytes(b"")
        monkeypatch.setitem(torchvision.datasets.Omniglot.zips_md5, part, hashlib.md5(b"").hexdigest())
    data = prepared(tmp_path, "Omniglot", size=28)
    assert data.context.names == ("test 0", "test 1", "train 0", "train 1")
    assert sorted(set(data.get_split("test").labels.tolist())) == [0, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CIFAR", r"must be the name of a class in torchvision\.datasets.* Did you mean data\.dataset=CIFAR10"),
        ("os", "must be the name of a class"),
        ("DatasetFolder", r"data\.options must be arguments of torchvision\.datasets\.DatasetFolder"),
    ],
)
def test_a_wrong_name_is_refused(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, name)


def test_missing_files_without_a_network_are_reported(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match=r"needs the files of torchvision\.datasets\.SVHN in .*data\.root"):
        prepared(tmp_path, "SVHN")
