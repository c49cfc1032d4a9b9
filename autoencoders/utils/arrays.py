"""Conversions between torch and NumPy."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_numpy(images: Tensor) -> np.ndarray:
    """Return a float32 NumPy copy on the CPU."""
    return images.detach().float().cpu().numpy()
