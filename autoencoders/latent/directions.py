"""Directions in latent space along which an attribute of the decoded image increases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def attribute_direction(
    z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray] = (), normal: np.ndarray | None = None
) -> np.ndarray:
    """Return a step in latent space that adds an attribute to an image.

    By default, the step is d = (mean code with the attribute) - (mean code without the attribute). If `others` is
    given, d is the coefficient of the attribute in a linear regression of the codes on this attribute and all `others`.
    The step then changes the attribute at constant values of the other attributes. Projecting d orthogonally to the
    normal of a classifier for another attribute would not do this: only the output of that classifier would stay
    constant, but the attribute in the image could still change.

    If `normal` (called w) is given, the step is the component of d along w: w (w . d) / (w . w).

    Args:
        z: (N, Z) training codes.
        positive: (N,) bool, True for codes of images with the attribute.
        others: one array (N,) per attribute whose value must not change. NaN means an unknown value.
        normal: (Z,) normal of a linear classifier for the attribute, or None to return d.

    Returns:
        The step (Z,) in float64. An edit with strength 1 adds the full step to a code.
    """
    z = z.astype(np.float64)
    step = partial_coefficient(z, positive, others) if others else z[positive].mean(0) - z[~positive].mean(0)
    return step if normal is None else normal * (normal @ step) / (normal @ normal)


def partial_coefficient(z: np.ndarray, positive: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return the coefficient (Z,) of an attribute in a linear regression of codes on all given attributes.

    The regressors are `positive`, `others` and a constant. Codes with an unknown (NaN) attribute are left out.
    """
    design = np.column_stack([positive, np.ones(len(z)), *others]).astype(np.float64)
    known = np.isfinite(design).all(1)
    return np.linalg.lstsq(design[known], z[known], rcond=None)[0][0]
