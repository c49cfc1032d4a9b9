"""Dataset from any folder of image files, with labels from its subfolders or from a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.image_cache import cached_images, file_digest
from autoencoders.data.image_io import FITS, decode_files, describe_unreadable, list_image_names, read_all, read_image
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Annotations, Context, UserError
from autoencoders.utils.checks import require

Labels = tuple[Context | None, list[Tensor | None]]
"""Type and names of the labels, and one label tensor per folder (`train/` and `test/`, or the complete folder)."""


class ImageFolderDataModule(ImageDataModule):
    """All image files in a folder and its subfolders, sorted by path.

    If a subfolder `train/` exists, only the subfolders `train/` and `test/` are read. The images in `test/`, if it
    exists, are the test split.

    Args:
        path: folder with the image files.
        size: height and width of the square images, in pixels.
        color: load images with three color channels, else with one gray channel.
        fit: how an image becomes square. `crop` cuts off equal parts at opposite edges and keeps the aspect ratio.
            `stretch` changes the aspect ratio.
        labels: source of the labels. With `folders`, the name of the first subfolder in the path of an image is its
            class. With `none`, there are no labels. Otherwise, `labels` is the path of a CSV file. Its first column
            contains the paths of the images relative to `path`. A single further column with text or integers gives
            classes. A column with decimal numbers, or more than one further column, gives attributes.
        skip_unreadable: skip unreadable files and add a note to the run record, instead of raising an error.
        cache: folder for the cache of decoded images; None for a folder in the user's cache folder.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "folder"

    def __init__(
        self,
        path: str,
        *,
        size: int = 64,
        color: bool = True,
        fit: str = "crop",
        labels: str = "folders",
        skip_unreadable: bool = False,
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        require(fit in FITS, "data.fit", fit, f"one of {list(FITS)}")
        require(8 <= size <= 1024, "data.size", size, "a number of pixels between 8 and 1024")
        self.path, self.size, self.color, self.fit = Path(path).expanduser(), size, color, fit
        self.labels, self.skip_unreadable, self.cache = labels, skip_unreadable, cache
        self._paths: list[list[str]] = []

    @property
    def has_labels(self) -> bool:
        """Whether the images may have labels, which is false only if `labels` is `none`."""
        return self.labels != "none"

    def prepare_data(self) -> None:
        """Check that the folder exists.

        Raises:
            UserError: if the folder does not exist.
        """
        if not self.path.is_dir():
            raise UserError(
                f"data.path must be a folder of image files, got {self.path}. Set data.path to an existing folder."
            )

    def read(self) -> Source:
        """Read the images and labels of the subfolders `train/` and `test/`, or of the complete folder."""
        folders = [self.path]
        if (self.path / "train").is_dir():
            folders = [self.path / name for name in ("train", "test") if (self.path / name).is_dir()]
        names = [list_image_names(folder) for folder in folders]
        # The CSV file with labels and the annotations use paths relative to `self.path`.
        self._paths = [
            paths if folder == self.path else [f"{folder.name}/{path}" for path in paths]
            for folder, paths in zip(folders, names, strict=True)
        ]
        context, labels = self._read_labels(names)
        splits = [self._read_split(*arguments) for arguments in zip(folders, names, labels, strict=True)]
        return Source(splits[0], splits[1] if len(splits) > 1 else None, context)

    def annotate(self, part: str) -> Annotations:
        """Return the labels of the images, and the paths of the images relative to the folder as their names."""
        annotations = super().annotate(part)
        annotations.names = self._paths[part == "test"]
        return annotations

    def read_image_files(self, files: Sequence[Path]) -> Tensor:
        """Read other image files into a tensor (N, C, H, W), cropped or stretched like the images of the folder."""
        return torch.from_numpy(read_all(files, self._decode))

    def _decode(self, file: Path) -> np.ndarray:
        return read_image(file, (self.size, self.size), color=self.color, fit=self.fit)

    def _read_split(self, folder: Path, names: list[str], labels: Tensor | None) -> Split:
        images, unreadable = cached_images(
            f"folder-{self.path.name}",
            ["folder", str(folder.resolve()), file_digest(folder, names), self.size, self.color, self.fit],
            len(names),
            (3 if self.color else 1, self.size, self.size),
            decode_files(names, lambda name: self._decode(folder / name), f"decoding {folder.name}"),
            cache=self.cache,
            memory=self.memory,
        )
        if not unreadable:
            return Split(images, labels)
        message = describe_unreadable({folder / names[row]: why for row, why in unreadable.items()}, len(names))
        if not self.skip_unreadable:
            raise UserError(f"{message} Remove or repair these files, or set data.skip_unreadable=true to skip them.")
        self.notes.append(f"{message} These files are skipped.")
        return Split(images, labels, torch.tensor(list(unreadable)))

    def _read_labels(self, names: list[list[str]]) -> Labels:
        if self.labels == "none":
            return None, [None] * len(names)
        if self.labels == "folders":
            return _classes_of_subfolders(names)
        return self._read_table(Path(self.labels).expanduser())

    def _read_table(self, path: Path) -> Labels:
        import pandas as pd

        if not path.is_file():
            raise UserError(
                f"data.labels must be `folders`, `none` or the path of an existing CSV file, got {self.labels}, which "
                "does not exist. Correct the path, or set data.labels to `folders` or `none`."
            )
        table = pd.read_csv(path)
        table = table.set_index(table.columns[0])
        keys = [pd.Index(paths) for paths in self._paths]
        missing = [path for paths in keys for path in paths[~paths.isin(table.index)]]
        if missing or not len(table.columns):
            raise UserError(
                f"{path} must contain the labels of all images, but has no label for "
                f"{missing[0] if missing else 'any image'}. Put the paths of the images, relative to data.path, into "
                "the first column and the labels into further columns."
            )
        rows = [table.loc[paths] for paths in keys]
        column = table[table.columns[0]]
        if len(table.columns) == 1 and not pd.api.types.is_float_dtype(column):
            return _number_classes(sorted(column.unique().tolist()), [part[column.name].tolist() for part in rows])
        context = Context("attributes", tuple(map(str, table.columns)))
        return context, [torch.tensor(part.to_numpy(dtype="float32")) for part in rows]


def _classes_of_subfolders(names: Sequence[Sequence[str]]) -> Labels:
    """Return the name of the first subfolder in the path of each image as its class.

    Return no labels if an image is not in a subfolder, or if there are fewer than two subfolders.
    """
    subfolders = [[path.partition("/")[0] if "/" in path else None for path in paths] for paths in names]
    known = {subfolder for paths in subfolders for subfolder in paths}
    if None in known or len(known) < 2:
        return None, [None] * len(names)
    return _number_classes(sorted(known), subfolders)


def _number_classes(known: Sequence[Any], classes: Sequence[Sequence[Any]]) -> Labels:
    """Convert class names to class indices.

    Args:
        known: all class names, in the order of their indices.
        classes: for each folder that is read, the class names of its images.
    """
    number = {name: i for i, name in enumerate(known)}
    labels: list[Tensor | None] = [torch.tensor([number[name] for name in names]) for names in classes]
    return Context("classes", tuple(map(str, known))), labels
