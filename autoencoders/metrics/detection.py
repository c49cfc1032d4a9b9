"""Metrics for anomaly detection with a score. A higher score means that an image is more anomalous."""

from __future__ import annotations

import numpy as np

RECALL = 0.95
"""True positive rate at which `detection_metrics` measures the false positive rate."""
NAMES = ("auroc", "ap", "fpr at 95 % tpr")
"""Names of the values that `detection_metrics` returns."""


def detection_metrics(normal: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Return AUROC, average precision, and the false positive rate at a true positive rate of 95 %.

    Equal scores are handled as in scikit-learn's `roc_auc_score` and `average_precision_score`.

    Args:
        normal: (N,) scores of normal images.
        anomalous: (M,) scores of anomalous images, which are the positives.

    Returns:
        Metrics (3,), each in [0, 1], in the order of NAMES.
    """
    scores = np.concatenate([normal, anomalous])
    truth = np.concatenate([np.zeros(len(normal)), np.ones(len(anomalous))])
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # index of the last of equal scores
    hits = np.cumsum(truth)[ends]
    alarms = ends + 1 - hits
    recall, fall_out = hits / len(anomalous), alarms / len(normal)
    heights = np.append(0, recall)
    area = float(np.sum(np.diff(np.append(0, fall_out)) * (heights[1:] + heights[:-1]) / 2))
    precision = float(np.sum(np.diff(np.append(0, recall)) * hits / (hits + alarms)))
    return np.array([area, precision, fall_out[np.argmax(recall >= RECALL)]])


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
