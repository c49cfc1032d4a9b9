"""Dimension of features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoencoders.metrics.retrieval import nearest_neighbors

KEPT = 0.9
"""Share of the ratios used by TwoNN: the largest ones are noisy (Facco et al., 2017, discard the same tenth)."""


def spectrum(x: Tensor) -> np.ndarray:
    """Return the variances along the principal components of features (N, D), descending, (min(N, D),) float64."""
    x = x.double() - x.double().mean(0)
    gram = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).numpy() / max(len(x) - 1, 1)


def components_for(variances: np.ndarray, share: float) -> int:
    """Return the number of leading components that explain at least this share of the variance, in (0, 1]."""
    explained = np.cumsum(variances) / max(variances.sum(), 1e-300)
    return int(min(np.searchsorted(explained, share - 1e-12) + 1, len(variances)))


def participation_ratio(variances: np.ndarray) -> float:
    """Return (sum v)^2 / sum v^2: D for equal variances, 1 if one component has all the variance."""
    return float(variances.sum() ** 2 / max(np.square(variances).sum(), 1e-300))


def neighbor_ratios(x: Tensor) -> np.ndarray:
    """Return the ratios of second to first neighbor distances of features (N, D), (<= N,), without duplicates."""
    x = x.double() - x.double().mean(0)  # float32 would round the smallest distances to zero
    found = nearest_neighbors(x, x, 2, itself=True)[1].numpy()
    first, second = found[found[:, 0] > 1e-6 * np.median(found[:, 0])].T
    return second / first


def two_nn(ratios: np.ndarray) -> float:
    """Return the intrinsic dimension from neighbor ratios mu.

    It is the slope of -log(1 - F(mu)) over log mu through the origin.

    Source: Facco, d'Errico, Rodriguez and Laio, 2017, "Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information". It underestimates dimensions above about 20.
    """
    mu = np.sort(np.log(ratios))
    kept = int(KEPT * len(mu))
    tail = -np.log(1 - np.arange(1, len(mu) + 1) / (len(mu) + 1))
    return float((mu[:kept] * tail[:kept]).sum() / max(np.square(mu[:kept]).sum(), 1e-300))
