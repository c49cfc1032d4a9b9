"""Directions in the space of codes along which an attribute increases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencoders.types import UserError

METHODS = ("mean_difference", "logistic")


def attribute_direction(
    z: np.ndarray, positive: np.ndarray, method: str, others: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Return the step from the mean code without an attribute to the mean code with it.

    `mean_difference`: mean code with - mean code without. `logistic`: the component of that difference along the normal
    w of a logistic regression, w (w . d) / (w . w). With other attributes given, the difference is taken at equal
    values of them. Making it orthogonal to the normal of a classifier of the other attribute would only hide the change
    from that classifier: the images of correlated attributes would change all the same.

    Args:
        z: (N, Z) training codes.
        positive: (N,) bool, whether each has the attribute.
        method: one of METHODS.
        others: (N,) values of each attribute to keep, NaN if unknown.

    Returns:
        (Z,) float64; strength 1 is the full step.

    Raises:
        UserError: if the method is unknown.
    """
    if method not in METHODS:
        raise UserError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    z = z.astype(np.float64)
    step = partial_coefficient(z, positive, others) if others else z[positive].mean(0) - z[~positive].mean(0)
    if method == "logistic":
        w = hyperplane_normal(z, positive)
        step = w * (w @ step) / (w @ w)
    return step


def partial_coefficient(z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return the (Z,) coefficient of an attribute in a regression of codes on it and the others."""
    design = np.column_stack([positive, np.ones(len(z)), *others]).astype(np.float64)
    known = np.isfinite(design).all(1)
    return np.linalg.lstsq(design[known], z[known], rcond=None)[0][0]


def hyperplane_normal(z: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the (Z,) normal of a logistic regression on standardized codes, in units of the codes."""
    from sklearn.linear_model import LogisticRegression

    scale = z.std(0)
    scale = np.where(scale > 1e-6 * max(scale.max(), 1e-12), scale, np.inf)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((z - z.mean(0)) / scale, positive)
    return model.coef_[0] / scale
