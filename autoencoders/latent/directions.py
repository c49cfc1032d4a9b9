"""Directions in the space of codes along which an attribute increases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def attribute_direction(
    z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray] = (), normal: np.ndarray | None = None
) -> np.ndarray:
    """Return the step from the mean code without an attribute to the mean code with it.

    With other attributes given, the difference d is taken at equal values of them. Making it orthogonal to the normal
    of a classifier of the other attribute would only hide the change from that classifier: the images of correlated
    attributes would change all the same. With a normal w of a classifier of the attribute given, the step is the
    component of d along it, w (w . d) / (w . w).

    Args:
        z: (N, Z) training codes.
        positive: (N,) bool, whether each has the attribute.
        others: (N,) values of each attribute to keep, NaN if unknown.
        normal: (Z,) normal of a linear classifier of the attribute; None for the difference of the means.

    Returns:
        (Z,) float64; strength 1 is the full step.
    """
    z = z.astype(np.float64)
    step = partial_coefficient(z, positive, others) if others else z[positive].mean(0) - z[~positive].mean(0)
    return step if normal is None else normal * (normal @ step) / (normal @ normal)


def partial_coefficient(z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return the (Z,) coefficient of an attribute in a regression of codes on it and the others."""
    design = np.column_stack([positive, np.ones(len(z)), *others]).astype(np.float64)
    known = np.isfinite(design).all(1)
    return np.linalg.lstsq(design[known], z[known], rcond=None)[0][0]
