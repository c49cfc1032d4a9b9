"""Dataset from any folder of image files, with labels from its subfolders or from a CSV file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.data import label_table
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.fitting import FITS, parse_size
from autoencoders.data.folder_splits import FolderPart, find_parts
from autoencoders.data.image_cache import CachedImages, cached_images, file_digest
from autoencoders.data.image_io import decode_files, describe_unreadable, read_all, read_image
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.data.white_point import check_white, read_parts
from autoencoders.types import Annotations, Context, UserError
from autoencoders.utils.checks import require
from autoencoders.utils.names import comparable_name, native_name, printable_name


class FolderLabels(NamedTuple):
    """Labels and groups of the images in a folder.

    Attributes:
        context: type and names of the labels, or None without labels.
        values: part -> labels of its images, or None without labels.
        groups: part -> group of each image, or None without groups.
    """

    context: Context | None
    values: Mapping[str, Tensor | None]
    groups: Mapping[str, list[str]] | None = None


class ImageFolderDataModule(ImageDataModule):
    """All image files in a folder and its subfolders, sorted by path.

    If all subfolders have names of splits, such as `train/`, `val/` and `test/`, they are the splits; see
    `autoencoders.data.folder_splits`. A split without a subfolder is taken from the training images. If there are no
    such subfolders, a hash of the path of an image determines its split.

    Args:
        path: folder with the image files.
        size: side of square images, or height and width, in pixels.
        color: load images with three color channels, else with one gray channel.
        fit: how an image gets the aspect ratio of `size`. `crop` cuts off equal parts at opposite edges. `pad` adds
            equal borders at opposite edges, in the mean color of the edge pixels. `stretch` changes the aspect ratio of
            the content.
        depth: number of bits of a stored pixel value: 8, or 16 for images with more than 8 bits.
        white: pixel value of white in images with more than 8 bits; None for the rule in
            `autoencoders.data.white_point`.
        labels: source of the labels. With `folders`, the name of the first subfolder in the path of an image is its
            class. With `none`, there are no labels. Otherwise, `labels` is the path of a CSV file. Its first column
            contains the paths of the images relative to `path`. A single further column with text or integers gives
            classes. A column with decimal numbers, or more than one further column, gives attributes; see
            `autoencoders.data.label_table`.
        group: column of the CSV file with the person, patient or product in each image. All images with the same value
            are in the same split. The column is not a label. Empty for no groups.
        skip_unreadable: skip unreadable files and add a note to the run record, instead of raising an error.
        cache: folder for the cache of decoded images; None for a folder in the user's cache folder.
        test: see `ImageDataModule`.
        batch_size: see `ImageDataModule`.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "folder"

    def __init__(
        self,
        path: str,
        *,
        size: int | Sequence[int] = 64,
        color: bool = True,
        fit: str = "crop",
        depth: int = 8,
        white: float | None = None,
        labels: str = "folders",
        group: str = "",
        skip_unreadable: bool = False,
        cache: str | None = None,
        test: float = 0.1,
        batch_size: int | Literal["auto"] = "auto",
        **common: Any,
    ) -> None:
        super().__init__(test=test, batch_size=batch_size, **common)
        require(fit in FITS, "data.fit", fit, f"one of {list(FITS)}")
        check_white(white, depth)
        if group and labels in ("folders", "none"):
            raise UserError(
                f"data.group={group} must be a column of a CSV file, but data.labels is {labels}. Set data.labels to "
                "the path of the CSV file."
            )
        if group and self.split_options.split != "random":
            raise UserError(
                f"data.split must be random with data.group={group}, because only a random split keeps each group in "
                f"one split, got {self.split_options.split}. Remove data.split or data.group."
            )
        self.path, self.size, self.color, self.fit = Path(native_name(path)).expanduser(), parse_size(size), color, fit
        self.depth, self.white = depth, white
        self.labels, self.group, self.skip_unreadable, self.cache = labels, group, skip_unreadable, cache
        self.white_point = white
        self._paths: dict[str, list[str]] = {}
        self._groups: dict[str, list[str]] = {}

    @property
    def has_labels(self) -> bool:
        """Whether the images may have labels, which is false only if `labels` is `none`."""
        return self.labels != "none"

    def prepare_data(self) -> None:
        """Check that the folder exists.

        Raises:
            UserError: if the folder does not exist.
        """
        if self.is_loaded:  # Lightning calls this method again before the test, when the files may no longer exist
            return
        if not self.path.is_dir():
            raise UserError(
                f"data.path must be a folder of image files, got {self.path}. Set data.path to an existing folder."
            )

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return printable_name(str(self.path.absolute()))

    def read(self) -> Source:
        """Read the images and labels of the split folders, or of the complete folder."""
        parts, notes = find_parts(self.path)
        self.notes = list(notes)  # not extended, because a data module may be set up again
        self._paths = {part: files.paths for part, files in parts.items()}
        labels = self._read_labels(parts)
        stored, self.white_point, notes = read_parts(
            parts, lambda part, white: self._decode_part(parts[part], white), self.white, self.depth
        )
        self.notes += notes
        splits = {part: self._usable(stored[part], files, labels.values[part]) for part, files in parts.items()}
        keys = labels.groups or self._paths
        return Source(
            splits["train"],
            splits.get("test"),
            labels.context,
            splits.get("val"),
            [comparable_name(key) for key in keys["train"]],
        )

    def annotate(self, part: str) -> Annotations:
        """Return the labels and groups of the images, and their paths relative to the folder as names."""
        annotations = super().annotate(part)
        annotations.names = [printable_name(path) for path in self._paths[part]]
        if self._groups:
            known = sorted({value for values in self._groups.values() for value in values})
            number = {value: i for i, value in enumerate(known)}
            annotations.groups = torch.tensor([number[value] for value in self._groups[part]])
            annotations.group_names = tuple(known)
        return annotations

    def image_files(self, split: str) -> list[Path]:
        """Return the files of the images in the split `train`, `val` or `test`."""
        self.get_split(split)
        paths = self._paths.get(split, self._paths["train"])
        return [self.path / paths[row] for row in self._rows[split].tolist()]

    def read_image_files(self, files: Sequence[Path]) -> Tensor:
        """Read other image files into a tensor (N, C, H, W), with the size, depth and white point of the folder."""
        return torch.from_numpy(read_all(files, self._decode, self.white_point))

    def mask_geometry(self, file: Path) -> tuple[str, int | None]:
        """Return how a mask file gets the size of the images, as an image of the folder does."""
        return self.fit, None

    def _decode(
        self, file: Path | str, white: float | None = None, reduced: set[Path | str] | None = None
    ) -> np.ndarray:
        size, color, fit, depth = self.size, self.color, self.fit, self.depth
        return read_image(file, size, color=color, fit=fit, white=white, depth=depth, reduced=reduced)

    def _decode_part(self, files: FolderPart, white: float | None) -> CachedImages:
        folder, names = files.folder, files.names
        reduced: set[Path | str] = set()
        prefix = os.fspath(folder)

        def decode(name: str, white: float | None = None) -> np.ndarray:
            return self._decode(f"{prefix}/{name}", white, reduced)  # text, because Path objects are slow

        return cached_images(
            f"folder-{self.path.name}",
            ["folder", str(folder.resolve()), file_digest(folder, names), self.size, self.color, self.fit, white],
            len(names),
            (3 if self.color else 1, *self.size),
            decode_files(names, decode, f"decoding {printable_name(folder.name)}", white, reduced),
            cache=self.cache,
            memory=self.memory,
            depth=self.depth,
        )

    def _usable(self, stored: CachedImages, files: FolderPart, labels: Tensor | None) -> Split:
        """Return the images of a part with their labels, and mark the images that cannot be read."""
        images, unreadable, folder, names = stored.images, stored.unreadable, files.folder, files.names
        if not unreadable:
            return Split(images, labels)
        message = describe_unreadable({folder / names[row]: why for row, why in unreadable.items()}, len(names))
        if not self.skip_unreadable:
            raise UserError(f"{message} Remove or repair these files, or set data.skip_unreadable=true to skip them.")
        self.notes.append(f"{message} These files are skipped.")
        return Split(images, labels, torch.tensor(list(unreadable)))

    def _read_labels(self, parts: Mapping[str, FolderPart]) -> FolderLabels:
        self._groups = {}
        if self.labels == "none":
            return FolderLabels(None, dict.fromkeys(parts))
        if self.labels == "folders":
            labels, note = classes_of_subfolders({part: files.names for part, files in parts.items()})
            self.notes += [note] if note else []
            return labels
        return self._read_table(Path(native_name(self.labels)).expanduser())

    def _read_table(self, path: Path) -> FolderLabels:
        if not path.is_file():
            raise UserError(
                f"data.labels must be `folders`, `none` or the path of an existing CSV file, got {self.labels}, which "
                "does not exist. Correct the path, or set data.labels to `folders` or `none`."
            )
        paths = [path for part in self._paths.values() for path in part]
        table, groups = label_table.join(label_table.read_label_table(path), paths), None
        sizes = [len(part) for part in self._paths.values()]
        if self.group:
            groups, table = label_table.group_column(table, self.group)
            self._groups = dict(zip(self._paths, _cut(groups, sizes), strict=True))
            self._check_groups(path)
        context, values, notes = label_table.interpret(table)
        self.notes += [*table.notes, *notes]
        per_part = [None] * len(sizes) if values is None else values.split(sizes)
        return FolderLabels(context, dict(zip(self._paths, per_part, strict=True)), self._groups or None)

    def _check_groups(self, path: Path) -> None:
        """Check that no group is in two of the split folders, and add a note with the number of groups."""
        members = {part: set(groups) for part, groups in self._groups.items()}
        for a, b in itertools.combinations(members, 2):
            if common := sorted(members[a] & members[b]):
                raise UserError(
                    f"Each value of the column {self.group!r} (data.group) of {path} must be in one split only, got "
                    f"{common[0]!r} and {len(common) - 1:,} more in the folders of {a} and of {b}. Move the files, or "
                    "remove data.group."
                )
        count = len(set().union(*members.values()))
        self.notes.append(f"The {count:,} values of {self.group} are kept in one split each (data.group).")


