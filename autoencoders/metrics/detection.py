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
    from sklearn.metrics import auc, average_precision_score, roc_curve

    scores = np.concatenate([normal, anomalous])
    if not np.isfinite(scores).all():
        return np.full(len(NAMES), np.nan)
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    false_rates, true_rates, _ = roc_curve(truth, scores, drop_intermediate=False)
    precision = average_precision_score(truth, scores)
    return np.array([auc(false_rates, true_rates), precision, false_rates[np.argmax(true_rates >= RECALL)]])


def detection_error(normal: np.ndarray, anomalous: np.ndarray, resamples: int = 300, seed: int = 0) -> np.ndarray:
    """Return the bootstrap standard errors (3,) of `detection_metrics` (Efron, 1979).

    Args:
        normal: (N,) scores of normal images.
        anomalous: (M,) scores of anomalous images. They are resampled independently of the normal images.
        resamples: number of bootstrap resamples.
        seed: random seed for the resampling.
    """
    from sklearn import config_context

    rng = np.random.default_rng(seed)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # these checks take most of the time
        draws = [
            detection_metrics(rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous)))
            for _ in range(resamples)
        ]
    return np.std(draws, axis=0, ddof=1)


def pixel_auroc(errors: np.ndarray, masks: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUROC of errors per pixel, over the pixels of all images, and for each image.

    Args:
        errors: (N, H, W) error of each pixel, which is its score.
        masks: (N, H, W) bool, whether a pixel is anomalous.

    Returns:
        The AUROC over all pixels, and the AUROC (N,) over the pixels of each image. They are NaN if the pixels are all
        normal or all anomalous.
    """
    from sklearn.metrics import roc_auc_score

    def area(scores: np.ndarray, truth: np.ndarray) -> float:
        return float(roc_auc_score(truth.ravel(), scores.ravel())) if 0 < truth.sum() < truth.size else np.nan

    return area(errors, masks), np.array([area(*pair) for pair in zip(errors, masks, strict=True)])


def total_variation(images: np.ndarray) -> np.ndarray:
    """Return the total variation (N,) of images (N, C, H, W).

    It is the mean absolute difference between vertical neighbors plus that between horizontal neighbors.
    """
    down, across = np.abs(np.diff(images, axis=2)), np.abs(np.diff(images, axis=3))
    return down.mean((1, 2, 3)) + across.mean((1, 2, 3))
