"""Division of real-valued attributes into with and without."""

from __future__ import annotations

import torch
from torch import Tensor

ENOUGH = 20
"""Minimum number of images with and without an attribute for a direction, a probe or a threshold."""


def attribute_threshold(values: Tensor) -> float:
    """Return the threshold of attribute values (N,): 0, or the median if 0 leaves one side empty.

    Zero divides signs and centered scores, such as those of LFW; values of 0 and 1 are divided at .5.
    """
    values = values[values.isfinite()]
    distinct = values.unique()
    if len(distinct) == 2:
        return float(distinct.mean())
    few = min(int((values > 0).sum()), int((values <= 0).sum()))
    return 0.0 if few >= ENOUGH else float(values.median())


def binarize_at(values: Tensor, at: float | Tensor) -> Tensor:
    """Return 1 above the threshold, 0 at or below, NaN if unknown: float32, (N,), or (N, A) with (A,) thresholds."""
    return torch.where(values.isfinite(), (values > at).float(), torch.nan)
