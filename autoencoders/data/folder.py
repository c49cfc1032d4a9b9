"""Any tree of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.image_cache import cached_images, listing
from autoencoders.data.image_io import FITS, decode_files, picture_names, read_all, read_picture, unreadable_files
from autoencoders.data.loader import Split
from autoencoders.types import Annotations, Context, UserError


class ImageFolderDataModule(ImageDataModule):
    """All pictures under a folder, in sorted order; `train/` and `test/` in it are honoured as splits.

    Args:
        path: the folder.
        size: side of the square images, in pixels.
        color: three channels, else one.
        fit: `crop` keeps proportions and cuts what is over; `stretch` does not.
        labels: `folders`: the first sub-folder names the class; `none`; or a CSV file whose first column is the
            picture's path under the folder. One further column of words or whole numbers gives classes; several
            columns, or decimal numbers, give attributes.
        skip_unreadable: leave files out that are no readable pictures, and note it, instead of refusing the folder.
        cache: folder of decoded images; None for the user's cache folder.
        **common: see `ImageData`.
    """

    def __init__(
        self,
        *,
        path: str,
        size: int = 64,
        color: bool = True,
        fit: str = "crop",
        labels: str = "folders",
        skip_unreadable: bool = False,
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if fit not in FITS:
            raise UserError(f"data.fit must be one of {list(FITS)}, and is {fit!r}.")
        if not 8 <= size <= 1024:
            raise UserError(f"data.size must lie in 8 .. 1024 pixels, and is {size}.")
        self.path, self.size, self.color, self.fit = Path(path).expanduser(), size, color, fit
        self.labels, self.skip_unreadable, self.cache = labels, skip_unreadable, cache

    @property
    def tells(self) -> bool:
        """Whether labels come with the images."""
        return self.labels != "none"

    def prepare_data(self) -> None:
        """Nothing to fetch; the folder must be there."""
        if not self.path.is_dir():
            raise UserError(f"data.path must be a folder of pictures, and {self.path} is none.")

    def read(self) -> Source:
        """The pictures of `train/` (and `test/`), or of the whole folder."""
        parts = [self.path / name for name in ("train", "test") if (self.path / name).is_dir()]
        parts = parts if parts and parts[0].name == "train" else [self.path]
        names = [picture_names(part) for part in parts]
        # As seen from the folder itself, which is what a table of labels and annotations call them by.
        self._paths = [
            found if part == self.path else [f"{part.name}/{name}" for name in found]
            for part, found in zip(parts, names, strict=True)
        ]
        classes, labels = self._label(names)
        splits = [self._split(p, n, y) for p, n, y in zip(parts, names, labels, strict=True)]
        return Source(splits[0], splits[1] if len(splits) > 1 else None, classes)

    def annotate(self, test: bool) -> Annotations:
        """Paths under the folder, and the labels."""
        found = super().annotate(test)
        found.names = self._paths[int(test)]
        return found

    def read_pictures(self, files: Sequence[Path]) -> Tensor:
        """Cut or stretched as the folder's."""
        return torch.from_numpy(read_all(files, self._decode))

    def _decode(self, file: Path) -> np.ndarray:
        return read_picture(file, (self.size, self.size), color=self.color, fit=self.fit)

    def _split(self, part: Path, names: list[str], labels: Tensor | None) -> Split:
        images, unreadable = cached_images(
            f"folder-{self.path.name}",
            ["folder", str(part.resolve()), listing(part, names), self.size, self.color, self.fit],
            len(names),
            (3 if self.color else 1, self.size, self.size),
            decode_files(names, lambda name: self._decode(part / name), f"decoding {part.name}"),
            cache=self.cache,
            memory=self.memory,
        )
        if not unreadable:
            return Split(images, labels)
        told = unreadable_files({part / names[row]: why for row, why in unreadable.items()}, len(names))
        if not self.skip_unreadable:
            raise UserError(f"{told} Remove or repair them, or leave them out with data.skip_unreadable=true.")
        self.notes.append(f"{told} They are left out.")
        return Split(images, labels, torch.tensor(list(unreadable)))

    def _label(self, names: list[list[str]]) -> tuple[Context | None, list[Tensor | None]]:
        if self.labels == "none":
            return None, [None] * len(names)
        if self.labels != "folders":
            return self._table()
        first = [[_first_folder(name) for name in part] for part in names]
        words = sorted({word for part in first for word in part if word is not None})
        if len(words) < 2 or any(word is None for part in first for word in part):
            return None, [None] * len(names)
        return _classes(words, first)

    def _table(self) -> tuple[Context, list[Tensor]]:
        import pandas as pd

        path = Path(self.labels).expanduser()
        if not path.is_file():
            raise UserError(f"data.labels must be folders, none or a CSV file, and {self.labels} is none of these.")
        table = pd.read_csv(path)
        table = table.set_index(table.columns[0])
        keys = [pd.Index(part) for part in self._paths]
        missing = [key for part in keys for key in part[~part.isin(table.index)]]
        if missing or not len(table.columns):
            raise UserError(
                f"{path} has no label for {missing[0] if missing else 'anything'} (first column: the path)."
            )
        rows = [table.loc[part] for part in keys]
        column = table[table.columns[0]]
        if len(table.columns) == 1 and not pd.api.types.is_float_dtype(column):
            words = sorted(column.unique().tolist())
            return _classes(words, [part[column.name].tolist() for part in rows])
        context = Context("attributes", tuple(map(str, table.columns)))
        return context, [torch.tensor(part.to_numpy(dtype="float32")) for part in rows]


def _first_folder(name: str) -> str | None:
    first, inside, _ = name.partition("/")
    return first if inside else None


def _classes(words: Sequence, names: Sequence[Sequence]) -> tuple[Context, list[Tensor]]:
    number = {word: i for i, word in enumerate(words)}
    labels = [torch.tensor([number[name] for name in part]) for part in names]
    return Context("classes", tuple(map(str, words))), labels
