"""Label accuracy of a conditional model: how often a classifier recognizes the requested label in decoded images."""

from __future__ import annotations

import itertools

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, mean_and_error, spread_rows
from autoencoders.applications.code_samples import decode_prior
from autoencoders.applications.label_classifiers import (
    LabelClassifier,
    correct_predictions,
    require_labels,
    true_labels,
)
from autoencoders.metrics.labels import attribute_threshold
from autoencoders.metrics.neighbors import within_label_deviation
from autoencoders.models.prior_codes import draw_noise
from autoencoders.runs.run import Run
from autoencoders.types import UserError
from autoencoders.utils.pixels import to_unit
from autoencoders.utils.texts import list_names

MAX_DECODED, MANY_LABELS = 20_000, 100
"""Maximum number of decoded images for all labels together, if there are more than MANY_LABELS labels."""
MAX_ATTRIBUTES = 4
"""Maximum number of attributes that are combined into labels. Four attributes give 16 labels."""


def labels_to_decode(run: Run, strength: float) -> tuple[list[str], Tensor, Tensor]:
    """Return the labels that are requested from a conditional model.

    The labels are all classes, or all combinations of high (+) and low (-) values for the first V <= MAX_ATTRIBUTES
    attributes. All other attributes have their training means.

    Args:
        run: run of a conditional model.
        strength: factor on the deviation of the attributes from their training means; not used for classes.

    Returns:
        The display names of L labels. The labels for the model: classes (L,) or attributes (L, A). The labels for the
        classifier (`bits`): classes (L,), or (L, V) with 1 for a high and 0 for a low value.

    Raises:
        UserError: if the model is unconditional, or the training images have no labels.
    """
    context, labels = require_labels(run.model.labels), run.codes("train").y
    if context.kind == "classes":
        y = torch.arange(context.size)
        return [str(name) for name in context.names], y, y
    if labels is None:
        raise UserError(
            "The model is conditioned on attributes, but the training images have no attributes. Choose a run whose "
            "data has attributes."
        )
    varied = min(context.size, MAX_ATTRIBUTES)
    high = labels > label_thresholds(labels)
    values = torch.stack(
        [torch.stack([labels[~high[:, a], a].mean(), labels[high[:, a], a].mean()]) for a in range(context.size)]
    )  # (A, 2): mean of the low values, mean of the high values
    signs = torch.tensor(list(itertools.product((0, 1), repeat=varied)))
    y = labels.mean(0).repeat(len(signs), 1)
    y[:, :varied] = torch.stack([values[a, signs[:, a]] for a in range(varied)], dim=1)
    y = labels.mean(0) + strength * (y - labels.mean(0))
    names = [
        " ".join(f"{name}{'-+'[bit]}" for name, bit in zip(context.names, row, strict=False)) for row in signs.tolist()
    ]
    return names, y, signs


def label_thresholds(labels: Tensor) -> Tensor:
    """Return the thresholds (A,) between low and high values of attributes `labels` (N, A)."""
    return torch.tensor([attribute_threshold(values) for values in labels.T])


def accuracy_tables(
    run: Run, split: str, classifier: LabelClassifier, requested: tuple[list[str], Tensor, Tensor], measured: int,
    generator: torch.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Return two tables of label accuracies on decoded and on real images.

    Args:
        run: run of a conditional model.
        split: split of the real images.
        classifier: classifier that predicts the labels of the images.
        requested: the requested labels, from `labels_to_decode`.
        measured: number of decoded images per label, each from its own code. It is lowered if there are many labels;
            see MAX_DECODED.
        generator: generator that samples the codes.

    Returns:
        A table with one row for decoded images, one for real images and one for decoded images with shuffled labels,
        and a table with one row per label.

    Raises:
        UserError: if the classifier does not predict a requested attribute.
    """
    names, y, bits = requested
    if len(names) > MANY_LABELS:
        measured = max(1, min(measured, MAX_DECODED // len(names)))
    columns = requested_columns(run, classifier, bits)
    real, real_labels = labeled_images(run, split, measured * len(names), classifier, columns)
    rows = torch.arange(len(names)).repeat_interleave(measured)
    drawn = decode_prior(run, draw_noise(run.model, len(rows), generator), y[rows])
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
    """Return, for each label, the accuracy on decoded images and on real images, and the number of real images.

    Args:
        names: display names of the labels.
        correct: (N, V) whether the classifier is correct for V attributes of N decoded images; V = 1 for classes.
        rows: (N,) index of the label that was requested for each decoded image.
        real: (M, V) whether the classifier is correct for M real images.
        labels: (M,) index of the true label of each real image.
    """
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
    """Return one row of the accuracy table: the label accuracy, and the variation among images with the same label.

    Args:
        classifier: classifier whose features are compared.
        correct: (N, V) whether the classifier is correct for V attributes; V = 1 for classes.
        images: (N, C, H, W) images.
        labels: (N,) index of the label of each image.
    """
    return {
        "accuracy": mean_and_error(correct.mean(1)),
        "pixel deviation within a label": within_label_deviation(images, labels),
        "feature deviation within a label": within_label_deviation(classifier.features(images), labels),
        "images": len(images),
        "classifier": classifier.name,
        "features": classifier.space,
        "note": "classifier chosen on validation images",
    }


def requested_columns(run: Run, classifier: LabelClassifier, bits: Tensor) -> list[int] | None:
    """Return where the requested attributes are among the classifier's attributes.

    Args:
        run: run of a conditional model.
        classifier: classifier of decoded images.
        bits: the labels for the classifier, from `labels_to_decode`.

    Returns:
        Indices of the attributes among those of the classifier; None for classes.

    Raises:
        UserError: if the classifier does not predict a requested attribute.
    """
    if bits.ndim == 1:
        return None
    wanted = require_labels(run.model.labels).names[: bits.shape[1]]
    missing = [name for name in wanted if name not in classifier.labels.names]
    if missing:
        raise UserError(
            f"classifier must predict every attribute that the model is conditioned on, but {classifier.name} does not "
            f"predict {list_names(missing)}. Its attributes: {list_names(classifier.labels.names)}. Choose another "
            "classifier."
        )
    return [classifier.labels.names.index(name) for name in wanted]


def labeled_images(
    run: Run, split: str, count: int, classifier: LabelClassifier, columns: list[int] | None
) -> tuple[Tensor, Tensor]:
    """Return at most `count` images of a split, evenly spaced and without corruption, with their labels.

    Args:
        run: run whose data has the images.
        split: split of the images.
        count: maximum number of images.
        classifier: classifier whose labels are returned.
        columns: indices of the returned attributes among those of the classifier; None for classes.

    Returns:
        Images (N, C, H, W) in [0, 1], and their labels: classes (N,), or attributes (N, V) as 0 or 1.
    """
    known = true_labels(run, split, classifier.labels)
    rows = spread_rows(count, len(known))
    return to_unit(run.data.images(split)[rows]), (known if columns is None else known[:, columns].long())[rows]


def label_columns(labels: Tensor, bits: Tensor) -> Tensor:
    """Return the index (N,) of each image's label among the requested labels.

    Args:
        labels: labels of N images: (N,) classes, or (N, V) attributes as 0 or 1.
        bits: the labels for the classifier, from `labels_to_decode`.
    """
    return labels if bits.ndim == 1 else (labels[:, None] == bits).all(2).long().argmax(1)
