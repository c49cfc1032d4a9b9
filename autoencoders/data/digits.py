"""The 1,797 handwritten digits that scikit-learn contains. No file is downloaded."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Context
from autoencoders.utils.checks import require


class DigitsDataModule(ImageDataModule):
    """Gray images of handwritten digits, resized from 8 x 8 pixels with bicubic interpolation.

    Source: Alpaydin and Kaynak, UCI Machine Learning Repository, 1998.

    Args:
        root: not used, because no file is downloaded.
        size: height and width of the resized images, in pixels.
        batch_size: see `ImageDataModule`.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "digits"

    def __init__(
        self, root: str | None = None, *, size: int = 28, batch_size: int | Literal["auto"] = 32, **common: Any
    ) -> None:
        super().__init__(root, batch_size=batch_size, **common)
        # The original images have 8 x 8 pixels.
        require(8 <= size <= 1024, "data.size", size, "a number of pixels between 8 and 1024")
        self.size = size

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return "scikit-learn"

    def read(self) -> Source:
        """Read all images and their classes. The dataset has no official test split."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)  # (N, 1, 8, 8)
        images = F.interpolate(images, size=(self.size, self.size), mode="bicubic", align_corners=False)
        images = images.round().clamp(0, 255).byte()
        labels = torch.from_numpy(digits.target).long()
        return Source(Split(images, labels), None, Context("classes", tuple("0123456789")))
