"""Any tree of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoencoders.data.base import ImageData, Source
from autoencoders.data.batches import Split
from autoencoders.data.pictures import FITS, pictures, read_picture
from autoencoders.data.store import cached_images, decode_files, listing
from autoencoders.types import Annotations, Context, UserError


class Folder(ImageData):
    """All pictures under a folder, in sorted order; `train/` and `test/` in it are honoured as splits.

    Args:
        path: the folder.
        size: side of the square images, in pixels.
        colour: three channels, else one.
        fit: `crop` keeps proportions and cuts what is over; `stretch` does not.
        labels: `folders`: the first sub-folder names the class; `none`; or a CSV file whose first column is the
            picture's path under the folder. One further column of words or whole numbers gives classes; several
            columns, or decimal numbers, give attributes.
        cache: folder of decoded images; None for the user's cache folder.
        **common: see `ImageData`.
    """

    def __init__(
        self,
        *,
        path: str,
        size: int = 64,
        colour: bool = True,
        fit: str = "crop",
        labels: str = "folders",
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if fit not in FITS:
            raise UserError(f"data.fit must be one of {list(FITS)}, and is {fit!r}.")
        if not 8 <= size <= 1024:
            raise UserError(f"data.size must lie in 8 .. 1024 pixels, and is {size}.")
        self.path, self.size, self.colour, self.fit = Path(path).expanduser(), size, colour, fit
        self.labels, self.cache = labels, cache

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
        files = [pictures(part) for part in parts]
        self._files = files
        classes, labels = self._label(parts, files)
        splits = [Split(self._store(p, f), y) for p, f, y in zip(parts, files, labels, strict=True)]
        return Source(splits[0], splits[1] if len(splits) > 1 else None, classes)

    def annotate(self, test: bool) -> Annotations:
        """Paths under the folder, and the labels."""
        found = super().annotate(test)
        found.names = [file.relative_to(self.path).as_posix() for file in self._files[int(test)]]
        return found

    def read_pictures(self, files: Sequence[Path]) -> Tensor:
        """Cut or stretched as the folder's."""
        side = (self.size, self.size)
        read = (read_picture(f, side, colour=self.colour, fit=self.fit) for f in files)
        return torch.stack([torch.from_numpy(picture.copy()) for picture in read])

    def _store(self, part: Path, files: list[Path]) -> Tensor:
        side = (self.size, self.size)
        return cached_images(
            f"folder-{self.path.name}",
            ["folder", str(part.resolve()), listing(part, files), self.size, self.colour, self.fit],
            len(files),
            (3 if self.colour else 1, *side),
            decode_files(
                files, lambda f: read_picture(f, side, colour=self.colour, fit=self.fit), f"decoding {part.name}"
            ),
            cache=self.cache,
            memory=self.memory,
        )

    def _label(self, parts: list[Path], files: list[list[Path]]) -> tuple[Context | None, list[Tensor | None]]:
        if self.labels == "none":
            return None, [None] * len(parts)
        if self.labels != "folders":
            return self._table(files)
        names = [[_first_folder(f, part) for f in fs] for part, fs in zip(parts, files, strict=True)]
        words = sorted({name for part in names for name in part if name is not None})
        if len(words) < 2 or any(name is None for part in names for name in part):
            return None, [None] * len(parts)
        return _classes(words, names)

    def _table(self, files: list[list[Path]]) -> tuple[Context, list[Tensor]]:
        import pandas as pd

        path = Path(self.labels).expanduser()
        if not path.is_file():
            raise UserError(f"data.labels must be folders, none or a CSV file, and {self.labels} is none of these.")
        table = pd.read_csv(path)
        table = table.set_index(table.columns[0])
        keys = [[f.relative_to(self.path).as_posix() for f in part] for part in files]
        missing = [key for part in keys for key in part if key not in table.index]
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


def _first_folder(file: Path, root: Path) -> str | None:
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else None


def _classes(words: Sequence, names: Sequence[Sequence]) -> tuple[Context, list[Tensor]]:
    number = {word: i for i, word in enumerate(words)}
    labels = [torch.tensor([number[name] for name in part]) for part in names]
    return Context("classes", tuple(map(str, words))), labels
