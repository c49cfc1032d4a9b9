"""Directions in a space of codes along which an attribute grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencoders.types import UserError

METHODS = ("mean_difference", "logistic")


def direction(z: np.ndarray, positive: np.ndarray, method: str, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """The step that takes the average code without an attribute to where those with it are.

    `mean_difference`: mean code with - mean code without. `logistic`: the part of that difference along the normal
    w of a logistic regression, w (w . d) / (w . w). Others named, it is then made orthogonal to the normals of
    logistic regressions on each of them, so that their linear scores stay as they are.

    Args:
        z: (N, Z) training codes.
        positive: (N,) bool, who has the attribute.
        method: one of METHODS.
        others: (N,) float each: 1 with, 0 without, NaN unknown, attributes to leave alone.

    Returns:
        (Z,) float64; strength 1 is this whole step.

    Raises:
        UserError: where the method is unknown.
    """
    if method not in METHODS:
        raise UserError(f"method must be one of {list(METHODS)}, and is {method!r}.")
    z = z.astype(np.float64)
    step = z[positive].mean(0) - z[~positive].mean(0)
    if method == "logistic":
        w = normal(z, positive)
        step = w * (w @ step) / (w @ w)
    if others:
        normals = np.stack([normal(z[np.isfinite(o)], o[np.isfinite(o)] > 0) for o in others])
        basis = np.linalg.qr(normals.T)[0]  # (Z, others)
        step = step - basis @ (basis.T @ step)
    return step


def normal(z: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(Z,) normal, in units of the codes as they are, of a logistic regression on standardised codes."""
    from sklearn.linear_model import LogisticRegression

    scale = z.std(0)
    scale = np.where(scale > 1e-6 * max(scale.max(), 1e-12), scale, np.inf)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((z - z.mean(0)) / scale, positive)
    return model.coef_[0] / scale