def _cut(values: list[str], sizes: list[int]) -> list[list[str]]:
    """Divide a list into consecutive lists with the given sizes."""
    ends = list(itertools.accumulate(sizes))
    return [values[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def classes_of_subfolders(names: Mapping[str, Sequence[str]]) -> tuple[FolderLabels, str]:
    """Return the first subfolder in the path of each image as its class, and a note if there are no classes.

    There are no labels if an image is not in a subfolder, or if there are fewer than two subfolders.

    Args:
        names: part -> paths of its images relative to the folder of the part.

    Raises:
        UserError: if the names of two subfolders cannot be distinguished as text.
    """
    subfolders = {
        part: [path.partition("/")[0] if "/" in path else "" for path in paths] for part, paths in names.items()
    }
    known = {name for part in subfolders.values() for name in part}
    no_labels = FolderLabels(None, dict.fromkeys(names))
    if "" in known and len(known) > 1:
        loose = [path for paths in names.values() for path in paths if "/" not in path]
        return no_labels, (
            f"The images have no classes, because {len(loose):,} of them are not in a subfolder, such as "
            f"{printable_name(loose[0])}."
        )
    if len(known) < 2:
        return no_labels, ""
    texts = {name: printable_name(name) for name in known}
    classes = sorted(set(texts.values()))
    if len(classes) < len(known):
        raise UserError("The names of two subfolders must differ as text, got two with the same text. Rename one.")
    number = {name: classes.index(text) for name, text in texts.items()}
    values = {part: torch.tensor([number[name] for name in part_names]) for part, part_names in subfolders.items()}
    return FolderLabels(Context("classes", tuple(classes)), values), ""
