"""Disentanglement, completeness and informativeness (DCI), from importances of latents in extremely random trees."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

TREES, MIN_LEAF = 10, 5
"""Number of trees per factor, and minimum number of training codes in a leaf."""


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness of codes.

    Source: Eastwood and Williams, 2018, "A framework for the quantitative evaluation of disentangled representations".

    Attributes:
        importance: importance (Z, F) of each latent for the prediction of each factor. The columns sum to 1.
        disentanglement: 1 if each latent is important for one factor only.
        completeness: 1 if one latent only is important for each factor.
        informativeness: mean over the factors of the accuracy of the predictions on test codes.
    """

    importance: np.ndarray
    disentanglement: float
    completeness: float
    informativeness: float


def dci(codes: np.ndarray, factors: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int = 0) -> DCI:
    """Predict each factor from the codes, and return the DCI scores.

    The predictor is scikit-learn's `ExtraTreesClassifier` with `TREES` trees, at least `MIN_LEAF` training codes per
    leaf, and all latents as candidates in each split. The importance of a latent is the decrease of the Gini impurity.

    Args:
        codes: codes (N, Z).
        factors: factor indices (N, F).
        train: indices of the codes with which the predictors are trained.
        test: indices of the codes on which the accuracy is measured.
        seed: seed of the trees.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    importance, accuracies = np.zeros((codes.shape[1], factors.shape[1])), []
    for j, factor in enumerate(factors.T):
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=MIN_LEAF, max_features=None, random_state=seed)
        trees.fit(codes[train], factor[train])
        importance[:, j] = trees.feature_importances_
        accuracies.append(trees.score(codes[test], factor[test]))
    return DCI(importance, disentanglement(importance), completeness(importance), float(np.mean(accuracies)))


def disentanglement(importance: np.ndarray) -> float:
    """Return the disentanglement of an importance matrix (Z, F).

    The score of a latent is 1 minus the entropy, to the base F, of its importances for the F factors. The mean over the
    latents is weighted by their total importance. The result is NaN for one factor.
    """
    if importance.shape[1] < 2:
        return math.nan
    return float((_concentration(importance) * importance.sum(1)).sum() / max(importance.sum(), 1e-300))


def completeness(importance: np.ndarray) -> float:
    """Return the completeness of an importance matrix (Z, F).

    The score of a factor is 1 minus the entropy, to the base Z, of the importances of the Z latents. The result is the
    mean over the factors. It is NaN for one latent.
    """
    return math.nan if importance.shape[0] < 2 else float(_concentration(importance.T).mean())


def _concentration(rows: np.ndarray) -> np.ndarray:
    """Return 1 minus the entropy of each row of (M, D), normalized to a distribution, to the base D. 0 for zeros."""
    total = rows.sum(1, keepdims=True)
    shares = np.where(total > 0, rows / np.where(total > 0, total, 1), 1 / rows.shape[1])
    return 1 + (shares * np.log(np.where(shares > 0, shares, 1))).sum(1) / math.log(rows.shape[1])
