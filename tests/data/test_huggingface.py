import io

import numpy as np
import pytest
import torch
from data_samples import write_16_bit_colors
from PIL import Image

from autoencoders.config.data_paths import make_paths_absolute
from autoencoders.data import array_images
from autoencoders.data.huggingface import HuggingFaceDataModule, split_files
from autoencoders.types import UserError

datasets = pytest.importorskip("datasets")


def prepared(tmp_path, dataset, **options):
    options = {"batch_size": 2, "split": "alphabetical", "validation": 0.2, "test": 0.2} | options
    data = HuggingFaceDataModule(str(dataset), cache=str(tmp_path / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


def rows(count, start=0):
    """Return a dataset with images whose pixels are equal to their index, and two columns of numbers."""
    features = {
        "picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"]),
        "age": datasets.Value("float32"), "word": datasets.Value("string"),
    }  # fmt: skip
    numbers = range(start, start + count)
    content = {
        "picture": [Image.fromarray(np.full((8, 10), i, np.uint8)) for i in numbers],
        "kind": [i % 2 for i in numbers], "age": [i / 4 for i in numbers], "word": ["xy"[i % 2] for i in numbers],
    }  # fmt: skip
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def write_parquet(folder, splits=("train", "validation", "test")):
    folder.mkdir()
    for i, split in enumerate(splits):
        rows(10 - i, 20 * i).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def first(data, split):
    return data.images(split)[:, 0, 0, 0].tolist()


def test_parquet_files_are_read_with_their_splits(tmp_path, monkeypatch):
    data = prepared(tmp_path, write_parquet(tmp_path / "in"))
    assert [first(data, split) for split in ("train", "val", "test")] == [
        list(range(10)), list(range(20, 29)), list(range(40, 48)),
    ]  # fmt: skip
    assert (data.shape, data.context.names) == ((1, 8, 10), ("cat", "dog"))
    assert data.get_split("val").labels.tolist() == [i % 2 for i in range(9)]
    assert "Columns: images: picture, labels: kind." in data.notes
    monkeypatch.setattr(array_images, "to_array", lambda *_: pytest.fail("an image was read"))
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("an image was opened"))
    assert prepared(tmp_path, tmp_path / "in").identity() == data.identity()


def test_a_changed_file_is_read_again(tmp_path):
    folder = write_parquet(tmp_path / "in", ["train"])
    assert sum((first(prepared(tmp_path, folder), s) for s in ("train", "val", "test")), []) == list(range(10))
    rows(10, 50).to_parquet(folder / "train-00000-of-00001.parquet")
    assert sum((first(prepared(tmp_path, folder), s) for s in ("train", "val", "test")), []) == list(range(50, 60))


@pytest.mark.parametrize("complete", [False, True])
def test_folders_of_save_to_disk_are_read(tmp_path, complete):
    if complete:
        datasets.DatasetDict({"train": rows(10), "test": rows(5, 30)}).save_to_disk(tmp_path / "in")
    else:
        rows(10).save_to_disk(tmp_path / "in")
    data = prepared(tmp_path, tmp_path / "in")
    assert first(data, "test") == (list(range(30, 35)) if complete else [8, 9])


@pytest.mark.parametrize(
    ("column", "kind", "names"),
    [("age", "attributes", ("label",)), ("word", "classes", ("x", "y")), ("none", None, None)],
)
def test_label_columns_are_named(tmp_path, column, kind, names):
    data = prepared(tmp_path, write_parquet(tmp_path / "in"), label_column=column)
    assert (data.context and data.context.kind, data.context and data.context.names) == (kind, names)


def test_other_parquet_files_with_encoded_pictures_are_read(tmp_path):
    import pyarrow
    import pyarrow.parquet

    def encode(i):
        stream = io.BytesIO()
        Image.fromarray(np.full((8, 10, 3), i, np.uint8)).save(stream, "png")
        return {"bytes": stream.getvalue(), "path": None}

    table = pyarrow.table({"image": [encode(i) for i in range(10)], "label": list(range(10))})
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "in/data.parquet")
    data = prepared(tmp_path, tmp_path / "in")
    assert (first(data, "test"), data.context) == ([8, 9], None)
    assert prepared(tmp_path, tmp_path / "in", label_column="label").get_split("test").labels.tolist() == [8, 9]


