"""Conversions between torch and NumPy."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_numpy(images: Tensor) -> np.ndarray:
    """A NumPy copy on the CPU, float32."""
    return images.detach().float().cpu().numpy()
