"""Attributes with real values, divided into with and without."""

from __future__ import annotations

import torch
from torch import Tensor

ENOUGH = 20
"""Images with and without an attribute that a direction, a probe or a division asks for."""


def attribute_threshold(values: Tensor) -> float:
    """Where attribute values (N,) divide into with and without: 0, or the median where 0 leaves one side empty.

    Signs divide -1 from 1 and scores centered on 0, as those of LFW; 0 and 1 divide at .5.
    """
    values = values[values.isfinite()]
    distinct = values.unique()
    if len(distinct) == 2:
        return float(distinct.mean())
    few = min(int((values > 0).sum()), int((values <= 0).sum()))
    return 0.0 if few >= ENOUGH else float(values.median())


def binarize_at(values: Tensor, at: float | Tensor) -> Tensor:
    """1 above, 0 at or below, NaN where unknown: float32 of the values' shape, (N,) or, with (A,) places, (N, A)."""
    return torch.where(values.isfinite(), (values > at).float(), torch.nan)
