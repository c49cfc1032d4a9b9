"""Linear and nearest-neighbor classifiers on features."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

L2 = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Regularization strengths to choose from on validation data, strongest first."""


class LinearProbe:
    """Logistic regression on standardized features, fitted by L-BFGS.

    It minimizes mean cross-entropy + l2 / 2 * |weights|^2, without regularization of biases: scikit-learn's
    LogisticRegression with C = 1 / (N l2), for thousands of features and several attributes at a time.

    Args:
        l2: strength of the regularization.
        iterations: maximum number of L-BFGS iterations.
    """

    def __init__(self, l2: float = 1e-2, iterations: int = 100) -> None:
        self.l2, self.iterations = l2, iterations
        self.weight, self.bias = torch.zeros(0), torch.zeros(0)  # empty before the first fit

    def fit(self, x: Tensor, y: Tensor, outputs: int | None = None) -> LinearProbe:
        """Fit, starting from the weights of an earlier fit if there was one.

        Args:
            x: (N, D) features.
            y: (N,) int64 classes, or (N, A) float32 attributes: 0 or 1, NaN if unknown.
            outputs: number of classes; None for the largest class in y.
        """
        x = x.float()
        self.mean, scale = x.mean(0), x.std(0)
        # A constant feature has no influence.
        self.scale = torch.where(scale > 1e-6 * scale.max().clamp_min(1e-12), scale, torch.inf)
        x = (x - self.mean) / self.scale
        outputs = y.shape[1] if y.is_floating_point() else outputs or int(y.max()) + 1
        if not self.weight.numel():
            self.weight, self.bias = torch.zeros(outputs, x.shape[1]), torch.zeros(outputs)
        parameters = [self.weight.requires_grad_(), self.bias.requires_grad_()]
        optimizer = torch.optim.LBFGS(
            parameters, max_iter=self.iterations, tolerance_grad=1e-6, tolerance_change=1e-8, history_size=10,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = _cross_entropy(x @ self.weight.T + self.bias, y) + self.l2 / 2 * self.weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        self.weight, self.bias = self.weight.detach(), self.bias.detach()
        return self

    def logits(self, x: Tensor) -> Tensor:
        """Return logits (N, classes or A) of features (N, D)."""
        return ((x.float() - self.mean) / self.scale) @ self.weight.T + self.bias

    @property
    def normals(self) -> Tensor:
        """Return (classes or A, D) gradients of the logits with respect to the unstandardized features."""
        return self.weight / self.scale


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    if not y.is_floating_point():
        return functional.cross_entropy(logits, y)
    known = y.isfinite()
    return functional.binary_cross_entropy_with_logits(logits[known], y[known]) * logits.shape[1]


def tune_probe(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], iterations: int = 100, outputs: int | None = None
) -> LinearProbe:
    """Return the probe whose regularization, of L2, has the lowest cross-entropy on validation data.

    Args:
        train: features (N, D) and labels as for `LinearProbe.fit`.
        val: the same, held out.
        iterations: maximum number of L-BFGS iterations for each strength.
        outputs: as for `LinearProbe.fit`.
    """
    best, least, probe = None, math.inf, LinearProbe(iterations=iterations)
    for l2 in L2:
        probe.l2 = l2
        probe.fit(*train, outputs=outputs)
        loss = float(_cross_entropy(probe.logits(val[0]), val[1]))
        if loss >= least:
            break
        best, least = LinearProbe(l2, iterations), loss
        best.mean, best.scale = probe.mean, probe.scale
        best.weight, best.bias = probe.weight.clone(), probe.bias.clone()
    return best or probe


def auroc(scores: Tensor | np.ndarray, positive: Tensor | np.ndarray) -> float:
    """Return the probability that a positive scores above a negative (ties count half); NaN if one of them is missing.

    Args:
        scores: (N,), higher for positives.
        positive: (N,) bool.
    """
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=bool)
    count = positive.sum()
    if count in (0, len(positive)):
        return math.nan
    ranks = rankdata(np.asarray(scores))
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def auroc_of_counts(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the AUROC of A attributes from scores counted in bins, (A,) float64.

    Args:
        positive: (A, bins) number of positives, or share of all images, per bin, lowest first.
        negative: (A, bins) the same for negatives.
    """
    below = negative.cumsum(1) - negative / 2  # half of its own bin
    return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))


def knn_predictions(train: Tensor, labels: Tensor, test: Tensor | None = None, k: int = 10) -> Tensor:
    """Return the majority class of the k nearest training features (Euclidean); the nearest decides ties.

    Args:
        train: (N, D).
        labels: (N,) int64.
        test: (M, D); None for each row of `train`, without itself.
        k: number of neighbors.

    Returns:
        (M,) int64.
    """
    from autoencoders.metrics.retrieval import nearest_neighbors

    found = labels[nearest_neighbors(train, train if test is None else test, k, itself=test is None)[0]]  # (M, k)
    counts = functional.one_hot(found, int(labels.max()) + 1).double()
    weight = (
        1 - 1e-3 * torch.arange(found.shape[1]) / found.shape[1]
    )  # nearer neighbors weigh slightly more, to break ties
    return (counts * weight[None, :, None]).sum(1).argmax(1)
