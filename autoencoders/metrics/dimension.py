"""Estimates of the dimension of features: explained variance, participation ratio and TwoNN."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from autoencoders.metrics.retrieval import nearest_neighbors

ACTIVE_VARIANCE = 0.01
"""A latent is active if its posterior mean has a larger variance than this over the data (Burda et al., 2016)."""
KEPT = 0.9
"""Fraction of the neighbor ratios that TwoNN uses. The largest 10 % are noisy (Facco et al., 2017)."""


def active_units(mean: Tensor, mean_of_squares: Tensor) -> int:
    """Return the number of latents whose posterior mean has a variance > ACTIVE_VARIANCE over the images.

    Args:
        mean: posterior means (Z,), averaged over the images.
        mean_of_squares: squared posterior means (Z,), averaged over the images.
    """
    return int((mean_of_squares - mean.square() > ACTIVE_VARIANCE).sum())


def spectrum(x: Tensor) -> np.ndarray:
    """Return the variances (min(N, D),) along the principal components of features `x` (N, D).

    They are float64 and sorted from the largest to the smallest.
    """
    x = x.double() - x.double().mean(0)
    gram = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).numpy() / max(len(x) - 1, 1)


def components_for(variances: np.ndarray, share: float) -> int:
    """Return the smallest number of leading components that explain at least the fraction `share` of the variance.

    Args:
        variances: (D,) variances along the principal components, largest first.
        share: fraction of the total variance, above 0 and at most 1.
    """
    explained = np.cumsum(variances) / max(variances.sum(), 1e-300)
    return int(min(np.searchsorted(explained, share - 1e-12) + 1, len(variances)))


def participation_ratio(variances: np.ndarray) -> float:
    """Return the participation ratio (sum v)^2 / sum v^2 of variances v (D,).

    It is D if all variances are equal, and 1 if only one variance is not zero.
    """
    return float(variances.sum() ** 2 / max(np.square(variances).sum(), 1e-300))


def neighbor_ratios(x: Tensor) -> np.ndarray:
    """Return, for each feature vector in `x` (N, D), the distance of its second neighbor divided by that of its first.

    Duplicate feature vectors have no ratio, so the result (M,) has M <= N values. It is empty if N < 3.
    """
    if len(x) < 3:
        return np.empty(0)
    x = x.double() - x.double().mean(0)  # float32 would round the smallest distances to zero
    found = nearest_neighbors(x, x, 2, itself=True)[1].numpy()
    first, second = found[found[:, 0] > 1e-6 * np.median(found[:, 0])].T
    return second / first


def two_nn(ratios: np.ndarray) -> float:
    """Return the intrinsic dimension, estimated from neighbor ratios mu (N,) by the method TwoNN.

    The estimate is the slope of a line through the origin that is fitted to -log(1 - F(mu)) as a function of log mu,
    where F is the empirical distribution function. Dimensions above about 20 are underestimated. The result is NaN if
    there are no ratios.

    Source: Facco, d'Errico, Rodriguez and Laio, 2017, "Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information".
    """
    mu = np.sort(np.log(ratios))
    kept = int(KEPT * len(mu))
    if not kept:
        return math.nan
    tail = -np.log(1 - np.arange(1, len(mu) + 1) / (len(mu) + 1))
    return float((mu[:kept] * tail[:kept]).sum() / max(np.square(mu[:kept]).sum(), 1e-300))
