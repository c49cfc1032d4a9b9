"""Divide the images of a dataset into training, validation and test splits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.loader import Split
from autoencoders.data.options import SplitOptions
from autoencoders.types import Context, UserError
from autoencoders.utils.checks import require


class Source(NamedTuple):
    """All images and labels of a dataset, before they are divided into splits.

    Attributes:
        train: images for the training and validation splits, and for the test split if `test` is None.
        test: official test images, or None if the dataset has no official test split.
        context: type of the labels (classes or attributes) and their names, or None if there are no labels.
    """

    train: Split
    test: Split | None
    context: Context | None


def split_source(source: Source, options: SplitOptions, name: str) -> dict[str, Tensor]:
    """Return the image indices of the splits `train`, `val` and `test`.

    The indices of `train` and `val` refer to images in `source.train`. The indices of `test` refer to images in
    `source.test` if it exists, else in `source.train`.

    Unreadable images, images with unknown attributes, and images of excluded classes are removed after all images have
    been assigned to splits. The removal therefore does not change the split of any other image.

    Args:
        source: images and labels of the dataset.
        options: sizes and order of the splits, and classes to exclude from training and validation.
        name: name of the dataset, for error messages.

    Returns:
        One int64 tensor of image indices per split.

    Raises:
        UserError: if a split would be empty, or if `options.exclude` contains a name that is not a class.
    """
    rows = cut_rows(len(source.train.images), options, name, official_test=source.test is not None)
    if source.test is not None:
        rows["test"] = torch.arange(len(source.test.images))
    rows = {split: select_usable(split_data(source, split), index) for split, index in rows.items()}
    return drop_classes(rows, source, excluded_classes(source.context, options.exclude, name), name)


def split_data(source: Source, split: str) -> Split:
    """Return the part of the source to which the image indices of a split refer: `source.train` or `source.test`."""
    return source.test if split == "test" and source.test is not None else source.train


def cut_rows(total: int, options: SplitOptions, name: str, *, official_test: bool) -> dict[str, Tensor]:
    """Divide the indices from 0 to `total` - 1 into splits.

    The indices of each split are sorted, so that memory-mapped images are read in order. With an official test split,
    `test` gets no indices.

    Raises:
        UserError: if no image is left for training.
    """
    val_count = count_images("validation", options.validation, total, name)
    test_count = 0 if official_test else count_images("test", options.test, total, name)
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
    return {"val": val, "test": test, "train": train}


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


def select_usable(data: Split, rows: Tensor) -> Tensor:
    """Return the indices, among `rows`, of readable images without NaN or infinity in their attributes."""
    usable = torch.ones(len(rows), dtype=torch.bool)
    if data.unreadable is not None:
        usable = ~torch.isin(rows, data.unreadable)
    if data.labels is not None and data.labels.is_floating_point():
        usable &= data.labels[rows].isfinite().all(1)
    return rows[usable]


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
        hint = f"Choose from: {', '.join(known)}." if known else "Remove data.exclude because there are no classes."
        raise UserError(f"data.exclude must contain only classes of data={name}, got {unknown[0]!r}. {hint}")
    return torch.tensor([known.index(excluded) for excluded in exclude], dtype=torch.long)


def drop_classes(rows: dict[str, Tensor], source: Source, excluded: Tensor, name: str) -> dict[str, Tensor]:
    """Remove the images of excluded classes from the training and validation splits.

    Args:
        rows: image indices of each split.
        source: images and labels of the dataset.
        excluded: class indices of the excluded classes.
        name: name of the dataset, for error messages.

    Raises:
        UserError: if no image is left in the training or validation split.
    """
    labels = source.train.labels
    if not len(excluded) or labels is None:
        return rows
    remaining = dict(rows)
    for split in ("train", "val"):
        remaining[split] = rows[split][~torch.isin(labels[rows[split]], excluded)]
        if not len(remaining[split]):
            raise UserError(
                f"data.exclude must leave at least one image of data={name} in the {split} split, got none. "
                "Exclude fewer classes."
            )
    return remaining
