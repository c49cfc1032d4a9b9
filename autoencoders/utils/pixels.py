"""Conversion of stored pixel values, which are uint8 or uint16 integers, to floats in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""Type of stored images -> pixel value of white. Black is 0."""


def white_level(dtype: torch.dtype) -> int:
    """Return the pixel value of white in stored images of a type: 255 for uint8, 65535 for uint16."""
    return WHITE[dtype]


def to_unit(images: Tensor) -> Tensor:
    """Convert stored images, uint8 or uint16, to float32 in [0, 1]."""
    return images.float() / white_level(images.dtype)


def to_stored(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert images in [0, 1] to stored images of a type, uint8 or uint16. Values outside of [0, 1] are clipped."""
    return (images.clamp(0, 1) * white_level(dtype)).round().to(dtype)
