"""Divide the images of a source into training, validation and test rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.loader import Split
from autoencoders.data.options import SplitOptions
from autoencoders.types import Context, UserError
from autoencoders.utils.checks import require


class Source(NamedTuple):
    """The images and labels of a dataset.

    Attributes:
        train: images that are divided into training and validation, and into test if there is no official test split.
        test: the official test images, or None.
        context: meaning of the labels, or None if there are no labels.
    """

    train: Split
    test: Split | None
    context: Context | None


def split_source(source: Source, options: SplitOptions, name: str) -> dict[str, Tensor]:
    """Return the rows of `train`, `val` and `test` in their sources.

    The rows of `train` and `val` refer to `source.train`; those of `test` refer to `source.test` if it exists, else to
    `source.train`. Rows without an image or label, and excluded classes in training and validation, are removed after
    the division, so that the remaining rows are in the same split as without the removal.

    Args:
        source: the images and labels.
        options: how to divide them.
        name: name of the dataset, for messages.

    Raises:
        UserError: if a split would be empty, or `exclude` has a name that is not a class.
    """
    rows = cut_rows(len(source.train.images), options, name, official_test=source.test is not None)
    if source.test is not None:
        rows["test"] = torch.arange(len(source.test.images))
    rows = {split: select_usable(split_data(source, split), index) for split, index in rows.items()}
    return drop_classes(rows, source, excluded_classes(source.context, options.exclude, name), name)


def split_data(source: Source, split: str) -> Split:
    """Return the images and labels that the rows of a split refer to."""
    return source.test if split == "test" and source.test is not None else source.train


def cut_rows(total: int, options: SplitOptions, name: str, *, official_test: bool) -> dict[str, Tensor]:
    """Divide `total` rows. The rows of each split are sorted, so that a memory-mapped store is read in order.

    With an official test split, the rows of `test` are empty.

    Raises:
        UserError: if no row is left for training.
    """
    val_count = count_images("validation", options.validation, total, name)
    test_count = 0 if official_test else count_images("test", options.test, total, name)
    train_count = total - val_count - test_count
    if train_count <= 0:
        raise UserError(
            f"data.validation and data.test take {val_count + test_count} of the {total} images of data={name}, and "
            "none is left to train on. Lower them."
        )
    if options.split == "alphabetical":
        train, val, test = torch.arange(total).split([train_count, val_count, test_count])
    else:
        order = torch.randperm(total, generator=torch.Generator().manual_seed(options.split_seed))
        val, test, train = (rows.sort().values for rows in order.split([val_count, test_count, train_count]))
    return {"val": val, "test": test, "train": train}


def count_images(field: str, value: float, total: int, name: str) -> int:
    """Convert a share or a count to a count.

    Raises:
        UserError: if the count is not in 1 .. total - 1.
    """
    count = round(value * total) if value < 1 else int(value)
    expected = f"a share in (0, 1) or a number below the {total} images of data={name}"
    require(0 < count < total, f"data.{field}", value, expected)
    return count


def select_usable(data: Split, rows: Tensor) -> Tensor:
    """Return the rows that have an image and, if the labels are attributes, finite attributes."""
    usable = torch.ones(len(rows), dtype=torch.bool)
    if data.unreadable is not None:
        usable = ~torch.isin(rows, data.unreadable)
    if data.labels is not None and data.labels.is_floating_point():
        usable &= data.labels[rows].isfinite().all(1)
    return rows[usable]


def excluded_classes(context: Context | None, exclude: tuple[str, ...], name: str) -> Tensor:
    """Return the numbers of the classes to exclude, int64.

    Raises:
        UserError: if a name is not a class.
    """
    known = context.names if context is not None and context.kind == "classes" else ()
    unknown = [excluded for excluded in exclude if excluded not in known]
    if unknown:
        hint = f"It has the classes: {', '.join(known)}." if known else "It has no classes: leave data.exclude out."
        raise UserError(f"data.exclude names {unknown[0]!r}, and data={name} has no such class. {hint}")
    return torch.tensor([known.index(excluded) for excluded in exclude], dtype=torch.long)


def drop_classes(rows: dict[str, Tensor], source: Source, excluded: Tensor, name: str) -> dict[str, Tensor]:
    """Remove the rows of excluded classes from training and validation.

    Raises:
        UserError: if a split would be empty.
    """
    labels = source.train.labels
    if not len(excluded) or labels is None:
        return rows
    remaining = dict(rows)
    for split in ("train", "val"):
        remaining[split] = rows[split][~torch.isin(labels[rows[split]], excluded)]
        if not len(remaining[split]):
            raise UserError(f"data.exclude leaves no image of data={name} in {split}. Exclude fewer classes.")
    return remaining
