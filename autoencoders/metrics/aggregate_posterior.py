"""Distance of the aggregate posterior from the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gap_to_prior(z: Tensor) -> float:
    """Return KL(N(m, S) || N(0, I)) in nats for the mean m and covariance S of codes (N, Z).

    (tr S + m'm - Z - log det S) / 2, for samples of the aggregate posterior q(z) = E q(z | x). It is 0 if these have
    the mean and covariance of the prior, and considers only first and second moments. A finite sample of N(0, I) itself
    has about Z (Z + 3) / (4 N), so it should be reported as a baseline.

    Returns:
        NaN if N <= Z, since S is then singular.
    """
    z = z.double()
    count, size = z.shape
    if count <= size:
        return math.nan
    mean = z.mean(0)
    covariance = (z - mean).T @ (z - mean) / count
    determinant = torch.linalg.slogdet(covariance).logabsdet
    return float(0.5 * (covariance.trace() + mean.square().sum() - size - determinant))
