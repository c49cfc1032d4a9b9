"""The same images as codes, as principal components and as pixels: what every latent question is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import listed, spread_rows
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, UserError
from autoencoders.utils.pca import PCABaseline

SIDE = 32
"""Pixels a side that comparisons with pixels use at most; larger images are averaged down to it."""
AT_ONCE = 1000


def pixels(x: Tensor) -> Tensor:
    """Images (N, C, H, W) as rows of pixels (N, D), averaged down to at most SIDE a side."""
    size = tuple(min(SIDE, side) for side in x.shape[2:])
    return (x if size == tuple(x.shape[2:]) else functional.interpolate(x, size, mode="area")).flatten(1)


def representations(run: Run, split: str, rows: Tensor, pca: PCABaseline) -> dict[str, Tensor]:
    """Rows of a split, as evaluation sees them: the model's codes, PCA with as many components, pixels.

    Returns:
        name -> (N, D) float32: the model first.
    """
    parts = []
    for some in rows.split(AT_ONCE):
        x = run.batch(split, some).x
        parts.append((pca.encode(x), pixels(x)))
    coordinates, flat = (torch.cat(column) for column in zip(*parts, strict=True))
    return {run.model.name: run.codes(split).z[rows], pca.name: coordinates, "pixels": flat}


def attributes(annotations: Annotations) -> tuple[Tensor, tuple[str, ...]]:
    """Attributes of images (N, A), with the names; of data with classes, whether each belongs to each class.

    Returns:
        Values, positive or not for classes, NaN where unknown.

    Raises:
        UserError: where the data have neither.
    """
    if annotations.attributes is not None:
        return annotations.attributes, annotations.attribute_names
    if annotations.classes is not None:
        values = 2.0 * functional.one_hot(annotations.classes, len(annotations.class_names)) - 1
        return values, annotations.class_names
    raise UserError("This question needs attributes or classes, and these data have neither. Choose data that do.")


def column(names: Sequence[str], name: object) -> int:
    """Where an attribute or class is among those there are; a UserError that lists them where it is not."""
    if str(name) not in names:
        raise UserError(f"These data have no attribute {str(name)!r}. They have: {listed(names)}.")
    return list(names).index(str(name))


def binary_attributes(run: Run, splits: Sequence[str] = ("train", "val", "test")) -> tuple[dict[str, Tensor], tuple]:
    """Every attribute of every split as 1, 0 or NaN, divided where its training values say.

    Returns:
        split -> (N, A) float32, and the names.
    """
    train, names = attributes(run.annotations("train"))
    at = [attribute_threshold(values) for values in train.T]
    found = {}
    for split in splits:
        found[split] = binarize_at(attributes(run.annotations(split))[0], torch.tensor(at))
    return found, names


class Labels(NamedTuple):
    """What a map is colored by and a classifier asked for.

    Attributes:
        values: split -> (N,) int64, -1 where unknown.
        names: of the values.
        what: `class`, or the attribute's name.
    """

    values: dict[str, Tensor]
    names: tuple[str, ...]
    what: str


def labels(run: Run, splits: Sequence[str], attribute: str | None = None) -> Labels | None:
    """Classes where there are any, else an attribute, the last unless one is named, divided into with and without.

    Returns:
        None where the data have neither and nothing was asked for by name.
    """
    known = run.annotations("train")
    if known.classes is not None and attribute is None:
        return Labels({s: run.annotations(s).classes for s in splits}, known.class_names, "class")
    if known.attributes is None and known.classes is None and attribute is None:
        return None
    values, names = binary_attributes(run, splits)
    which = len(names) - 1 if attribute is None else column(names, attribute)
    marked = {split: torch.nan_to_num(v[:, which], nan=-1.0).long() for split, v in values.items()}
    return Labels(marked, (f"not {names[which]}", names[which]), names[which])


def labelled_rows(values: Tensor, limit: int) -> Tensor:
    """Rows whose label (N,) is known, at most `limit`, evenly apart."""
    rows = (values >= 0).nonzero().flatten()
    return rows[spread_rows(limit, len(rows))]
