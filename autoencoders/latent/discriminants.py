"""Linear discriminant analysis (LDA), the linear baseline of codes that are trained with labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def fit_discriminants(z: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit scikit-learn's LDA to features, and return the function that maps features to discriminant coordinates.

    In these coordinates, the features with the same label have the covariance matrix I, so that distances ignore what
    varies within a label. On principal components of faces, this is Fisherfaces (Belhumeur, Hespanha and Kriegman,
    1997).

    Args:
        z: (N, Z) features.
        labels: (N,) int64 labels; -1 for features without a label, which are left out.

    Returns:
        Function of features (M, Z) that returns coordinates (M, D) float32, where D is the smaller of Z and the number
        of labels minus 1.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    known = labels >= 0
    fitted = LinearDiscriminantAnalysis().fit(z[known].double().numpy(), labels[known].numpy())
    return lambda features: torch.from_numpy(fitted.transform(features.double().numpy())).float()
