"""Representations of images (codes, principal components, pixels), and labels with which they are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import spread_rows
from autoencoders.latent.discriminants import fit_discriminants
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.models.supervised_ae import SupervisedAE, training_labels
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pca import PCABaseline
from autoencoders.utils.texts import list_names

MAX_SIDE = 32
"""Maximum height and width of images whose pixels are used as features. Larger images are reduced by averaging."""


def pixels(x: Tensor) -> Tensor:
    """Flatten images (N, C, H, W) to features (N, D). Sides longer than MAX_SIDE pixels are reduced by averaging."""
    size = tuple(min(MAX_SIDE, side) for side in x.shape[2:])
    if size != tuple(x.shape[2:]):
        x = functional.interpolate(x, size, mode="area")
    return x.flatten(1)


def code_baselines(run: Run) -> list[PCABaseline]:
    """Return the baselines for the codes of a run: PCA and whitened PCA with as many components as latents.

    Both are fitted to the training images. Distances between codes depend on the scales of the latents. Whitened PCA
    shows what equal scales alone achieve, without a trained model.
    """
    return [run.pca(), run.pca(whiten=True)]


def supervised_baselines(run: Run) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the baseline for codes that are trained with labels: LDA of PCA coordinates with the same labels.

    Returns:
        Name -> function that encodes images (N, C, H, W). Empty for a model that is not trained with classes or groups.
    """
    model = run.model
    if not isinstance(model, SupervisedAE) or model.supervision == "attributes":
        return {}
    truth, _ = training_labels(run.annotations("train"), model.supervision)
    pca = run.pca()
    chunks = torch.arange(len(truth)).split(ROWS_PER_CHUNK)
    project = fit_discriminants(torch.cat([pca.encode(run.batch("train", chunk).x) for chunk in chunks]), truth)
    return {f"LDA of {pca.name}": lambda x: project(pca.encode(x))}


def representations(run: Run, split: str, rows: Tensor) -> dict[str, Tensor]:
    """Return the representations of images in a split: the model's codes, baselines and pixels.

    The baselines are the `code_baselines` and, for a model that is trained with labels, the `supervised_baselines`.

    Args:
        run: run whose model and data are used.
        split: split of the images, which are read as in evaluation.
        rows: (N,) indices of the images in the split.

    Returns:
        Name of the representation -> features (N, D) float32. The model is first.
    """
    encoders: dict[str, Callable[[Tensor], Tensor]] = {pca.name: pca.encode for pca in code_baselines(run)}
    encoders |= supervised_baselines(run) | {"pixels": pixels}
    chunks: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for chunk in rows.split(ROWS_PER_CHUNK):
        x = run.batch(split, chunk).x
        for name, encode in encoders.items():
            chunks[name].append(encode(x))
    return {run.model.name: run.codes(split).z[rows]} | {name: torch.cat(parts) for name, parts in chunks.items()}


def attributes_or_classes(annotations: Annotations) -> tuple[Tensor, tuple[str, ...]]:
    """Return the attributes of N images. If the data has only classes, each class becomes one attribute.

    Returns:
        Values (N, A), NaN if unknown, and the names of the A attributes. The attribute of a class is 1 for images of
        the class and -1 for all other images.

    Raises:
        UserError: if the data has neither attributes nor classes.
    """
    if annotations.attributes is not None:
        return annotations.attributes, annotations.attribute_names
    if annotations.classes is not None:
        values = 2.0 * functional.one_hot(annotations.classes, len(annotations.class_names)) - 1
        return values, annotations.class_names
    raise UserError(
        "This application needs attributes or classes, but the data has neither. Choose a run whose data has labels."
    )


def attribute_index(names: Sequence[str], name: object) -> int:
    """Return the index of the attribute or class `name` in `names`.

    Raises:
        UserError: if `names` does not contain `name`. The message lists all names.
    """
    if str(name) not in names:
        raise UserError(f"The data has no attribute or class {str(name)!r}. Choose one of: {list_names(names)}.")
    return list(names).index(str(name))


def binary_attributes(run: Run, splits: Sequence[str] = ("train", "val", "test")) -> tuple[dict[str, Tensor], tuple]:
    """Binarize all attributes, or classes if the data has no attributes, with thresholds from the training split.

    Returns:
        Split -> values (N, A) float32: 0, 1 or NaN (unknown). The names of the A attributes.
    """
    train, names = attributes_or_classes(run.annotations("train"))
    thresholds = torch.tensor([attribute_threshold(values) for values in train.T])
    binarized = {}
    for split in splits:
        binarized[split] = binarize_at(attributes_or_classes(run.annotations(split))[0], thresholds)
    return binarized, names


class Labels(NamedTuple):
    """Labels of images: the classes, or one binary attribute. A classifier predicts them, or they color a map.

    Attributes:
        values: split -> labels (N,) int64, -1 if unknown.
        names: display name of each label.
        what: `class`, or the name of the attribute.
    """

    values: dict[str, Tensor]
    names: tuple[str, ...]
    what: str


def labels(run: Run, splits: Sequence[str], attribute: str | None = None) -> Labels | None:
    """Return the labels of images: all classes, or one binary attribute.

    Args:
        run: run whose data has the labels.
        splits: splits whose labels are returned.
        attribute: name of the attribute. The name of a class selects this class against all others. None selects all
            classes, or the last attribute if the data has no classes.

    Returns:
        The labels; None if the data has no labels and `attribute` is None.

    Raises:
        UserError: if the data has no such attribute or class.
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
    """Return the indices of at most `limit` images whose label in `values` (N,) is known (not -1), evenly spaced."""
    rows = (values >= 0).nonzero().flatten()
    return rows[spread_rows(limit, len(rows))]


class LabeledFeatures(NamedTuple):
    """Features and labels of N images from one split.

    Attributes:
        features: name of the representation -> features (N, D) float32.
        y: (N,) int64 labels.
    """

    features: dict[str, Tensor]
    y: Tensor


def labeled_features(run: Run, targets: Labels, limit: int) -> dict[str, LabeledFeatures]:
    """Return, for each split in `targets`, the representations and labels of at most `limit` labeled images."""
    data = {}
    for split, values in targets.values.items():
        rows = labeled_rows(values, limit)
        data[split] = LabeledFeatures(representations(run, split, rows), values[rows])
    return data


def conditioning_labels(run: Run, split: str) -> Tensor | None:
    """Return the labels in a split that the model is conditioned on.

    Returns:
        Classes (N,) int64 or attributes (N, A) float32; None for an unconditional model.
    """
    return run.codes(split).y if run.model.context_size else None


def conditioned_on_classes(run: Run) -> bool:
    """Return whether the model is conditioned on classes (not on attributes, and not unconditional)."""
    context = run.model.labels
    return bool(run.model.context_size) and context is not None and context.kind == "classes"
