"""Mutual information between latents and factors, and the scores that are computed from it: MIG and modularity."""

from __future__ import annotations

import math

import numpy as np


def discretize(codes: np.ndarray, bins: int) -> np.ndarray:
    """Divide the range of each latent into bins of equal width.

    Args:
        codes: codes (N, Z).
        bins: number of bins.

    Returns:
        Bins (N, Z) int64, from 0 to `bins` - 1. A constant latent has one bin.
    """
    codes = codes.astype(np.float64)
    edges = np.linspace(codes.min(0), codes.max(0), bins + 1)[:-1]  # (bins, Z), the left edges
    columns = [np.searchsorted(left, column, side="right") - 1 for left, column in zip(edges.T, codes.T, strict=True)]
    return np.stack(columns, axis=1) * (np.ptp(codes, axis=0) > 0)


def entropies(values: np.ndarray) -> np.ndarray:
    """Return the entropies (D,), in nats, of the empirical distributions of the columns of `values` (N, D) int64."""
    return np.array([_entropy(np.bincount(column)) for column in values.T])


def mutual_information_matrix(bins: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the mutual information (Z, F), in nats, between discretized latents (N, Z) and factors (N, F).

    It is the mutual information of the empirical distribution. For independent variables with b and k values, its
    expectation is not 0 but about (b - 1) (k - 1) / (2 N) (Miller, 1955).
    """
    found = np.empty((bins.shape[1], factors.shape[1]))
    for j, factor in enumerate(factors.T):
        size = int(factor.max()) + 1
        for i, latent in enumerate(bins.T):
            joint = np.bincount(latent * size + factor, minlength=(int(latent.max()) + 1) * size).reshape(-1, size)
            found[i, j] = _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.ravel())
    return found.clip(min=0)


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def mutual_information_gap(information: np.ndarray, entropy: np.ndarray) -> float:
    """Return the mutual information gap (MIG).

    For each factor, the gap is the difference between the two latents with the highest mutual information, divided by
    the entropy of the factor. The MIG is the mean over the factors. With one latent, the second value is 0.

    Source: Chen, Li, Grosse and Duvenaud, 2018, "Isolating sources of disentanglement in variational autoencoders".

    Args:
        information: mutual information (Z, F) between latents and factors.
        entropy: entropies (F,) of the factors, in the same unit.
    """
    second, first = np.sort(np.vstack([np.zeros((1, information.shape[1])), information]), axis=0)[-2:]
    return float(((first - second) / entropy).mean())


def modularity(information: np.ndarray) -> float:
    """Return the modularity: 1 if each latent has mutual information with one factor only.

    For a latent whose largest mutual information is t, the score is 1 - (sum of the squares of the others) /
    (t^2 (F - 1)). A latent without any mutual information scores 0. The modularity is the mean over the latents. It is
    NaN for one factor. Latents that contain only noise have small but different values of mutual information, so that
    their score is not 0.

    Source: Ridgeway and Mozer, 2018, "Learning deep disentangled embeddings with the F-statistic loss".

    Args:
        information: mutual information (Z, F) between latents and factors.
    """
    if information.shape[1] < 2:
        return math.nan
    squares = np.square(information)
    largest = squares.max(1)
    others = (squares.sum(1) - largest) / np.where(largest > 0, largest * (information.shape[1] - 1), 1)
    return float(np.where(largest > 0, 1 - others, 0).mean())
