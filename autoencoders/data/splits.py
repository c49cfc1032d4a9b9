"""Divide the images of a dataset into training, validation and test splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.loader import Split
from autoencoders.data.options import SplitOptions
from autoencoders.types import SPLITS, Context, UserError
from autoencoders.utils.checks import require
from autoencoders.utils.texts import list_names

UNREADABLE, NO_CLASS, NO_VALUE = "the file cannot be read", "the class is unknown", "an attribute is unknown"
EXCLUDED, DUPLICATE = "the class is in data.exclude", "an equal image is in val or test"
"""Reasons for which images are left out."""
UNSELECTED = "more training images than data.training_images"


class Source(NamedTuple):
    """All images and labels of a dataset, before they are divided into splits.

    The dataset has one, two or three parts. A split that the source does not contain is cut from the part `train`.

    Attributes:
        train: images for the training split, and for the validation and test splits if `val` and `test` are None.
        test: official test images, or None if the dataset has no official test split.
        context: type of the labels (classes or attributes) and their names, or None if there are no labels. An image
            with the class index -1, or with an attribute that is NaN, has no label and is left out.
        val: official validation images, or None if the dataset has no official validation split.
        keys: one text per image of `train`, which determines its split if the split is random: the name of the image,
            or of its group. All images with the same key are in the same split. None for images without names.
    """

    train: Split
    test: Split | None
    context: Context | None
    val: Split | None = None
    keys: Sequence[str] | None = None

    @property
    def parts(self) -> dict[str, Split]:
        """The parts that exist: name of the part -> its images and labels."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: data for name, data in parts.items() if data is not None}

    def part(self, split: str) -> str:
        """Return the name of the part that contains the images of a split."""
        return split if split in self.parts else "train"


class Division(NamedTuple):
    """Assignment of the images of a source to the splits.

    Attributes:
        rows: split -> int64 indices of its images in the part `source.part(split)`, sorted.
        left_out: reason -> number of images that are in no split, or only in the test split, for this reason.
    """

    rows: dict[str, Tensor]
    left_out: dict[str, int]


def split_source(source: Source, options: SplitOptions, name: str) -> Division:
    """Divide the images of a source into the splits `train`, `val` and `test`.

    Images that cannot be read, images without a label, and images of excluded classes are removed after all images have
    been assigned to splits. The removal therefore does not change the split of any other image.

    Args:
        source: images and labels of the dataset.
        options: sizes and order of the splits, and classes to exclude from training and validation.
        name: name of the dataset, for error messages.

    Raises:
        UserError: if a split would be empty, or if `options.exclude` contains a name that is not a class.
    """
    _check_lengths(source, name)
    missing = tuple(split for split in ("val", "test") if split not in source.parts)
    if source.keys is not None and options.split == "random":
        rows = split_by_hash(source.keys, options, name, missing)
    else:
        rows = split_by_order(len(source.train.images), options, name, missing)
    rows = {split: rows[split] if split in rows else torch.arange(len(source.parts[split].images)) for split in SPLITS}
    left_out: dict[str, int] = {}
    excluded = excluded_classes(source.context, options.exclude, name)
    for split in SPLITS:
        data = source.parts[source.part(split)]
        reasons = unusable_images(data, rows[split])
        if split != "test" and len(excluded) and data.labels is not None:
            reasons[EXCLUDED] = torch.isin(data.labels[rows[split]], excluded)
        keep = torch.ones(len(rows[split]), dtype=torch.bool)
        for reason, mask in reasons.items():
            if count := int((mask & keep).sum()):
                left_out[reason] = left_out.get(reason, 0) + count
            keep &= ~mask
        if not keep.any():
            raise UserError(_empty_split_message(split, reasons, name))
        rows[split] = rows[split][keep]
    selected = select_images(rows["train"], options, name)
    if len(selected) < len(rows["train"]):
        left_out[UNSELECTED] = len(rows["train"]) - len(selected)
    return Division({**rows, "train": selected}, left_out)


