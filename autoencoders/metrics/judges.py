"""Classifiers of images that judge what a model draws; how well they judge real images is reported beside it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import UserError


class PixelClassifier:
    """Logistic regression on the leading principal components of pixels, one for classes or one per attribute.

    Args:
        components: principal components of the pixels, at most.
    """

    def __init__(self, components: int = 100) -> None:
        self.components = components

    def fit(self, x: Tensor, labels: Tensor) -> PixelClassifier:
        """Fit to images (N, C, H, W) and their classes (N,), or bits of attributes (N, A), int64.

        Raises:
            UserError: where the images are all of one label.
        """
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        pixels, columns = _flat(x), _columns(labels)
        count = min(self.components, len(pixels) - 1, pixels.shape[1])
        self.pca = make_pipeline(PCA(count, svd_solver="randomized", random_state=0), StandardScaler())
        features = self.pca.fit_transform(pixels)
        self.models = []
        for column in columns.T:
            if len(np.unique(column)) < 2:
                raise UserError("A judge needs training images of two labels at least, and all have the same.")
            self.models.append(LogisticRegression(C=0.1, max_iter=500).fit(features, column))
        return self

    def correct(self, x: Tensor, labels: Tensor) -> Tensor:
        """1 where the label that it sees is the one given, else 0: (N, 1) for classes, (N, A) for attributes."""
        features = self.pca.transform(_flat(x))
        seen = np.stack([model.predict(features) for model in self.models], axis=1)
        return torch.from_numpy((seen == _columns(labels)).astype(np.float64))


def _flat(x: Tensor) -> np.ndarray:
    return x.flatten(1).float().clamp(0, 1).numpy()


def _columns(labels: Tensor) -> np.ndarray:
    return labels.reshape(len(labels), -1).numpy()
