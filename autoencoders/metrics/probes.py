"""Linear and nearest-neighbor classifiers on features, and AUROC."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

L2 = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Candidate regularization strengths for `tune_probe`, from the strongest to the weakest."""

MANY_CLASSES, MIN_ITERATIONS = 100, 10
"""Number of outputs above which `tune_probe` uses fewer iterations, and the minimum number of iterations."""


class LinearProbe:
    """Logistic regression on standardized features, fitted by L-BFGS.

    It minimizes mean cross-entropy + l2 / 2 * |weights|^2. Biases are not regularized. The result equals scikit-learn's
    LogisticRegression with C = 1 / (N l2) for N training examples. This class also supports thousands of features and
    several attributes at the same time.

    Args:
        l2: strength of the L2 regularization.
        iterations: maximum number of L-BFGS iterations.
    """

    def __init__(self, l2: float = 1e-2, iterations: int = 100) -> None:
        self.l2, self.iterations = l2, iterations
        self.weight, self.bias = torch.zeros(0), torch.zeros(0)  # empty until `fit`

    def fit(self, x: Tensor, y: Tensor, outputs: int | None = None) -> LinearProbe:
        """Fit weights and biases. A second call starts from the weights of the first call.

        Args:
            x: (N, D) features.
            y: (N,) int64 class indices, or (N, A) float32 attributes: 0 or 1, NaN if unknown.
            outputs: number of classes. None means the largest class index in `y` plus 1. Ignored for attributes.
        """
        x = x.float()
        self.mean, scale = x.mean(0), x.std(0)
        # An infinite scale maps a constant feature to 0, so that it has no influence.
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
        """Return logits (N, K) for features `x` (N, D), where K is the number of classes or attributes."""
        return ((x.float() - self.mean) / self.scale) @ self.weight.T + self.bias

    @property
    def normals(self) -> Tensor:
        """Return the gradients (K, D) of the K logits with respect to the unstandardized features.

        Each gradient is the normal of a linear classifier.
        """
        return self.weight / self.scale


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    if not y.is_floating_point():
        return functional.cross_entropy(logits, y)
    known = y.isfinite()
    return functional.binary_cross_entropy_with_logits(logits[known], y[known]) * logits.shape[1]


def tune_probe(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], iterations: int = 100, outputs: int | None = None
) -> LinearProbe:
    """Return a linear probe whose regularization strength is chosen by the cross-entropy on validation data.

    The strengths in L2 are tried from the strongest to the weakest, until the validation cross-entropy does not
    decrease. With more than MANY_CLASSES outputs, the number of iterations is lowered, so that the time does not grow
    with the number of outputs.

    Args:
        train: training features (N, D), and class indices (N,) or attributes (N, A) as for `LinearProbe.fit`.
        val: validation features (M, D), and class indices (M,) or attributes (M, A).
        iterations: maximum number of L-BFGS iterations per strength.
        outputs: number of classes. None means the largest class index in the training data plus 1.
    """
    count = outputs or (1 if train[1].is_floating_point() else int(train[1].max()) + 1)
    iterations = max(MIN_ITERATIONS, iterations * MANY_CLASSES // count) if count > MANY_CLASSES else iterations
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
    """Return the area under the ROC curve.

    This area is the probability that a positive example has a higher score than a negative example. Equal scores
    contribute 1/2. The result is NaN if there are no positive examples or no negative examples.

    Args:
        scores: (N,) scores. Positive examples should have higher scores.
        positive: (N,) bool, True for positive examples.
    """
    from sklearn.metrics import roc_auc_score

    positive = np.asarray(positive, dtype=bool)
    if positive.sum() in (0, len(positive)):
        return math.nan
    return float(roc_auc_score(positive, np.asarray(scores)))


def knn_predictions(train: Tensor, labels: Tensor, test: Tensor | None = None, k: int = 10) -> Tensor:
    """Predict classes by the most frequent class among the k nearest training features (Euclidean distance).

    If two classes are equally frequent, the class with the nearer neighbors is predicted.

    Args:
        train: (N, D) training features.
        labels: (N,) int64 class indices of the training features.
        test: (M, D) features to classify. None means leave-one-out: each training feature is classified by the other
            training features, so M = N.
        k: number of neighbors.

    Returns:
        Predicted class indices (M,) as int64.
    """
    from autoencoders.metrics.retrieval import nearest_neighbors

    found = labels[nearest_neighbors(train, train if test is None else test, k, itself=test is None)[0]]  # (M, k)
    counts = functional.one_hot(found, int(labels.max()) + 1).double()
    # Nearer neighbors have slightly larger weights, which breaks ties.
    weight = 1 - 1e-3 * torch.arange(found.shape[1]) / found.shape[1]
    return (counts * weight[None, :, None]).sum(1).argmax(1)
