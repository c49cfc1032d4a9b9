"""Conversion of torch tensors to NumPy arrays."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_numpy(images: Tensor) -> np.ndarray:
    """Return a tensor of any shape, device and type as a float32 NumPy array."""
    return images.detach().float().cpu().numpy()
