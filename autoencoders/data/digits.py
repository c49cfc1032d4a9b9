"""The 1,797 handwritten digits of scikit-learn: real data without a download."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Context
from autoencoders.utils.checks import require


class DigitsDataModule(ImageDataModule):
    """8 x 8 gray digits (Alpaydin and Kaynak, UCI, 1998), resized with bicubic interpolation.

    Args:
        root: not used.
        size: side of the square images, in pixels.
        **common: see `ImageDataModule`.
    """

    default_name: ClassVar[str] = "digits"

    def __init__(self, root: str | None = None, *, size: int = 28, **common: Any) -> None:
        super().__init__(root, **common)
        require(8 <= size <= 1024, "data.size", size, "a number of pixels in 8 .. 1024")  # the original digits have 8
        self.size = size

    def read(self) -> Source:
        """Read all digits. There is no official test split."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)  # (N, 1, 8, 8)
        images = F.interpolate(images, size=(self.size, self.size), mode="bicubic", align_corners=False)
        images = images.round().clamp(0, 255).byte()
        labels = torch.from_numpy(digits.target).long()
        return Source(Split(images, labels), None, Context("classes", tuple("0123456789")))
