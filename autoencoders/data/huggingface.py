"""Datasets of the library `datasets`: from the Hugging Face hub, or from a local folder."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.data.array_images import ArrayImagesDataModule, Items, Opened, Part
from autoencoders.data.folder_splits import MEANINGS
from autoencoders.data.image_cache import cache_folder, file_digest
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.extras import import_extra

MARKS = ("dataset_dict.json", "dataset_info.json")
"""Files that `save_to_disk` writes."""
SHARD = re.compile(r"-\d+-of-\d+$")
"""End of the name of a file that contains one of several pieces of a split."""
ENCODED = {"bytes", "path"}
"""Fields of a column of encoded pictures without a declared type."""
READ_SPLITS = {**MEANINGS, "dev": "val"}
"""Name of a split, in lower case -> part."""


class HuggingFaceDataModule(ArrayImagesDataModule):
    """A dataset of the library `datasets`, with its splits.

    Args:
        dataset: name of a dataset on the hub, such as `mnist`; or a folder of Parquet or Arrow files, whose names or
            subfolders contain the names of the splits; or a folder that `save_to_disk` has written.
        config: name of a configuration of the dataset; empty for the default.
        image_column: column of the images; empty for the only column of the type `Image`.
        label_column: column of the labels; empty for the only column of the type `ClassLabel`; `none` for no labels.
        splits: names of the splits that are read; empty for all. The splits of the dataset must be `train`,
            `validation` and `test`. A single split with any name is read as one part, from which the splits are cut.
        **options: options of `ArrayImagesDataModule`.
    """

    default_name: ClassVar[str] = "huggingface"

    def __init__(
        self,
        dataset: str,
        *,
        config: str = "",
        image_column: str = "",
        label_column: str = "",
        splits: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.dataset, self.config, self.splits = dataset, config, tuple(splits)
        self.image_column, self.label_column = image_column, label_column
        self._prepared: Mapping[str, Any] | None = None

    @property
    def has_labels(self) -> bool:
        """Whether the images may have labels, which is false only if `label_column` is `none`."""
        return self.label_column != "none"

    @property
    def folder(self) -> Path | None:
        """Local folder of the dataset, or None for a dataset on the hub."""
        path = Path(self.dataset).expanduser()
        return path if path.is_dir() else None

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        if self.folder is not None:
            return str(self.folder.absolute())
        return f"Hugging Face dataset {self.dataset}" + (f", configuration {self.config}" if self.config else "")

    def prepare_data(self) -> None:
        """Download the dataset if it is on the hub and not yet downloaded."""
        if self.is_loaded:  # Lightning calls this method again before the test, when the files may no longer exist
            return
        self._prepared = self._load()

    def open(self) -> Opened:
        """Open the splits and find the columns of the images and labels."""
        loaded, self._prepared = self._prepared or self._load(), None
        parts: dict[str, Part] = {}
        names, columns = None, []
        for part, split in self._find_parts(loaded).items():
            image, label, split = self._find_columns(split)
            columns = [f"images: {image}", f"labels: {label or 'none'}"]
            chosen = split.select_columns([image, label] if label else [image])
            parts[part] = RowsPart(chosen, image, label)
            names = names or getattr(chosen.features.get(label), "names", None)
        return Opened(parts, names, notes=[f"Columns: {', '.join(columns)}."])

    def _load(self) -> Mapping[str, Any]:
        """Return split -> dataset of the library `datasets`."""
        library = import_extra("datasets", "huggingface", "data=huggingface")
        library.disable_progress_bars()
        folder = self.folder
        try:
            if folder is not None and any((folder / mark).is_file() for mark in MARKS):
                loaded = library.load_from_disk(str(folder))
            elif folder is not None:
                loaded = self._load_files(library, folder)
            else:
                loaded = library.load_dataset(self.dataset, self.config or None)
        except UserError:
            raise
        except Exception as error:  # the library raises many types of exceptions
            raise UserError(
                f"data.dataset must be a dataset on the Hugging Face hub, or a folder of Parquet or Arrow files, got "
                f"{self.dataset}, which cannot be loaded ({short_reason(error)}). Connect to the network, or correct "
                "data.dataset or data.config."
            ) from error
        return loaded if isinstance(loaded, Mapping) else {"train": loaded}

    def _load_files(self, library: Any, folder: Path) -> Mapping[str, Any]:
        """Load a folder of Parquet or Arrow files."""
        files = sorted(file for file in folder.rglob("*") if file.suffix in (".parquet", ".arrow"))
        kinds = sorted({file.suffix for file in files})
        if len(kinds) != 1:
            raise UserError(
                f"data.dataset must be a folder of Parquet files or of Arrow files, got {folder} with "
                f"{' and '.join(kinds) or 'neither'}. Correct data.dataset."
            )
        place = str(cache_folder(self.cache) / "huggingface")
        return library.load_dataset(kinds[0][1:], data_files=split_files(folder, files), cache_dir=place)

    def _find_parts(self, loaded: Mapping[str, Any]) -> dict[str, Any]:
        """Return part -> dataset.

        Raises:
            UserError: if a split has a name that is not known, or there is no training split.
        """
        names = self.splits or tuple(loaded)
        missing = [name for name in names if name not in loaded]
        if missing:
            raise UserError(
                f"data.splits must contain only splits of {self.dataset}, got {missing[0]!r}. Choose from: "
                f"{', '.join(loaded)}."
            )
        if len(names) == 1:
            return {"train": loaded[names[0]]}
        parts = {READ_SPLITS.get(name.lower(), ""): loaded[name] for name in names}
        if "" in parts or "train" not in parts or len(parts) < len(names):
            known = [name for name in names if name.lower() in READ_SPLITS] or [names[0]]
            raise UserError(
                f"The splits of {self.dataset} must be train, validation and test, got {', '.join(names)}. Set "
                f"data.splits to those that are read, such as data.splits=[{','.join(known)}]."
            )
        return parts

    def _find_columns(self, split: Any) -> tuple[str, str, Any]:
        """Return the column of the images, the column of the labels or an empty text, and the dataset.

        A column of encoded pictures without a declared type, as in Parquet files of other programs, gets the type
        `Image`.
        """
        library = import_extra("datasets", "huggingface", "data=huggingface")
        images = [name for name, kind in split.features.items() if isinstance(kind, library.Image)]
        encoded = [name for name, kind in split.features.items() if isinstance(kind, dict) and set(kind) == ENCODED]
        image = self._choose("image_column", images or encoded, split)
        if image in encoded:
            split = split.cast_column(image, library.Image())
        if self.label_column == "none":
            return image, "", split
        classes = [name for name, kind in split.features.items() if isinstance(kind, library.ClassLabel)]
        if not classes and not self.label_column:
            return image, "", split
        return image, self._choose("label_column", classes, split), split

    def _choose(self, option: str, found: Sequence[str], split: Any) -> str:
        """Return the column that an option names, or the only column that was found."""
        given = self.image_column if option == "image_column" else self.label_column
        columns = ", ".join(split.column_names)
        if given:
            if given in split.column_names:
                return given
            raise UserError(f"data.{option} must be a column of {self.dataset}, got {given!r}. Choose from: {columns}.")
        if len(found) == 1:
            return found[0]
        reason = f"several columns may be meant ({', '.join(found)})" if found else "no column has its type"
        raise UserError(f"data.{option} must be set for {self.dataset}, because {reason}. Choose from: {columns}.")


def split_files(folder: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Return split -> files, from the words in the relative paths of the files.

    A file belongs to a split if a word such as `train` is in its path, as in `train-00000-of-00001.parquet`. If no file
    belongs to a split, all files are `train`. Otherwise, the name of each other file is the name of a further split.
    (The library `datasets` would not read these files.)
    """
    splits: dict[str, list[str]] = {}
    known = False
    for file in files:
        path = file.relative_to(folder).with_suffix("")
        words = [word.lower() for word in re.split(r"[^A-Za-z]+", path.as_posix())]
        names = {READ_SPLITS[word] for word in words if word in READ_SPLITS}
        known = known or bool(names)
        name = names.pop() if len(names) == 1 else SHARD.sub("", path.as_posix())
        splits.setdefault({"val": "validation"}.get(name, name), []).append(str(file))
    return splits if known else {"train": [str(file) for file in files]}


