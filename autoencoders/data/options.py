"""Option classes that all datasets share. They raise UserError for invalid values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from autoencoders.data.loader import RowView
from autoencoders.data.transforms import Corruption
from autoencoders.types import UserError
from autoencoders.utils.checks import require

ORDERS = ("random", "alphabetical")
DUPLICATES = ("keep", "drop")
BINARIZE = ("none", "static", "dynamic")

AUTO_STEPS, AUTO_LIMIT = 8, 64
"""Minimum number of optimizer steps per epoch, and maximum number of images per step, with data.batch_size=auto."""


@dataclass(frozen=True)
class SplitOptions:
    """Options for dividing the images of a dataset into splits. `ImageDataModule` describes each option."""

    validation: float = 0.1
    test: float = 0.2
    split: str = "random"
    split_seed: int = 0
    exclude: tuple[str, ...] = ()
    duplicates: str = "keep"
    training_images: int | None = None

    def __post_init__(self) -> None:
        if self.training_images is not None:
            valid = isinstance(self.training_images, int) and self.training_images >= 2
            require(valid, "data.training_images", self.training_images, "a number of images >= 2, or null")
        require(self.split in ORDERS, "data.split", self.split, f"one of {list(ORDERS)}")
        require(self.duplicates in DUPLICATES, "data.duplicates", self.duplicates, f"one of {list(DUPLICATES)}")
        for field, value in (("validation", self.validation), ("test", self.test)):
            valid = 0 < value < math.inf and (value <= 1 or value == int(value))
            require(valid, f"data.{field}", value, "a fraction in (0, 1) or an integer number of images")


@dataclass(frozen=True)
class BatchOptions:
    """Options for building batches of images. `ImageDataModule` describes each option."""

    batch_size: int | Literal["auto"]
    eval_batch_size: int
    seed: int
    binarize: str
    corruption: Corruption
    flip: bool
    shift: int

    def __post_init__(self) -> None:
        require(self.binarize in BINARIZE, "data.binarize", self.binarize, f"one of {list(BINARIZE)}")
        require(self.shift >= 0, "data.shift", self.shift, "a number of pixels >= 0")
        if self.batch_size != "auto":
            valid = isinstance(self.batch_size, int) and self.batch_size >= 1
            require(valid, "data.batch_size", self.batch_size, "a number of images >= 1, or auto")
        require(self.eval_batch_size >= 1, "data.eval_batch_size", self.eval_batch_size, "a number of images >= 1")

    def for_images(self, count: int) -> BatchOptions:
        """Return these options with the batch size for `count` training images, if `batch_size` is `auto`."""
        return replace(self, batch_size=choose_batch_size(count)) if self.batch_size == "auto" else self

    def check_images(self, images: Tensor | RowView, name: str) -> None:
        """Check that there are enough training images for `batch_size`, and that they are large enough for `shift`.

        Args:
            images: training images (N, C, H, W).
            name: name of the dataset, for error messages.

        Raises:
            UserError: if N is smaller than 2 or than `batch_size`, or if H or W is not larger than `shift`.
        """
        if len(images) < 2:
            raise UserError(
                f"The training split of data={name} must have at least 2 images, got {len(images)}. Add images, or "
                "lower data.validation or data.test."
            )
        if isinstance(self.batch_size, int) and self.batch_size > len(images):
            raise UserError(
                f"data.batch_size must not exceed the {len(images)} training images of data={name}, "
                f"got {self.batch_size}. Lower data.batch_size."
            )
        side = min(images.shape[2:])
        require(self.shift < side, "data.shift", self.shift, f"less than the smaller image side of {side} pixels")


def choose_batch_size(count: int) -> int:
    """Return the batch size that data.batch_size=auto selects for `count` training images.

    It is the largest power of two, between 2 and AUTO_LIMIT, with at least AUTO_STEPS optimizer steps per epoch.
    """
    size = AUTO_LIMIT
    while size > 2 and count // size < AUTO_STEPS:
        size //= 2
    return size