def test_unknown_splits_and_columns_are_refused(tmp_path):
    folder = write_parquet(tmp_path / "in", ["train", "extra"])
    with pytest.raises(
        UserError, match=r"must be train, validation and test, got extra, train\. Set .* data\.splits=\[train\]"
    ):
        prepared(tmp_path, folder)
    assert len(prepared(tmp_path, folder, splits=["train"]).images("train")) == 6
    assert first(prepared(tmp_path, folder, splits=["extra"]), "train")[0] == 20
    for options, message in (
        ({"splits": ["dev"]}, r"data\.splits must contain only splits of .*, got 'dev'\. Choose from: extra, train"),
        ({"image_column": "img"}, r"data\.image_column must be a column .* Choose from: picture, kind, age, word"),
        ({"label_column": "x"}, r"data\.label_column must be a column .* Choose from: picture, kind, age, word"),
    ):
        with pytest.raises(UserError, match=message):
            prepared(tmp_path, folder, **({"splits": ["train"]} | options))


def test_other_folders_and_missing_datasets_are_refused(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"must be a folder of Parquet files or of Arrow files, got .* with neither"):
        prepared(tmp_path, tmp_path / "empty")
    pictures = [Image.new("L", (8, 8))] * 4
    features = datasets.Features({"picture": datasets.Image(), "second": datasets.Image()})
    two = datasets.Dataset.from_dict({"picture": pictures, "second": pictures}, features=features)
    (tmp_path / "two").mkdir()
    two.to_parquet(tmp_path / "two/data.parquet")
    with pytest.raises(UserError, match=r"data\.image_column must be set .* several columns .*picture, second"):
        prepared(tmp_path, tmp_path / "two")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(UserError, match=r"must be a dataset on the Hugging Face hub.*no network"):
        prepared(tmp_path, "some/dataset")


def test_pictures_of_16_bits_keep_them(tmp_path):
    values = np.arange(10, dtype=np.uint16) * 7000
    pictures = [Image.fromarray(np.full((8, 8), value)) for value in values]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": pictures}, features=features).save_to_disk(tmp_path / "in")
    data = prepared(tmp_path, tmp_path / "in", depth=16)
    stored = torch.cat([data.images(split) for split in ("train", "val", "test")])[:, 0, 0, 0]
    assert stored.tolist() == values.tolist()


def test_pictures_with_16_bits_per_color_channel_are_counted(tmp_path):
    cells = []
    for i in range(10):
        write_16_bit_colors(tmp_path / f"{i}.png", np.full((8, 8, 3), 257 * i))
        cells.append(str(tmp_path / f"{i}.png"))
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": cells}, features=features).save_to_disk(tmp_path / "in")
    data = prepared(tmp_path, tmp_path / "in")
    assert "10 files with 16 bits per color channel are read with 8 bits." in " ".join(data.notes)
    assert first(data, "test") == [8, 9]


def test_splits_are_found_in_names_of_files_and_folders(tmp_path):
    def names(*paths):
        return {k: [f.removeprefix(f"{tmp_path}/") for f in v] for k, v in
                split_files(tmp_path, [tmp_path / path for path in paths]).items()}  # fmt: skip

    assert names("a.parquet", "b.parquet") == {"train": ["a.parquet", "b.parquet"]}
    assert names("data/train-0-of-2.parquet", "data/train-1-of-2.parquet", "valid/0.parquet") == {
        "train": ["data/train-0-of-2.parquet", "data/train-1-of-2.parquet"], "validation": ["valid/0.parquet"],
    }  # fmt: skip
    assert list(names("train.parquet", "extra-0-of-1.parquet")) == ["train", "extra"]


def test_the_path_of_a_local_folder_is_recorded_as_absolute(tmp_path, monkeypatch):
    write_parquet(tmp_path / "in", ["train"])
    monkeypatch.chdir(tmp_path)
    target = f"{HuggingFaceDataModule.__module__}.{HuggingFaceDataModule.__qualname__}"
    assert make_paths_absolute({"_target_": target, "dataset": "in"})["dataset"] == str(tmp_path / "in")
    assert make_paths_absolute({"_target_": target, "dataset": "mnist"})["dataset"] == "mnist"
    assert make_paths_absolute({"_target_": "x.TorchvisionDataModule", "dataset": "in"})["dataset"] == "in"
