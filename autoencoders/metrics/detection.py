"""Metrics for anomaly detection with a score. A higher score means that an image is more anomalous."""

from __future__ import annotations

import numpy as np

RECALL = 0.95
"""True positive rate at which `detection_metrics` measures the false positive rate."""
NAMES = ("auroc", "ap", "fpr at 95 % tpr")
"""Names of the values that `detection_metrics` returns."""


def detection_metrics(normal: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Return AUROC, average precision, and the false positive rate at a true positive rate of 95 %.

    Args:
        normal: (N,) scores of normal images.
        anomalous: (M,) scores of anomalous images, which are the positives.

    Returns:
        Metrics (3,), each in [0, 1], in the order of NAMES; NaN if a score is not finite.
    """
    # numpy instead of sklearn.metrics, whose checks of the input take most of the time of hundreds of resamples
    scores = np.concatenate([normal, anomalous])
    if not np.isfinite(scores).all():
        return np.full(len(NAMES), np.nan)
    order = np.argsort(-scores)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # last image of each distinct score
    hits = (order >= len(normal)).cumsum()[ends]  # anomalous images with at least this score
    alarms = ends + 1 - hits  # normal images with at least this score
    true_rates = np.append(0, hits / len(anomalous))
    false_rates = np.append(0, alarms / len(normal))
    area = (np.diff(false_rates) * (true_rates[1:] + true_rates[:-1]) / 2).sum()
    average_precision = (np.diff(true_rates) * hits / (hits + alarms)).sum()
    return np.array([area, average_precision, false_rates[np.argmax(true_rates >= RECALL)]])


def detection_error(normal: np.ndarray, anomalous: np.ndarray, resamples: int = 300, seed: int = 0) -> np.ndarray:
    """Return the bootstrap standard errors (3,) of `detection_metrics` (Efron, 1979).

    Args:
        normal: (N,) scores of normal images.
        anomalous: (M,) scores of anomalous images. They are resampled independently of the normal images.
        resamples: number of bootstrap resamples.
        seed: random seed for the resampling.
    """
    rng = np.random.default_rng(seed)
    draws = [
        detection_metrics(rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous)))
        for _ in range(resamples)
    ]
    return np.std(draws, axis=0, ddof=1)


def total_variation(images: np.ndarray) -> np.ndarray:
    """Return the total variation (N,) of images (N, C, H, W).

    It is the mean absolute difference between vertical neighbors plus that between horizontal neighbors.
    """
    down, across = np.abs(np.diff(images, axis=2)), np.abs(np.diff(images, axis=3))
    return down.mean((1, 2, 3)) + across.mean((1, 2, 3))
