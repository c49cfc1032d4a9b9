"""Directions in a space of codes along which an attribute grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencoders.types import UserError

METHODS = ("mean_difference", "logistic")


def attribute_direction(
    z: np.ndarray, positive: np.ndarray, method: str, others: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The step that takes the average code without an attribute to where those with it are.

    `mean_difference`: mean code with - mean code without. `logistic`: the part of that difference along the normal
    w of a logistic regression, w (w . d) / (w . w). Others named, the difference is that between codes with equal
    values of them. Orthogonal to the normal of another's classifier it would merely hide from that classifier: where
    two attributes go together, the picture of the other changes all the same.

    Args:
        z: (N, Z) training codes.
        positive: (N,) bool, who has the attribute.
        method: one of METHODS.
        others: (N,) values of each attribute to leave alone, NaN where unknown.

    Returns:
        (Z,) float64; strength 1 is this whole step.

    Raises:
        UserError: where the method is unknown.
    """
    if method not in METHODS:
        raise UserError(f"method must be one of {list(METHODS)}, and is {method!r}.")
    z = z.astype(np.float64)
    step = held_equal(z, positive, others) if others else z[positive].mean(0) - z[~positive].mean(0)
    if method == "logistic":
        w = hyperplane_normal(z, positive)
        step = w * (w @ step) / (w @ w)
    return step


def held_equal(z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """(Z,) coefficient of an attribute in the least-squares regression of codes on it, the others and a constant."""
    design = np.column_stack([positive, np.ones(len(z)), *others]).astype(np.float64)
    known = np.isfinite(design).all(1)
    return np.linalg.lstsq(design[known], z[known], rcond=None)[0][0]


def hyperplane_normal(z: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(Z,) normal, in units of the codes as they are, of a logistic regression on standardized codes."""
    from sklearn.linear_model import LogisticRegression

    scale = z.std(0)
    scale = np.where(scale > 1e-6 * max(scale.max(), 1e-12), scale, np.inf)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((z - z.mean(0)) / scale, positive)
    return model.coef_[0] / scale
