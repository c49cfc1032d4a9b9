"""Representations of the same images (codes, principal components, pixels), and the labels to compare them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import join_names, spread_rows
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pca import PCABaseline

MAX_SIDE = 32
"""Maximum height and width, in pixels, of images compared as pixels. Larger images are reduced by averaging."""


def pixels(x: Tensor) -> Tensor:
    """Flatten images (N, C, H, W) to rows of pixels (N, D), reduced by averaging to at most SIDE pixels per side."""
    size = tuple(min(MAX_SIDE, side) for side in x.shape[2:])
    if size != tuple(x.shape[2:]):
        x = functional.interpolate(x, size, mode="area")
    return x.flatten(1)


def representations(run: Run, split: str, rows: Tensor, pca: PCABaseline) -> dict[str, Tensor]:
    """Compute three representations of rows of a split: the model's codes, PCA with as many components, pixels.

    Args:
        run: the run.
        split: the split of the images, read as in evaluation.
        rows: (N,) row numbers.
        pca: the PCA of the training images.

    Returns:
        Name -> (N, D) float32 features; the model is first.
    """
    components, flattened = [], []
    for chunk in rows.split(ROWS_PER_CHUNK):
        x = run.batch(split, chunk).x
        components.append(pca.encode(x))
        flattened.append(pixels(x))
    return {
        run.model.name: run.codes(split).z[rows],
        pca.name: torch.cat(components),
        "pixels": torch.cat(flattened),
    }


def attributes_or_classes(annotations: Annotations) -> tuple[Tensor, tuple[str, ...]]:
    """Return the attributes of images, or membership of each class if the data have only classes.

    Returns:
        Values (N, A) with NaN where unknown, and A names. For classes, the values are 1 (member) and -1.

    Raises:
        UserError: if the data have neither attributes nor classes.
    """
    if annotations.attributes is not None:
        return annotations.attributes, annotations.attribute_names
    if annotations.classes is not None:
        values = 2.0 * functional.one_hot(annotations.classes, len(annotations.class_names)) - 1
        return values, annotations.class_names
    raise UserError(
        "This application needs attributes or classes, and these data have neither. Choose data that have labels."
    )


def attribute_index(names: Sequence[str], name: object) -> int:
    """Return the index of an attribute or class in `names`.

    Raises:
        UserError: if it is not among the names; the message lists them.
    """
    if str(name) not in names:
        raise UserError(f"These data have no attribute {str(name)!r}. They have: {join_names(names)}.")
    return list(names).index(str(name))


def binary_attributes(run: Run, splits: Sequence[str] = ("train", "val", "test")) -> tuple[dict[str, Tensor], tuple]:
    """Binarize every attribute, with thresholds computed on the training split.

    Returns:
        Split -> (N, A) float32 values 0, 1 or NaN (unknown), and A names.
    """
    train, names = attributes_or_classes(run.annotations("train"))
    thresholds = torch.tensor([attribute_threshold(values) for values in train.T])
    binarized = {}
    for split in splits:
        binarized[split] = binarize_at(attributes_or_classes(run.annotations(split))[0], thresholds)
    return binarized, names


class Labels(NamedTuple):
    """The label that a classifier predicts and that colors a map.

    Attributes:
        values: split -> (N,) int64, -1 where unknown.
        names: a name for each value.
        what: `class`, or the name of the attribute.
    """

    values: dict[str, Tensor]
    names: tuple[str, ...]
    what: str


def labels(run: Run, splits: Sequence[str], attribute: str | None = None) -> Labels | None:
    """Return the classes of the data if they have classes, else one binarized attribute.

    Args:
        run: the run.
        splits: the splits whose labels are returned.
        attribute: the name of the attribute or class; None selects all classes, or else the last attribute.

    Returns:
        The labels, or None if the data have no labels and `attribute` is None.
    """
    train = run.annotations("train")
    if train.classes is not None and attribute is None:
        classes = {}
        for split in splits:
            split_classes = run.annotations(split).classes
            if split_classes is not None:
                classes[split] = split_classes
        return Labels(classes, train.class_names, "class")
    if train.attributes is None and train.classes is None and attribute is None:
        return None
    binarized, names = binary_attributes(run, splits)
    index = len(names) - 1 if attribute is None else attribute_index(names, attribute)
    values = {split: torch.nan_to_num(v[:, index], nan=-1.0).long() for split, v in binarized.items()}
    return Labels(values, (f"not {names[index]}", names[index]), names[index])


def labeled_rows(values: Tensor, limit: int) -> Tensor:
    """Return the rows whose label (N,) is known: at most `limit`, evenly spaced."""
    rows = (values >= 0).nonzero().flatten()
    return rows[spread_rows(limit, len(rows))]


class LabeledFeatures(NamedTuple):
    """Features and labels of images of one split.

    Attributes:
        features: name of the representation -> (N, D) float32.
        y: (N,) int64 labels.
    """

    features: dict[str, Tensor]
    y: Tensor


def labeled_features(run: Run, targets: Labels, limit: int) -> dict[str, LabeledFeatures]:
    """Compute the representations of at most `limit` labeled images of each split of `targets`."""
    pca, data = run.pca(), {}
    for split, values in targets.values.items():
        rows = labeled_rows(values, limit)
        data[split] = LabeledFeatures(representations(run, split, rows, pca), values[rows])
    return data


def conditioning_labels(run: Run, split: str) -> Tensor | None:
    """Return the labels of a split that the model is conditioned on, or None for an unconditional model.

    Returns:
        (N,) int64 classes or (N, A) float32 attributes.
    """
    return run.codes(split).y if run.model.context_size else None


def conditioned_on_classes(run: Run) -> bool:
    """Return True if the model is conditioned on classes, False for attributes or an unconditional model."""
    context = run.model.labels
    return bool(run.model.context_size) and context is not None and context.kind == "classes"
