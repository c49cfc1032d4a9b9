"""Metrics for a classifier: loss, accuracy and AUROC, computed from exact sums over batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.metrics.probes import auroc_of_counts
from autoencoders.types import Context

BINS, WIDTH = 1500, 0.02
"""Number and width of the histogram bins for logits, from which the AUROC is computed.

The bins are centered at 0. A logit outside all bins is counted in the nearest bin.
"""


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy (B,) of each image in nats.

    For classes, it is -log p(class). For attributes, it is the sum of -log p(attribute value) over known attributes.

    Args:
        logits: (B, K) for K classes, or (B, A) for A binary attributes.
        truth: (B,) int64 class indices, or (B, A) float32 attributes: 1 with, 0 without, NaN if unknown.
    """
    if not truth.is_floating_point():
        return functional.cross_entropy(logits, truth, reduction="none")
    known = truth.isfinite()
    each = functional.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (each * known).sum(1)


def classification_sums(logits: Tensor, truth: Tensor, majority: Tensor) -> Tensor:
    """Return float64 sums over the images of a batch.

    Add the sums of all batches and divide them by the number of images to get the input of `classification_metrics`.

    Args:
        logits: (B, K) for K classes, or (B, A) for A binary attributes.
        truth: (B,) int64 class indices, or (B, A) float32 attributes: 1 with, 0 without, NaN if unknown.
        majority: most frequent class index () or most frequent values (A,) of the attributes in the training images.

    Returns:
        For classes, a vector (3,): the summed loss, the number of correct predictions, and the number of images of the
        majority class. For attributes, a vector (1 + A (3 + 2 BINS),): the summed loss; (A,) numbers of images with a
        known value; (A,) numbers of correct predictions; (A,) numbers of images with the majority value; (A, BINS)
        histograms of the logits of images with the attribute; (A, BINS) histograms for images without the attribute.
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
    """Return the metrics of a classifier on one split.

    The metrics are `<split>/loss`, `<split>/objective`, `<split>/accuracy` and `<split>/majority` (accuracy of the
    prediction that is always the majority class of the training images). For attributes, `<split>/auroc` is added.
    `<split>_accuracy/<name>`, `<split>_majority/<name>` and `<split>_auroc/<name>` are the values for each attribute,
    and `<split>/accuracy`, `<split>/majority` and `<split>/auroc` are their means over attributes.

    Args:
        split: name of the split, which is the first part of each metric name.
        means: output of `classification_sums`, summed over the split and divided by its number of images.
        labels: names of the classes or attributes.
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
