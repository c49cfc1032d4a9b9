"""Find the images of a folder, and the subfolders that are its official splits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from autoencoders.data.image_io import is_image_name, list_image_names
from autoencoders.types import SPLITS, UserError
from autoencoders.utils.names import printable_name

MEANINGS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
"""Name of a subfolder, in lower case -> split that it contains."""


class FolderPart(NamedTuple):
    """Image files of a folder, or of one of its subfolders `train/`, `val/` or `test/`.

    Attributes:
        folder: folder that contains the files.
        prefix: path of `folder` relative to the complete folder, with `/` at the end; empty for the complete folder.
        names: paths of the image files relative to `folder`, sorted.
    """

    folder: Path
    prefix: str
    names: list[str]

    @property
    def paths(self) -> list[str]:
        """Paths of the image files relative to the complete folder."""
        return [f"{self.prefix}{name}" for name in self.names]


class FolderParts(NamedTuple):
    """All image files of a folder.

    Attributes:
        parts: `train`, `val` or `test` -> image files. Without official splits, all files are in `train`.
        notes: sentences on how the subfolders were understood.
    """

    parts: dict[str, FolderPart]
    notes: list[str]


def find_parts(path: Path) -> FolderParts:
    """Find all image files in a folder and its subfolders, and the subfolders that are splits.

    The subfolders are splits if each of them has the name of a split (see `MEANINGS`; upper and lower case are equal),
    and one of them contains training images. Subfolders without images are not considered. Otherwise, the subfolders
    have no meaning as splits.

    Raises:
        UserError: if there is no image file, if images lie next to the split folders, or if two subfolders have the
            same meaning.
    """
    with os.scandir(path) as entries:
        subfolders = sorted(entry.name for entry in entries if entry.is_dir())
    named = {name: MEANINGS[name.lower()] for name in subfolders if name.lower() in MEANINGS}
    others = [name for name in subfolders if name not in named and contains_images(path / name)] if named else []
    if "train" in named.values() and not others:
        return _split_folders(path, named)
    notes = []
    if named:
        reason = (
            f"{_join(others[:3])} {'is not the name of a split' if len(others) == 1 else 'are not names of splits'}"
            if others
            else "none of them is named train"
        )
        used = "folder {} is not used as a split" if len(named) == 1 else "folders {} are not used as splits"
        notes.append(f"The {used.format(_join(named))}, because {reason}.")
    return FolderParts({"train": FolderPart(path, "", list_image_names(path))}, notes)


def _split_folders(path: Path, named: dict[str, str]) -> FolderParts:
    """Return the files in subfolders that are splits.

    Args:
        path: the complete folder.
        named: name of a subfolder -> split.
    """
    used = {name: split for name, split in named.items() if contains_images(path / name)} or named
    for split in set(used.values()):
        same = [name for name in used if used[name] == split]
        if len(same) > 1:
            raise UserError(
                f"{path} must contain one folder for each split, got {_join(same)}, which have the same meaning. Merge "
                "or rename them."
            )
    with os.scandir(path) as entries:
        loose = next((entry.name for entry in entries if entry.is_file() and is_image_name(entry.name)), None)
    if loose is not None:
        raise UserError(
            f"{path} must contain images only in its split folders {_join(used)}, got the image "
            f"{printable_name(loose)} next to them. Move the image into one of these folders, or rename the folders."
        )
    folders = {split: name for name, split in used.items()}
    parts = {
        split: FolderPart(path / folders[split], f"{folders[split]}/", list_image_names(path / folders[split]))
        for split in SPLITS
        if split in folders
    }
    if "train" not in parts:
        raise UserError(f"{path} must contain at least one training image in {_join(named)}, got none. Add images.")
    cut = [option for split, option in (("val", "data.validation"), ("test", "data.test")) if split not in parts]
    note = (
        f"The folder{'s' if len(used) > 1 else ''} {_join(used)} {'are the splits' if len(used) > 1 else 'is a split'}."
    )
    if cut:
        missing = " and ".join({"data.validation": "validation", "data.test": "test"}[option] for option in cut)
        note += f" The {missing} images are taken from the training images ({', '.join(cut)})."
    return FolderParts(parts, [note])


def _join(names: list[str] | dict[str, str]) -> str:
    return ", ".join(f"{printable_name(name)}/" for name in names)


def contains_images(folder: Path) -> bool:
    """Return whether a folder or one of its subfolders contains an image file."""
    return any(is_image_name(name) for _, _, files in os.walk(folder) for name in files)
