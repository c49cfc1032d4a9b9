"""Options that all datasets share, with their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from autoencoders.data.loader import RowView
from autoencoders.data.transforms import Corruption
from autoencoders.types import UserError
from autoencoders.utils.checks import require

ORDERS = ("random", "alphabetical")
BINARIZE = ("none", "static", "dynamic")


@dataclass(frozen=True)
class SplitOptions:
    """How the images of a source are divided. `ImageDataModule` describes each option."""

    validation: float = 0.1
    test: float = 0.2
    split: str = "random"
    split_seed: int = 0
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.split in ORDERS, "data.split", self.split, f"one of {list(ORDERS)}")
        for field, value in (("validation", self.validation), ("test", self.test)):
            valid = 0 < value < math.inf and (value <= 1 or value == int(value))
            require(valid, f"data.{field}", value, "a share in (0, 1) or a whole number of images")


@dataclass(frozen=True)
class BatchOptions:
    """How images are served. `ImageDataModule` describes each option."""

    batch_size: int
    eval_batch_size: int
    seed: int
    binarize: str
    corruption: Corruption
    flip: bool
    shift: int

    def __post_init__(self) -> None:
        require(self.binarize in BINARIZE, "data.binarize", self.binarize, f"one of {list(BINARIZE)}")
        require(self.shift >= 0, "data.shift", self.shift, "a number of pixels from 0 up")
        for field, value in (("batch_size", self.batch_size), ("eval_batch_size", self.eval_batch_size)):
            require(value >= 1, f"data.{field}", value, "a number of images from 1 up")

    def check_images(self, images: Tensor | RowView, name: str) -> None:
        """Raise UserError if these training images (N, C, H, W) are too few or too small for the options."""
        if self.batch_size > len(images):
            raise UserError(
                f"data.batch_size is {self.batch_size}, and data={name} has {len(images)} training images. Lower it."
            )
        side = min(images.shape[2:])
        require(self.shift < side, "data.shift", self.shift, f"less than the {side} pixels of a side")
