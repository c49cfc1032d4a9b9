"""Conversion of images with any number of channels to RGB for display."""

from __future__ import annotations

import numpy as np


def to_rgb(images: np.ndarray) -> np.ndarray:
    """Convert images (..., C, H, W) to RGB images (..., H, W, 3) with values in [0, 1] for display.

    Of 3 or 4 channels, the first three are red, green and blue. The mean of 1, 2, 5 or more channels is gray. Values
    outside [0, 1] are clipped, and NaN is black.
    """
    clipped = np.clip(np.nan_to_num(images), 0, 1)
    if clipped.shape[-3] in (3, 4):
        colors = clipped[..., :3, :, :]
    else:
        colors = np.repeat(clipped.mean(axis=-3, keepdims=True), 3, axis=-3)
    return np.moveaxis(colors, -3, -1)
