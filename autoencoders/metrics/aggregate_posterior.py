"""KL divergence of the aggregate posterior from the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gap_to_prior(z: Tensor) -> float:
    """Return KL(N(m, S) || N(0, I)) in nats, where m is the mean and S is the covariance of codes `z` (N, Z).

    The codes are samples from the aggregate posterior q(z) = E q(z | x). The formula is
    (tr S + m'm - Z - log det S) / 2. The divergence is 0 if the codes have the mean and the covariance of the prior.
    Higher moments of the codes have no influence. N samples from N(0, I) have a divergence of about Z (Z + 3) / (4 N).
    Report this value as a baseline.

    Returns:
        The divergence. NaN if N <= Z, because S is then singular.
    """
    z = z.double()
    count, size = z.shape
    if count <= size:
        return math.nan
    mean = z.mean(0)
    covariance = (z - mean).T @ (z - mean) / count
    determinant = torch.linalg.slogdet(covariance).logabsdet
    return float(0.5 * (covariance.trace() + mean.square().sum() - size - determinant))
