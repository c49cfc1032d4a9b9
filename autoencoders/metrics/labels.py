"""Conversion of real-valued attributes to binary attributes, and the scales of attributes."""

from __future__ import annotations

import torch
from torch import Tensor

ENOUGH = 20
"""Minimum number of images with an attribute, and of images without it, to compute a direction, probe or threshold."""


def attribute_threshold(values: Tensor) -> float:
    """Return the threshold that divides attribute values (N,) into images with and without the attribute.

    If there are only two distinct values, such as 0 and 1, the threshold is their mean. Otherwise it is 0, which is
    suitable for signed scores such as the attributes of LFW. If fewer than ENOUGH values are above 0, or fewer than
    ENOUGH values are not, the threshold is the median. Unknown values (NaN) are left out.
    """
    values = values[values.isfinite()]
    distinct = values.unique()
    if len(distinct) == 2:
        return float(distinct.mean())
    few = min(int((values > 0).sum()), int((values <= 0).sum()))
    return 0.0 if few >= ENOUGH else float(values.median())


def binarize_at(values: Tensor, at: float | Tensor) -> Tensor:
    """Return 1 for attribute values above a threshold, 0 for other values, and NaN for unknown values, as float32.

    Args:
        values: (N,) values of one attribute, or (N, A) values of A attributes. NaN means unknown.
        at: one threshold, or (A,) thresholds.
    """
    return torch.where(values.isfinite(), (values > at).float(), torch.nan)


def attribute_scales(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation (A,) of A attributes, with which they are standardized.

    For a binary attribute, whose values are only 0 and 1 or only -1 and 1, the returned mean is 0 and the returned
    deviation is 1, so that its values do not change. The deviation of a constant attribute is 1 too.

    Args:
        values: (N, A) finite values of A attributes of N images.

    Returns:
        Means and standard deviations (divisor N), float64.
    """
    values = values.double()
    deviation, mean = torch.std_mean(values, 0, correction=0)
    binary = ((values == 0) | (values == 1)).all(0) | (values.abs() == 1).all(0)
    # The computed deviation of a constant column may be slightly above 0.
    constant = (values == values[:1]).all(0)
    mean = torch.where(binary, 0.0, torch.where(constant, values[0], mean))
    return mean, torch.where(binary | constant, 1.0, deviation)
