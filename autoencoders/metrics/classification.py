"""Metrics of a classifier: loss, accuracy and AUROC."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.metrics.probes import auroc
from autoencoders.metrics.running_means import RunningMeans
from autoencoders.types import Context
from autoencoders.utils.texts import MAX_SCALARS


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy (B,) of each image in nats.

    For classes, it is -log p(class). For attributes, it is the sum of -log p(attribute value) over known attributes.

    Args:
        logits: (B, K) for K classes, or (B, A) for A binary attributes.
        truth: (B,) int64 class indices, -1 if unknown, or (B, A) float32 attributes: 1 with, 0 without, NaN if unknown.
            The cross-entropy of an unknown label is 0.
    """
    if not truth.is_floating_point():
        return functional.cross_entropy(logits, truth, reduction="none", ignore_index=-1)
    known = truth.isfinite()
    each = functional.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (each * known).sum(1)


def classification_terms(losses: Tensor, logits: Tensor, truth: Tensor, majority: Tensor) -> Tensor:
    """Return means over the images of a batch, from which `classification_metrics` computes the metrics.

    Args:
        losses: cross-entropy (B,) of each image.
        logits: (B, K) for K classes, or (B, A) for A binary attributes.
        truth: (B,) int64 class indices, or (B, A) float32 attributes: 1 with, 0 without, NaN if unknown.
        majority: most frequent class index () or most frequent values (A,) of the attributes in the training images.

    Returns:
        For classes (3,): the loss, and the fractions of correct predictions and of images of the majority class. For
        attributes (1 + 3 A,): the loss, and for each attribute the fractions of images with a known value, with a
        correct prediction, and with the majority value.
    """
    if not truth.is_floating_point():
        columns = [losses[:, None], (logits.argmax(1) == truth)[:, None], (truth == majority)[:, None]]
    else:
        known = truth.isfinite()
        columns = [losses[:, None], known, known & ((logits > 0) == truth.bool()), known & (truth == majority)]
    return torch.cat([column.double() for column in columns], 1).mean(0)


class ClassifierMeans(RunningMeans):
    """Means of the classification terms, and the logits and true values of all attributes, for their AUROC.

    Attributes:
        logits: list of logits (B, A), one tensor per batch.
        truth: list of true values (B, A): 1 with the attribute, 0 without, NaN if unknown.
    """

    logits: Any
    truth: Any

    def __init__(self) -> None:
        super().__init__()
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(self, means: Tensor, count: int, logits: Tensor, truth: Tensor) -> None:  # type: ignore[override]
        """Add a batch.

        Args:
            means: result of `classification_terms`.
            count: number of images in the batch.
            logits: logits (B, A) of the attributes.
            truth: true values (B, A) of the attributes.
        """
        super().update(means, count)
        self.logits.append(logits)
        self.truth.append(truth)

    def compute(self) -> Tensor:
        """Return the means (M,) of the classification terms, followed by the AUROC (A,) of each attribute."""
        logits, truth = _concatenate(self.logits), _concatenate(self.truth)
        known = truth.isfinite()
        areas = [auroc(x[k], y[k] > 0) for x, y, k in zip(logits.T, truth.T, known.T, strict=True)]
        return torch.cat([super().compute(), torch.tensor(areas, dtype=self.sums.dtype, device=self.sums.device)])


def _concatenate(state: Tensor | list[Tensor]) -> Tensor:
    """Return a list state as one tensor on the CPU. Synchronized list states are already one tensor."""
    return (state if isinstance(state, Tensor) else torch.cat(state)).cpu()


def classification_metrics(split: str, means: Tensor, labels: Context) -> dict[str, float]:
    """Return the metrics of a classifier on one split.

    The metrics are `<split>/loss`, `<split>/objective`, `<split>/accuracy` and `<split>/majority` (accuracy of the
    prediction that is always the majority class of the training images). For attributes, `<split>/auroc` is added if
    `means` contain it. `<split>_accuracy/<name>`, `<split>_majority/<name>` and `<split>_auroc/<name>` are the values
    for each of the first MAX_SCALARS attributes. `<split>/accuracy`, `<split>/majority` and `<split>/auroc` are means
    over all attributes.

    Args:
        split: name of the split, which is the first part of each metric name.
        means: result of `RunningMeans.compute` or `ClassifierMeans.compute` for the terms of `classification_terms`.
        labels: names of the classes or attributes.
    """
    metrics = {f"{split}/loss": float(means[0]), f"{split}/objective": float(means[0])}
    if labels.kind == "classes":
        return metrics | {f"{split}/accuracy": float(means[1]), f"{split}/majority": float(means[2])}
    known, right, often, *areas = means[1:].split(labels.size)
    found = {"accuracy": right / known, "majority": often / known}
    if areas:
        found["auroc"] = areas[0]
    metrics |= {f"{split}/{key}": float(values.nanmean()) for key, values in found.items()}
    names = labels.names[:MAX_SCALARS]
    for key, values in found.items():
        metrics |= {f"{split}_{key}/{name}": v for name, v in zip(names, values.tolist(), strict=False)}
    return metrics
