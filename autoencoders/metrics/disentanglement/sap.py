"""Separated attribute predictability (SAP): how much better the best latent predicts a factor than the second best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ACTIVE_SHARE = 0.05
"""A latent is active if its standard deviation is at least this share of the largest standard deviation."""


def active_latents(codes: np.ndarray) -> np.ndarray:
    """Return a mask (Z,) of the active latents of codes (N, Z): their deviation is >= `ACTIVE_SHARE` of the largest."""
    deviation = codes.astype(np.float64).std(0)
    return (deviation > 0) & (deviation >= ACTIVE_SHARE * deviation.max())


def predictability(
    codes: np.ndarray, factors: np.ndarray, ordered: Sequence[bool], train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Return how well each single latent predicts each factor, (Z, F) in [0, 1].

    For an ordered factor it is R^2, the squared correlation of the latent with the index of the value over all codes.
    For a categorical factor with K values it is the balanced accuracy on test codes of at most K - 1 thresholds, which
    are chosen on training codes: a decision tree of scikit-learn with K leaves and balanced class weights. Latents that
    are not active have 0 (see `active_latents`).

    Args:
        codes: codes (N, Z).
        factors: factor indices (N, F).
        ordered: whether the values of each factor have an order.
        train: indices of the codes on which thresholds are chosen.
        test: indices of the codes on which the balanced accuracy is measured.
    """
    codes, active = codes.astype(np.float64), active_latents(codes)
    rows = np.concatenate([train, test])
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for j, factor in enumerate(factors.T):
        for i in np.flatnonzero(active):
            if ordered[j]:
                found[i, j] = _squared_correlation(codes[rows, i], factor[rows])
            else:
                found[i, j] = _threshold_accuracy(codes[:, i], factor, train, test)
    return found


def _squared_correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) ** 2 / max((x @ x) * (y @ y), 1e-300))


def _threshold_accuracy(latent: np.ndarray, factor: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    from sklearn.tree import DecisionTreeClassifier

    leaves = max(2, len(np.unique(factor[train])))
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, class_weight="balanced", random_state=0)
    predicted = tree.fit(latent[train, None], factor[train]).predict(latent[test, None])
    actual = factor[test]
    return float(np.mean([(predicted[actual == value] == value).mean() for value in np.unique(actual)]))


def sap_score(predicted: np.ndarray) -> float:
    """Return the SAP score: the mean over the factors of the difference between the two most predictive latents.

    With one latent, the second value is 0.

    Source: Kumar, Sattigeri and Balakrishnan, 2018, "Variational inference of disentangled latent concepts from
    unlabeled observations".

    Args:
        predicted: predictability (Z, F) of the factors from single latents.
    """
    second, first = np.sort(np.vstack([np.zeros((1, predicted.shape[1])), predicted]), axis=0)[-2:]
    return float((first - second).mean())
