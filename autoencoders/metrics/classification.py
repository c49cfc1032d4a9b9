"""Metrics of a classifier: exact sums over batches, and the metrics of their means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.metrics.probes import auroc_of_counts
from autoencoders.types import Context

BINS, WIDTH = 1500, 0.02
"""Logits are counted in BINS bins of WIDTH around 0 for the AUROC. The outermost bins include all larger values."""


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return -log p(label) of each image, (B,) nats, summed over known attributes.

    Args:
        logits: (B, K) of classes or (B, A) of attributes.
        truth: (B,) int64 classes, or (B, A) float32: 1 with, 0 without, NaN unknown.
    """
    if not truth.is_floating_point():
        return functional.cross_entropy(logits, truth, reduction="none")
    known = truth.isfinite()
    each = functional.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (each * known).sum(1)


def classification_sums(logits: Tensor, truth: Tensor, majority: Tensor) -> Tensor:
    """Return sums over a batch, float64, whose means are the input of `classification_metrics`.

    Args:
        logits: as for `cross_entropy`.
        truth: the same.
        majority: () the most frequent class, or (A,) bits, of the training images.

    Returns:
        (3,) loss, correct, correct by majority; for attributes (1 + A (3 + 2 BINS),): loss, then for each attribute
        known, correct and correct by majority, then counts of logits of images with and without it.
    """
    loss = cross_entropy(logits, truth)
    if not truth.is_floating_point():
        return torch.stack([loss, logits.argmax(1) == truth, truth == majority], 1).double().sum(0)
    known = truth.isfinite()
    columns = [known, known & ((logits > 0) == truth.bool()), known & (truth == majority)]
    bins = (logits / WIDTH + BINS / 2).clamp(0, BINS - 1).long()  # (B, A)
    counts = []
    for side in (1.0, 0.0):
        empty = torch.zeros(truth.shape[1], BINS, dtype=torch.float64, device=logits.device)
        counts.append(empty.scatter_add(1, bins.T, (truth == side).double().T).flatten())
    return torch.cat([loss.double().sum()[None], torch.cat(columns, 1).double().sum(0), *counts])


def classification_metrics(split: str, means: Tensor, labels: Context) -> dict[str, float]:
    """Return the metrics of a split from the means of `classification_sums` over its images.

    Each attribute has `<split>_accuracy/<name>`, `_majority/` and `_auroc/`; the metrics without a name are their
    means.
    """
    if labels.kind == "classes":
        loss, accuracy, majority = means.tolist()
        return {f"{split}/loss": loss, f"{split}/objective": loss, f"{split}/accuracy": accuracy,
                f"{split}/majority": majority}  # fmt: skip
    count = labels.size
    known, right, often, positive, negative = means[1:].split([count] * 3 + [count * BINS] * 2)
    aurocs = auroc_of_counts(positive.view(count, BINS), negative.view(count, BINS))
    found = {"accuracy": right / known, "majority": often / known, "auroc": aurocs}
    metrics = {f"{split}/loss": float(means[0]), f"{split}/objective": float(means[0])}
    metrics |= {f"{split}/{key}": float(values.nanmean()) for key, values in found.items()}
    for key, values in found.items():
        metrics |= {f"{split}_{key}/{name}": v for name, v in zip(labels.names, values.tolist(), strict=True)}
    return metrics
