"""Option classes that all datasets share. They raise UserError for invalid values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from autoencoders.data.loader import RowView
from autoencoders.data.transforms import Corruption
from autoencoders.types import UserError
from autoencoders.utils.checks import require

ORDERS = ("random", "alphabetical")
DUPLICATES = ("keep", "drop")
BINARIZE = ("none", "static", "dynamic")


@dataclass(frozen=True)
class SplitOptions:
    """Options for dividing the images of a dataset into splits. `ImageDataModule` describes each option."""

    validation: float = 0.1
    test: float = 0.2
    split: str = "random"
    split_seed: int = 0
    exclude: tuple[str, ...] = ()
    duplicates: str = "keep"

    def __post_init__(self) -> None:
        require(self.split in ORDERS, "data.split", self.split, f"one of {list(ORDERS)}")
        require(self.duplicates in DUPLICATES, "data.duplicates", self.duplicates, f"one of {list(DUPLICATES)}")
        for field, value in (("validation", self.validation), ("test", self.test)):
            valid = 0 < value < math.inf and (value <= 1 or value == int(value))
            require(valid, f"data.{field}", value, "a fraction in (0, 1) or an integer number of images")


@dataclass(frozen=True)
class BatchOptions:
    """Options for building batches of images. `ImageDataModule` describes each option."""

    batch_size: int
    eval_batch_size: int
    seed: int
    binarize: str
    corruption: Corruption
    flip: bool
    shift: int

    def __post_init__(self) -> None:
        require(self.binarize in BINARIZE, "data.binarize", self.binarize, f"one of {list(BINARIZE)}")
        require(self.shift >= 0, "data.shift", self.shift, "a number of pixels >= 0")
        for field, value in (("batch_size", self.batch_size), ("eval_batch_size", self.eval_batch_size)):
            require(value >= 1, f"data.{field}", value, "a number of images >= 1")

    def check_images(self, images: Tensor | RowView, name: str) -> None:
        """Check that there are enough training images for `batch_size`, and that they are large enough for `shift`.

        Args:
            images: training images (N, C, H, W).
            name: name of the dataset, for error messages.

        Raises:
            UserError: if N is smaller than `batch_size`, or if H or W is not larger than `shift`.
        """
        if self.batch_size > len(images):
            raise UserError(
                f"data.batch_size must not exceed the {len(images)} training images of data={name}, "
                f"got {self.batch_size}. Lower data.batch_size."
            )
        side = min(images.shape[2:])
        require(self.shift < side, "data.shift", self.shift, f"less than the smaller image side of {side} pixels")
