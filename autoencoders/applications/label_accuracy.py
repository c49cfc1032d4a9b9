"""Label accuracy of a conditional model, measured by a classifier."""

from __future__ import annotations

import itertools

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, join_names, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import (
    LabelClassifier,
    correct_predictions,
    require_labels,
    true_labels,
)
from autoencoders.latent.densities import StandardNormal
from autoencoders.metrics.labels import attribute_threshold
from autoencoders.metrics.neighbors import within_label_deviation
from autoencoders.runs.run import Run
from autoencoders.types import UserError

MAX_ATTRIBUTES = 4
"""Maximum number of attributes whose combinations are the labels: 16 labels."""


def labels_to_decode(run: Run, strength: float) -> tuple[list[str], Tensor, Tensor]:
    """Return the requested labels: their names, values for the model and bits for the classifier.

    The values are (L,) classes or (L, A) attributes, and so are the bits: class or sign. Attributes beyond the first
    MAX_ATTRIBUTES stay at their training means.
    """
    context, labels = require_labels(run.model.labels), run.codes("train").y
    if context.kind == "classes":
        y = torch.arange(context.size)
        return [str(name) for name in context.names], y, y
    if labels is None:
        raise UserError("The training images have no attributes. Use a run of a conditional model.")
    varied = min(context.size, MAX_ATTRIBUTES)
    high = labels > label_thresholds(labels)
    values = torch.stack(
        [torch.stack([labels[~high[:, a], a].mean(), labels[high[:, a], a].mean()]) for a in range(context.size)]
    )  # (A, 2): the means of both sides
    signs = torch.tensor(list(itertools.product((0, 1), repeat=varied)))
    y = labels.mean(0).repeat(len(signs), 1)
    y[:, :varied] = torch.stack([values[a, signs[:, a]] for a in range(varied)], dim=1)
    y = labels.mean(0) + strength * (y - labels.mean(0))
    names = [
        " ".join(f"{name}{'-+'[bit]}" for name, bit in zip(context.names, row, strict=False)) for row in signs.tolist()
    ]
    return names, y, signs


def label_thresholds(labels: Tensor) -> Tensor:
    """Return the (A,) thresholds that divide the attributes of the model."""
    return torch.tensor([attribute_threshold(values) for values in labels.T])


def accuracy_tables(
    run: Run, split: str, classifier: LabelClassifier, requested: tuple[list[str], Tensor, Tensor], measured: int,
    generator: torch.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Return the tables of label accuracies on decoded and on real images.

    Args:
        run: run of a conditional model.
        split: split of the real images.
        classifier: a trained classifier, or logistic regression on pixels.
        requested: see `labels_to_decode`.
        measured: number of images per label, each decoded from its own code.
        generator: generator of the codes.

    Raises:
        UserError: if the classifier does not predict a requested attribute.
    """
    names, y, bits = requested
    columns = requested_columns(run, classifier, bits)
    real, real_labels = labeled_images(run, split, measured * len(names), classifier, columns)
    rows = torch.arange(len(names)).repeat_interleave(measured)
    drawn = run.decode(StandardNormal(run.model.latent_dim).sample(len(rows), generator), y[rows])
    shuffled = bits[rows[torch.randperm(len(rows), generator=generator)]]
    is_right = {
        run.model.name: correct_predictions(classifier, drawn, bits[rows], columns),
        f"real {split} images": correct_predictions(classifier, real, real_labels, columns),
        "labels drawn anew": correct_predictions(classifier, drawn, shuffled, columns),
    }
    truth_of_real = label_columns(real_labels, bits)
    images = (drawn, rows), (real, truth_of_real), (drawn, torch.zeros(len(rows)).long())
    table = {
        name: accuracy_row(classifier, correct, *shown)
        for (name, correct), shown in zip(is_right.items(), images, strict=True)
    }
    if bits.ndim == 2:
        for row, correct in zip(table.values(), is_right.values(), strict=True):
            for a, name in enumerate(require_labels(run.model.labels).names[: bits.shape[1]]):
                row[f"accuracy of {name}"] = float(correct[:, a].mean())
    model, others, _ = is_right.values()
    return comparison_table(table), comparison_table(
        accuracy_by_label(names, model, rows, others, truth_of_real), first="label"
    )


def accuracy_by_label(names: list[str], correct: Tensor, rows: Tensor, real: Tensor, labels: Tensor) -> dict[str, dict]:
    """Return one row per label: accuracy on decoded and on real images, and the number of real images."""
    found = {}
    for i, name in enumerate(names):
        held = real[labels == i].mean(1)
        found[name] = {
            "accuracy": mean_and_error(correct[rows == i].mean(1)),
            "accuracy on real": mean_and_error(held) if len(held) else (float("nan"), float("nan")),
            "real images": len(held),
        }
    return found


def accuracy_row(classifier: LabelClassifier, correct: Tensor, images: Tensor, labels: Tensor) -> dict[str, object]:
    """Return one row of the table: the label accuracy, and the variation among images of one label."""
    return {
        "accuracy": mean_and_error(correct.mean(1)),
        "pixel deviation within a label": within_label_deviation(images, labels),
        "feature deviation within a label": within_label_deviation(classifier.features(images), labels),
        "images": len(images),
        "classifier": classifier.name,
        "features": classifier.space,
    }


def requested_columns(run: Run, classifier: LabelClassifier, bits: Tensor) -> list[int] | None:
    """Return the indices of the classifier's attributes that the model is conditioned on; None for classes."""
    if bits.ndim == 1:
        return None
    wanted = require_labels(run.model.labels).names[: bits.shape[1]]
    missing = [name for name in wanted if name not in classifier.labels.names]
    if missing:
        raise UserError(
            f"The classifier ({classifier.name}) must predict {join_names(missing)}, as the model is conditioned on it."
            f" It predicts: {join_names(classifier.labels.names)}."
        )
    return [classifier.labels.names.index(name) for name in wanted]


def labeled_images(
    run: Run, split: str, count: int, classifier: LabelClassifier, columns: list[int] | None
) -> tuple[Tensor, Tensor]:
    """Return at most `count` evenly spaced clean images of a split, and their classes (N,) or bits (N, A)."""
    known = true_labels(run, split, classifier.labels)
    rows = spread_rows(count, len(known))
    return run.data.images(split)[rows].float() / 255, (known if columns is None else known[:, columns].long())[rows]


def label_columns(labels: Tensor, bits: Tensor) -> Tensor:
    """Return the (N,) column of each label, (N,) or (N, A)."""
    return labels if bits.ndim == 1 else (labels[:, None] == bits).all(2).long().argmax(1)
