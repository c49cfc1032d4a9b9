"""Dataset from NumPy files: a `.npz` or `.npy` file, or a folder of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.data.array_files import StoredArray, list_arrays
from autoencoders.data.array_images import ArrayImagesDataModule, Items, Opened, Part
from autoencoders.data.array_layout import find_layout
from autoencoders.data.folder_splits import MEANINGS
from autoencoders.types import UserError

IMAGE_NAMES = ("images", "image", "imgs", "x", "data")
"""Names of arrays of images, in lower case and without the name of a split."""
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
"""Names of arrays of labels, in lower case and without the name of a split."""
SPLIT_WORD = re.compile(rf"^({'|'.join(MEANINGS)})[_-](.+)$|^(.+)[_-]({'|'.join(MEANINGS)})$", re.IGNORECASE)
"""Pattern of a name with the name of a split, such as `train_images` or `x_test`."""


class ArraysDataModule(ArrayImagesDataModule):
    """Images and labels in NumPy arrays.

    Images are arrays (N, H, W), (N, C, H, W) or (N, H, W, C) of any integer or float type. Labels are classes, (N,) or
    (N, 1), or attributes, (N, A). The names of the arrays may contain the name of a split, such as `train_images` and
    `test_labels` in the files of MedMNIST, or `x_train` and `y_test`. Without such names, all images are in one part,
    from which the splits are cut. No pickled object is read.

    Args:
        path: a `.npz` or `.npy` file, or a folder of them. In a folder, the name of an array is the name of its file.
        images: name of the arrays of images, without the name of a split; empty for the only array that can be it.
        labels: name of the arrays of labels, in the same form; `none` for no labels.
        **options: options of `ArrayImagesDataModule`.
    """

    default_name: ClassVar[str] = "arrays"

    def __init__(self, path: str, *, images: str = "", labels: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.path, self.images_name, self.labels_name = Path(path).expanduser(), images, labels

    @property
    def has_labels(self) -> bool:
        """Whether the images may have labels, which is false only if `labels` is `none`."""
        return self.labels_name != "none"

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return str(self.path.absolute())

    def prepare_data(self) -> None:
        """Check that the file or folder exists.

        Raises:
            UserError: if it does not exist.
        """
        if self.is_loaded:  # Lightning calls this method again before the test, when the files may no longer exist
            return
        if not self.path.exists():
            raise UserError(
                f"data.path must be a .npz or .npy file or a folder of them, got {self.path}, which does not exist. "
                "Correct data.path."
            )

    def open(self) -> Opened:
        """Find the arrays of images and labels and their splits, without reading the images."""
        self.prepare_data()
        arrays, notes = list_arrays(self.path), []
        images = self._find(arrays, "images", self.images_name, IMAGE_NAMES) or self._only_images(arrays)
        labels: dict[str, StoredArray] = {}
        if self.has_labels:
            labels = self._find(arrays, "labels", self.labels_name, LABEL_NAMES)
            if not labels and self.labels_name:
                raise UserError(f"data.labels must be an array in {self.path}, {_listed(self.labels_name, arrays)}")
            labels = labels or _only_labels(arrays, images)
        used = {array.name for array in (*images.values(), *labels.values())}
        if unused := [name for name in arrays if name not in used]:
            notes.append(f"These arrays of {self.path.name} are not read: {', '.join(unused)}.")
        read = [
            f"{part}: {images[part].name}" + (f", {labels[part].name}" if part in labels else "") for part in images
        ]
        return Opened(self._parts(images, labels), notes=[f"Arrays: {'; '.join(read)}.", *notes])

    def _find(
        self, arrays: Mapping[str, StoredArray], role: str, given: str, defaults: Sequence[str]
    ) -> dict[str, StoredArray]:
        """Return part -> array for the arrays whose names have a role, or an empty dict if there are none.

        Args:
            arrays: all arrays: name -> array.
            role: `images` or `labels`.
            given: value of the option with this role.
            defaults: names of arrays with this role, if the option is empty.

        Raises:
            UserError: if the arrays of a split are ambiguous, or there are none for training.
        """
        found: dict[str, list[StoredArray]] = {}
        for name, array in arrays.items():
            split, base = split_name(name)
            if given and name == given:
                return {"train": array}
            if base == given or (not given and base.lower() in defaults):
                found.setdefault(split, []).append(array)
        if any(len(candidates) > 1 for candidates in found.values()) or ("" in found and len(found) > 1):
            names = ", ".join(array.name for candidates in found.values() for array in candidates)
            raise UserError(
                f"The array of {role} is ambiguous, because {self.path} contains {names}. Set data.{role} to one of "
                "them."
            )
        if found and not {"", "train"} & found.keys():
            raise UserError(
                f"{self.path} must contain {role} for training, but only contains {role} for {', '.join(found)}. Add "
                f"them, or set data.{role} to the name of an array."
            )
        return {split or "train": candidates[0] for split, candidates in found.items()}

    def _only_images(self, arrays: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
        """Return the only array that can contain images."""
        candidates = [array for array in arrays.values() if len(array.shape) in (3, 4)]
        if self.images_name or len(candidates) != 1:
            raise UserError(f"data.images must be an array in {self.path}, {_listed(self.images_name, arrays)}")
        return {"train": candidates[0]}

    def _parts(self, images: Mapping[str, StoredArray], labels: Mapping[str, StoredArray]) -> dict[str, Part]:
        parts: dict[str, Part] = {}
        for part, array in images.items():
            find_layout(array.shape, self.pixels.layout)
            own = labels.get(part)
            if own is not None and own.shape[:1] != array.shape[:1]:
                raise UserError(
                    f"{own.name} must contain one label for each of the {array.shape[0]:,} images in {array.name}, got "
                    f"{own.shape[0] if own.shape else 1:,} labels. Correct the file."
                )
            if labels and own is None:
                raise UserError(
                    f"{self.path} must contain labels for all splits or for none, but contains no labels for {part}. "
                    "Add them, or set data.labels=none."
                )
            parts[part] = ArrayPart(array, own)
        return parts


class ArrayPart:
    """A part whose images are the rows of an array.

    Args:
        images: array of images, with N rows.
        labels: array of labels, with N rows, or None.
    """

    def __init__(self, images: StoredArray, labels: StoredArray | None) -> None:
        self._images, self._labels, self.count = images, labels, images.shape[0]
        self.key = [images.key, None if labels is None else labels.key]

    def read(self, rows: range) -> tuple[Items, Items | None]:
        """Return the images and the labels with the given indices."""
        chosen = slice(rows.start, rows.stop)
        return self._images.values[chosen], None if self._labels is None else self._labels.values[chosen]


def split_name(name: str) -> tuple[str, str]:
    """Divide the name of an array into its split, or an empty text, and the rest: `x_train` -> `train`, `x`."""
    match = SPLIT_WORD.match(name)
    if match is None:
        return "", name
    word, base = (match[1], match[2]) if match[1] else (match[4], match[3])
    return MEANINGS[word.lower()], base


def _only_labels(arrays: Mapping[str, StoredArray], images: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Return the only other array with one row per image, if all images are in one array."""
    if set(images) != {"train"}:
        return {}
    count = images["train"].shape[0]
    candidates = [
        a for a in arrays.values() if a is not images["train"] and a.shape[:1] == (count,) and len(a.shape) < 3
    ]
    return {"train": candidates[0]} if len(candidates) == 1 else {}


def _listed(given: str, arrays: Mapping[str, StoredArray]) -> str:
    names = ", ".join(f"{name} ({' x '.join(map(str, array.shape))})" for name, array in arrays.items())
    return f"got {given!r}. Choose from: {names}."
