"""How far codes, taken together, are from the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gap_to_prior(z: Tensor) -> float:
    """KL(N(m, S) || N(0, I)) in nats for the mean m and covariance S of codes (N, Z).

    (tr S + m'm - Z - log det S) / 2, of samples of the aggregate posterior q(z) = E q(z | x): 0 where the decoder
    sees in training what N(0, I) gives it. Only first and second moments count. A finite sample of N(0, I) itself
    gives about Z (Z + 3) / (4 N), so that one is reported beside it.

    Returns:
        NaN where N <= Z: S then has no determinant.
    """
    z = z.double()
    count, size = z.shape
    if count <= size:
        return math.nan
    mean = z.mean(0)
    covariance = (z - mean).T @ (z - mean) / count
    determinant = torch.linalg.slogdet(covariance).logabsdet
    return float(0.5 * (covariance.trace() + mean.square().sum() - size - determinant))
