"""The 1,797 handwritten digits inside scikit-learn: real data with nothing to download."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.loader import Split
from autoencoders.types import Context, UserError


class DigitsDataModule(ImageDataModule):
    """8 x 8 gray digits (Alpaydin and Kaynak, UCI, 1998), resized bicubically.

    Args:
        size: side of the square images, in pixels.
        **common: see `ImageData`.
    """

    def __init__(self, *, size: int = 28, **common: Any) -> None:
        super().__init__(**common)
        if not 8 <= size <= 1024:  # the original digits have 8
            raise UserError(f"data.size must lie in 8 .. 1024 pixels, and is {size}.")
        self.size = size

    def read(self) -> Source:
        """All digits; the base cuts validation and test."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)  # (N, 1, 8, 8)
        images = F.interpolate(images, size=(self.size, self.size), mode="bicubic", align_corners=False)
        images = images.round().clamp(0, 255).byte()
        labels = torch.from_numpy(digits.target).long()
        return Source(Split(images, labels), None, Context("classes", tuple("0123456789")))
