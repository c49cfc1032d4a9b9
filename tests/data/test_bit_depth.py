import functools

import numpy as np
import pytest
import torch
from data_samples import paint, prepared, write_16_bit_colors
from PIL import Image

from autoencoders.data.bit_depth import loses_bits
from autoencoders.data.wrapped_dataset import DatasetDataModule

NOTE = "3 files with 16 bits per color channel are read with 8 bits. data=arrays reads 16 bits from .npy files."


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_colors_with_16_bits_lose_bits(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (8, 9, 3))
    write_16_bit_colors(tmp_path / f"x.{suffix}", pixels)
    with Image.open(tmp_path / f"x.{suffix}") as image:
        assert loses_bits(image)
        decoded = np.asarray(image)
    assert decoded.dtype == np.uint8  # if Pillow learns to decode 16 bits, the note is wrong
    assert np.abs(decoded - pixels / 257).max() < 1


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.ppm", "x.jpg", "x.webp", "x.gif", "x.bmp"])
def test_colors_with_8_bits_and_gray_with_16_bits_lose_none(tmp_path, name):
    paint(tmp_path / name, 7)
    with Image.open(tmp_path / name) as image:
        assert not loses_bits(image)
    if name in ("x.png", "x.tif"):
        Image.fromarray(np.full((8, 8), 999, np.uint16)).save(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert not loses_bits(image)


@pytest.mark.parametrize("white", [None, 255])
def test_a_folder_notes_the_number_of_files_that_lose_bits_also_from_its_cache(tmp_path, white):
    for i in range(10):
        paint(tmp_path / f"in/{i}.png", i)
    for i, name in enumerate(("a.png", "b.tif", "c.ppm")):
        write_16_bit_colors(tmp_path / "in" / name, np.full((8, 8, 3), 257 * i))
    data = prepared(tmp_path / "in", tmp_path, white=white)
    assert data.notes[0] == NOTE
    assert prepared(tmp_path / "in", tmp_path, white=white).notes == data.notes


def test_images_of_the_user_print_the_note(tmp_path, capsys):
    for i in range(10):
        paint(tmp_path / f"in/{i}.png", i)
    data = prepared(tmp_path / "in", tmp_path)
    assert data.notes == []
    write_16_bit_colors(tmp_path / "own.png", np.full((8, 8, 3), 257 * 9))
    capsys.readouterr()
    assert data.read_image_files([tmp_path / "in/0.png", tmp_path / "own.png"])[:, 0, 0, 0].tolist() == [0, 9]
    assert "1 file with 16 bits per color channel is read with 8 bits." in capsys.readouterr().err
    data.read_image_files([tmp_path / "in/0.png"])
    assert capsys.readouterr().err == ""


class OpenedFiles(torch.utils.data.Dataset):
    """Images that are opened and not loaded, three of them with 16 bits per color channel."""

    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i >= 12:
            raise IndexError
        return Image.open(self.folder / f"{i}.png"), i % 2


def test_a_wrapped_dataset_notes_the_number_of_images_that_lose_bits(tmp_path):
    for i in range(12):
        if i % 4:
            paint(tmp_path / f"{i}.png", i, (8, 8))
        else:
            write_16_bit_colors(tmp_path / f"{i}.png", np.full((8, 8, 3), 257 * i))
    data = DatasetDataModule(functools.partial(OpenedFiles, tmp_path), batch_size=2, cache=str(tmp_path / "cache"))
    data.prepare_data()
    data.setup()
    assert NOTE in data.notes