class RowsPart:
    """A part whose images are the rows of a dataset of the library `datasets`.

    Args:
        rows: dataset with the chosen columns.
        image: column of the images.
        label: column of the labels, or an empty text.
    """

    def __init__(self, rows: Any, image: str, label: str) -> None:
        library = import_extra("datasets", "huggingface", "data=huggingface")
        self.encoded = isinstance(rows.features[image], library.Image)
        # An image that the library has decoded no longer states the number of bits in its file.
        self.rows = rows.cast_column(image, library.Image(decode=False)) if self.encoded else rows
        self.image, self.label, self.count = image, label, len(rows)
        files = [Path(entry["filename"]) for entry in rows.cache_files]
        self.key = [image, label, self.count, [[str(file), file_digest(file.parent, [file.name])] for file in files]]

    def read(self, rows: range) -> tuple[Items, Items | None]:
        """Return the images and the labels with the given indices."""
        columns = self.rows[rows.start : rows.stop]
        images = [_open_picture(entry) for entry in columns[self.image]] if self.encoded else columns[self.image]
        return images, columns[self.label] if self.label else None


def _open_picture(entry: Mapping[str, Any] | None) -> Any:
    """Open an image file of a dataset: its bytes, or, without bytes, its path. Return None for an empty cell."""
    from PIL import Image

    if entry is None:
        return None
    return Image.open(io.BytesIO(entry["bytes"]) if entry["bytes"] is not None else entry["path"])
