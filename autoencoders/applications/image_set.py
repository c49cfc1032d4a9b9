"""Images of one or all splits, or the user's own images, read in chunks, with a table that names each image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.runs.run import Run
from autoencoders.types import SPLITS, Batch, Context, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pixels import to_unit

ALL = "all"
"""Value of an option for a split that selects all splits."""
TEXT_COLUMNS = ("file", "split", "group", "class")
"""Columns of a table of images that contain text."""
RESERVED = re.compile(r"file|split|index|group|class|(z|std)\d*")
"""Names of columns that the column of an attribute must not replace."""


@dataclass(frozen=True)
class ImageSet:
    """N images of splits, or N images of the user.

    Attributes:
        run: run whose data module prepares the images.
        table: table with N rows. Of images of splits, it contains the columns `split`, `index` (row in the split),
            `file` (if the data have file names), `group`, `class` and one column per attribute. Of the user's own
            images, it contains `file`.
        spans: split -> index of its first image in the table, and index after its last image.
        stored: the user's own images (N, C, H, W), uint8 or uint16; None for images of splits.
    """

    run: Run
    table: pd.DataFrame
    spans: dict[str, tuple[int, int]]
    stored: Tensor | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> list[str]:
        """Short text for each image: the file name, or the split and the index."""
        if "file" in self.table:
            return [str(name) for name in self.table["file"]]
        pairs = zip(self.table["split"], self.table["index"], strict=True)
        return [f"{split} {index}" for split, index in pairs]

    def batch(self, rows: Tensor) -> Batch:
        """Return the images with the given ascending rows of the table as one batch, preprocessed as in validation."""
        if self.stored is not None:
            x = to_unit(self.stored[rows])
            return Batch(x, x, None, rows)
        parts = []
        for split, (start, stop) in self.spans.items():
            inside = rows[(rows >= start) & (rows < stop)] - start
            if len(inside):
                parts.append(self.run.batch(split, inside))
        y = [part.y for part in parts if part.y is not None]
        x, target, index = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "target", "index"))
        return Batch(x, target, torch.cat(y) if len(y) == len(parts) else None, index)

    def pictures(self, rows: Tensor) -> Tensor:
        """Return the images (..., C, H, W) with the given rows (...) of the table, in any order, for a figure."""
        unique, inverse = rows.unique(return_inverse=True)
        return self.batch(unique).target[inverse]

    def batches(self, size: int = ROWS_PER_CHUNK) -> Iterator[Batch]:
        """Yield all images in batches of at most `size` images."""
        for rows in torch.arange(len(self)).split(size):
            yield self.batch(rows)


def own_images(run: Run, path: str) -> ImageSet:
    """Return the user's own images, from one image file or a folder.

    Raises:
        UserError: if a file cannot be read.
    """
    stored, names = run.read_stored_images(path)
    return ImageSet(run, pd.DataFrame({"file": names}), {}, stored)


def split_images(run: Run, splits: Sequence[str]) -> ImageSet:
    """Return the images of splits. They are read when they are used."""
    tables, spans, start = [], {}, 0
    for split in splits:
        count = len(run.prepare().data.images(split))
        if not count:
            continue
        spans[split] = (start, start + count)
        tables.append(pd.DataFrame(split_columns(run, split, count)))
        start += count
    return ImageSet(run, pd.concat(tables, ignore_index=True), spans)


def selected_splits(value: str, option: str) -> tuple[str, ...]:
    """Return the splits that an option selects: one split, or all.

    Raises:
        UserError: if the value is not `train`, `val`, `test` or `all`.
    """
    if value not in (*SPLITS, ALL):
        raise UserError(f"{option} must be {', '.join(SPLITS)} or {ALL}, got {value!r}.")
    return SPLITS if value == ALL else (value,)


def split_columns(run: Run, split: str, count: int) -> dict[str, Any]:
    """Return the columns of the table of an `ImageSet` for the images of a split."""
    annotations, data = run.annotations(split), run.data
    columns: dict[str, Any] = {"split": [split] * count, "index": range(count)}
    if annotations.names is not None:
        columns = {"file": annotations.names, **columns}
    if annotations.groups is not None:
        groups = annotations.groups.tolist()
        columns["group"] = [annotations.group_names[i] for i in groups] if annotations.group_names else groups
    if annotations.classes is not None:
        columns |= label_columns(Context("classes", annotations.class_names), annotations.classes)
    if annotations.attributes is not None:
        columns |= label_columns(Context("attributes", annotations.attribute_names), annotations.attributes)
    labels = data.get_split(split).labels
    if data.context is not None and labels is not None:  # the labels that a conditional model receives
        columns |= label_columns(data.context, labels)
    return columns


def label_columns(context: Context, y: Tensor) -> dict[str, Any]:
    """Return the columns with the labels of N images: the class, or one column per attribute."""
    if context.kind == "classes":
        return {"class": [context.names[i] for i in y.tolist()]}
    return dict(zip(map(attribute_column, context.names), y.T.numpy(), strict=True))


def attribute_column(name: str) -> str:
    """Return the column for an attribute. An attribute such as `class` or `z0` must not replace another column."""
    return f"attribute {name}" if RESERVED.fullmatch(name) else name