def select_images(rows: Tensor, options: SplitOptions, name: str) -> Tensor:
    """Return `options.training_images` of the indices in `rows` (N,), chosen at random and sorted, or all of them.

    Args:
        rows: indices of the training images.
        options: number of images, and seed. A larger number with the same seed adds images.
        name: name of the dataset, for error messages.

    Raises:
        UserError: if there are fewer training images.
    """
    count = options.training_images
    if count is None:
        return rows
    require(count <= len(rows), "data.training_images", count, f"at most {len(rows)}, the training images of {name}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(options.split_seed))
    return rows[order[:count]].sort().values


def _check_lengths(source: Source, name: str) -> None:
    """Check that each image has one label, and each image of the part `train` has one key."""
    lengths = {part: data.labels for part, data in source.parts.items()}
    for part, labels in lengths.items():
        images = len(source.parts[part].images)
        if labels is not None and len(labels) != images:
            raise UserError(
                f"The {part} part of data={name} must have one label per image, got {images:,} images and "
                f"{len(labels):,} labels. Correct the files of the dataset."
            )
    if source.keys is not None and len(source.keys) != len(source.train.images):
        raise ValueError(f"Source.keys must have one key per training image, got {len(source.keys)}.")


def _empty_split_message(split: str, reasons: dict[str, Tensor], name: str) -> str:
    if EXCLUDED in reasons and reasons[EXCLUDED].any():
        return (
            f"data.exclude must leave at least one image of data={name} in the {split} split, got none. "
            "Exclude fewer classes."
        )
    listed = "; ".join(f"{reason}: {int(mask.sum())} images" for reason, mask in reasons.items())
    return (
        f"The {split} split of data={name} must contain at least one image that can be used, got none ({listed}). "
        "Add images with labels, or set data.labels=none."
    )


def split_by_order(total: int, options: SplitOptions, name: str, cut: Sequence[str] = SPLITS[1:]) -> dict[str, Tensor]:
    """Divide the indices from 0 to `total` - 1 into splits, by a random permutation or in their order.

    The indices of each split are sorted, so that memory-mapped images are read in order.

    Args:
        total: number of images in the part `train` of the source.
        options: sizes and order of the splits.
        name: name of the dataset, for error messages.
        cut: splits to cut from the images: `val`, `test`, both or none.

    Returns:
        Indices of the split `train` and of the splits in `cut`.

    Raises:
        UserError: if a split would be empty.
    """
    val_count = count_images("validation", options.validation, total, name) if "val" in cut else 0
    test_count = count_images("test", options.test, total, name) if "test" in cut else 0
    train_count = total - val_count - test_count
    if train_count <= 0:
        raise UserError(
            f"data.validation and data.test must together select fewer than the {total} images of data={name}, because "
            "otherwise no image is left for training, "
            f"got {val_count + test_count}. Lower data.validation or data.test."
        )
    if options.split == "alphabetical":
        train, val, test = torch.arange(total).split([train_count, val_count, test_count])
    else:
        order = torch.randperm(total, generator=torch.Generator().manual_seed(options.split_seed))
        val, test, train = (rows.sort().values for rows in order.split([val_count, test_count, train_count]))
    rows = {"train": train, "val": val, "test": test}
    return {split: rows[split] for split in ("train", *cut)}


def split_by_hash(keys: Sequence[str], options: SplitOptions, name: str, cut: Sequence[str]) -> dict[str, Tensor]:
    """Assign images to splits by a hash of their keys, so that an image that is added later moves no other image.

    The SHA-256 digest of `split_seed` and the key gives a number u in [0, 1). The image is in `val` if
    u < `validation`, else in `test` if u < `validation` + `test`, else in `train`. The sizes of the splits are
    therefore not exact. If one of the sizes is a number of images, the keys are sorted by u instead, and `val` and
    `test` take as many keys as they need for these numbers. Images that are added may then move other images.

    Args:
        keys: one text per image. Images with the same key are in the same split.
        options: sizes of the splits, and seed.
        name: name of the dataset, for error messages.
        cut: splits to cut from the images: `val`, `test`, both or none.

    Returns:
        Sorted indices of the split `train` and of the splits in `cut`.

    Raises:
        UserError: if a split would be empty.
    """
    distinct = list(dict.fromkeys(keys))
    position = {key: i for i, key in enumerate(distinct)}
    group = torch.tensor([position[key] for key in keys])
    u = hash_fractions(options.split_seed, distinct)
    sizes = [options.validation if split == "val" else options.test for split in cut]
    assigned = torch.zeros(len(distinct), dtype=torch.long)  # 0: train; i: the split cut[i - 1]
    if all(size < 1 for size in sizes):
        bounds = torch.tensor(sizes, dtype=torch.float64).cumsum(0)
        inside = torch.searchsorted(bounds, u, right=True)
        assigned = torch.where(inside < len(cut), inside + 1, 0)
    else:
        order, images = u.argsort(stable=True), torch.bincount(group, minlength=len(distinct))
        before = images[order].cumsum(0) - images[order]  # number of images in front of each key
        start = 0
        for i, (split, size) in enumerate(zip(cut, sizes, strict=True), 1):
            count = count_images("validation" if split == "val" else "test", size, len(keys), name)
            members = (before >= start) & (before < start + count)
            assigned[order[members]] = i
            start += int(images[order][members].sum())
    rows = {split: (assigned[group] == i).nonzero().flatten() for i, split in enumerate(("train", *cut))}
    _check_hash_splits(rows, len(distinct), options, name)
    return rows


def _check_hash_splits(rows: dict[str, Tensor], keys: int, options: SplitOptions, name: str) -> None:
    for split, index in rows.items():
        if len(index):
            continue
        total = sum(len(other) for other in rows.values())
        images = f"the {total:,} images" if keys == total else f"the {keys:,} groups with {total:,} images"
        if split == "train":
            raise UserError(
                f"data.validation and data.test must leave at least one of {images} of data={name} for training, got "
                f"{options.validation:g} and {options.test:g}. Lower data.validation or data.test."
            )
        field, value = ("validation", options.validation) if split == "val" else ("test", options.test)
        raise UserError(
            f"data.{field} must select at least one of {images} of data={name}, but the fraction {value:g} selects "
            f"none, because a hash of its name selects each image. Set a number of images instead of a fraction, such "
            f"as data.{field}={max(1, round(value * total))}."
        )


def hash_fractions(seed: int, keys: Sequence[str]) -> Tensor:
    """Return numbers (N,) float64 in [0, 1), each of which depends only on the seed and one of the N keys."""
    digests = [hashlib.sha256(f"{seed}\0{key}".encode()).digest() for key in keys]
    first = np.frombuffer(b"".join(digests), dtype=">u8").reshape(len(keys), -1)[:, 0]  # of the four words of a digest
    return torch.from_numpy(first / 2**64)


def count_images(field: str, value: float, total: int, name: str) -> int:
    """Convert the size of a split, which is a fraction of the images or a number of images, to a number of images.

    Args:
        field: name of the option, `validation` or `test`, for error messages.
        value: size of the split: a fraction if it is below 1, else a number of images.
        total: number of images in the dataset.
        name: name of the dataset, for error messages.

    Raises:
        UserError: if the number of images is not between 1 and `total` - 1.
    """
    count = round(value * total) if value < 1 else int(value)
    expected = f"a fraction or a number that selects between 1 and {total - 1} of the {total} images of data={name}"
    require(0 < count < total, f"data.{field}", value, expected)
    return count


def unusable_images(data: Split, rows: Tensor) -> dict[str, Tensor]:
    """Return, for each reason to leave out images, a mask (N,) of the images among `rows` (N,) to which it applies."""
    reasons = {}
    if data.unreadable is not None:
        reasons[UNREADABLE] = torch.isin(rows, data.unreadable)
    if data.labels is not None and data.labels.is_floating_point():
        reasons[NO_VALUE] = ~data.labels[rows].isfinite().all(1)
    elif data.labels is not None:
        reasons[NO_CLASS] = data.labels[rows] < 0
    return reasons


def excluded_classes(context: Context | None, exclude: tuple[str, ...], name: str) -> Tensor:
    """Return the class indices of the excluded classes, int64.

    Args:
        context: type and names of the labels.
        exclude: names of the excluded classes.
        name: name of the dataset, for error messages.

    Raises:
        UserError: if a name in `exclude` is not a class of the dataset.
    """
    known = context.names if context is not None and context.kind == "classes" else ()
    unknown = [excluded for excluded in exclude if excluded not in known]
    if unknown:
        hint = f"Choose from: {list_names(known)}." if known else "Remove data.exclude because there are no classes."
        raise UserError(f"data.exclude must contain only classes of data={name}, got {unknown[0]!r}. {hint}")
    return torch.tensor([known.index(excluded) for excluded in exclude], dtype=torch.long)
