"""Explicitness: how well a linear classifier recognizes each value of each factor in the codes."""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy.stats import rankdata

ITERATIONS = 50
"""Maximum number of iterations of the logistic regression."""


def explicitness(codes: np.ndarray, factors: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Return the explicitness: the area under the ROC curve, averaged over the values and then over the factors.

    Each factor is predicted by scikit-learn's multinomial `LogisticRegression` (C = 1) on standardized codes. For each
    value, the ROC curve compares the predicted probability of the value with the test codes that have it. Chance is
    0.5.

    Source: Ridgeway and Mozer, 2018, "Learning deep disentangled embeddings with the F-statistic loss".

    Args:
        codes: codes (N, Z).
        factors: factor indices (N, F).
        train: indices of the codes with which the classifiers are trained.
        test: indices of the codes on which the area is measured.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, deviation = codes[train].mean(0), codes[train].std(0)
    scaled = (codes - mean) / np.where(deviation > 0, deviation, 1)
    areas = []
    for factor in factors.T:
        if len(np.unique(factor[train])) < 2:
            areas.append(math.nan)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier = LogisticRegression(max_iter=ITERATIONS).fit(scaled[train], factor[train])
        areas.append(mean_roc_area(classifier.predict_proba(scaled[test]), classifier.classes_, factor[test]))
    return float(np.nanmean(areas))


def mean_roc_area(scores: np.ndarray, values: np.ndarray, actual: np.ndarray) -> float:
    """Return the area under the ROC curve of each value against all others, averaged over the values that occur.

    Args:
        scores: scores (N, K) of the K values.
        values: the K values.
        actual: value of each code (N,).
    """
    positive = actual[:, None] == values[None]
    count = positive.sum(0)
    rank_sum = (rankdata(scores, axis=0) * positive).sum(0)
    known = (count > 0) & (count < len(actual))
    if not known.any():
        return math.nan
    area = (rank_sum - count * (count + 1) / 2)[known] / (count * (len(actual) - count))[known]
    return float(area.mean())
