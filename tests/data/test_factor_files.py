"""data=dsprites and data=shapes3d on small files in the published layout."""

import sys

import numpy as np
import pytest
import torch

from autoencoders.data import array_files
from autoencoders.data.dsprites import DSpritesDataModule
from autoencoders.data.shapes3d import Shapes3DDataModule
from autoencoders.types import UserError

OPTIONS = {"batch_size": 4, "validation": 0.2, "test": 0.2}


def write_dsprites(path, sizes=(1, 3, 2, 4, 2, 2), **arrays):
    """Write a file with the arrays and types of dSprites, in which image i shows the binary digits of i.

    Return the array `latents_classes`.
    """
    classes = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, 6)
    values = classes * [1, 1, 0.5, 0.7, 1, 1] + [1, 1, 0.5, 0, 0, 0]
    images = np.zeros((len(classes), 64, 64), np.uint8)
    images[:, 0, :8] = np.arange(len(classes))[:, None] >> np.arange(8) & 1
    metadata = np.array({"date": "April 2017", "latents_sizes": np.array(sizes)}, dtype=object)
    content = {"imgs": images, "latents_classes": classes, "latents_values": values, "metadata": metadata} | arrays
    np.savez_compressed(path, **{name: array for name, array in content.items() if array is not None})
    return classes


def prepare(kind, path, tmp_path, **options):
    data = kind(str(path), **{"cache": str(tmp_path / "cache")} | OPTIONS | options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("bytes_at_a_time", [1, 4096 * 7, 2**24])
def test_dsprites_is_read_in_chunks(tmp_path, monkeypatch, bytes_at_a_time):
    classes = write_dsprites(tmp_path / "d.npz")
    monkeypatch.setattr(array_files.iterate_rows, "__defaults__", (bytes_at_a_time,))
    data = prepare(DSpritesDataModule, tmp_path / "d.npz", tmp_path)
    assert data.shape == (1, 64, 64)
    assert data.factors.names == ("color", "shape", "scale", "orientation", "x", "y")
    assert data.factors.sizes == (1, 3, 2, 4, 2, 2)
    assert data.factors.values[1] == ("square", "ellipse", "heart")
    assert data.factors.values[3] == pytest.approx([0, 0.7, 1.4, 2.1])
    for split in ("train", "val", "test"):
        pixels, factors = data.images(split), data.annotations(split).factors
        number = ((pixels[:, 0, 0, :8] > 0) * 2 ** torch.arange(8)).sum(1)
        assert set(pixels.unique().tolist()) == {0, 255}
        np.testing.assert_array_equal(classes[number], factors)
        np.testing.assert_array_equal(data.annotations(split).classes, factors[:, 1])


def test_a_share_of_dsprites_is_the_same_images(tmp_path):
    classes = write_dsprites(tmp_path / "d.npz")
    data = prepare(DSpritesDataModule, tmp_path / "d.npz", tmp_path, count=20, label=None)
    number = ((data.images("train")[:, 0, 0, :8] > 0) * 2 ** torch.arange(8)).sum(1)
    np.testing.assert_array_equal(classes[number], data.annotations("train").factors)
    assert sum(len(data.images(split)) for split in ("train", "val", "test")) == 20
    assert data.context is None


def test_faults_of_a_dsprites_file_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data.path must be the .npz file of dSprites, got .*none.npz"):
        prepare(DSpritesDataModule, tmp_path / "none.npz", tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"broken.npz cannot be read"):
        prepare(DSpritesDataModule, tmp_path / "broken.npz", tmp_path)
    write_dsprites(tmp_path / "few.npz", latents_values=None)
    with pytest.raises(UserError, match=r"must contain the arrays .*, but has no latents_values"):
        prepare(DSpritesDataModule, tmp_path / "few.npz", tmp_path)
    write_dsprites(tmp_path / "columns.npz", latents_classes=np.zeros((96, 5), int))
    with pytest.raises(UserError, match=r"must have 6 columns and the same shape, got \(96, 5\)"):
        prepare(DSpritesDataModule, tmp_path / "columns.npz", tmp_path)


def write_shapes3d(path):
    """Write a file with the datasets and types of 3D Shapes, in which image i has the red value i everywhere."""
    h5py = pytest.importorskip("h5py")
    hues, sizes = [0.0, 0.1], (2, 2, 2, 3, 4, 3)
    columns = [hues, hues, hues, [0.75, 1.0, 1.25], [0, 1, 2, 3], [-30.0, 0.0, 30.0]]
    classes = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, 6)[:250]
    values = np.stack([np.array(column)[classes[:, i]] for i, column in enumerate(columns)], axis=1).astype(float)
    images = np.zeros((len(classes), 64, 64, 3), np.uint8)
    images[..., 0] = np.arange(len(classes))[:, None, None]
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = images, values
    return classes


def test_shapes3d_is_read(tmp_path):
    classes = write_shapes3d(tmp_path / "s.h5")
    data = prepare(Shapes3DDataModule, tmp_path / "s.h5", tmp_path, count=100)
    assert data.shape == (3, 64, 64)
    assert data.factors.names[4:] == ("shape", "orientation")
    assert data.factors.values[5] == (-30, 0, 30)
    assert data.factors.ordered == (True, True, True, True, False, True)
    assert data.context.names == ("0", "1", "2", "3")
    for split in ("train", "test"):
        number = data.images(split)[:, 0, 5, 5].long()
        np.testing.assert_array_equal(classes[number], data.annotations(split).factors)
        assert not data.images(split)[:, 1:].any()


def test_faults_of_a_shapes3d_file_are_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"data.path must be the .h5 file of 3D Shapes, got .*none.h5"):
        prepare(Shapes3DDataModule, tmp_path / "none.h5", tmp_path)
    (tmp_path / "s.h5").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"data=shapes3d needs the package h5py. Install .*\[shapes3d\]"):
        prepare(Shapes3DDataModule, tmp_path / "s.h5", tmp_path)


def test_a_file_that_is_not_hdf5_is_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "s.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"s.h5 cannot be read as the file of 3D Shapes"):
        prepare(Shapes3DDataModule, tmp_path / "s.h5", tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"], file["labels"] = np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 2))
    with pytest.raises(UserError, match=r"must have the shapes N x H x W x C and N x 6"):
        prepare(Shapes3DDataModule, tmp_path / "other.h5", tmp_path)
