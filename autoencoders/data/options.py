"""Options that all datasets share, with their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from autoencoders.data.loader import RowView
from autoencoders.data.transforms import Corruption
from autoencoders.types import UserError

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
        if self.split not in ORDERS:
            raise UserError(f"data.split must be one of {list(ORDERS)}, got {self.split!r}.")
        for field, value in (("validation", self.validation), ("test", self.test)):
            if not 0 < value < math.inf or (value > 1 and value != int(value)):
                raise UserError(f"data.{field} must be a share in (0, 1) or a whole number of images, got {value}.")


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
        if self.binarize not in BINARIZE:
            raise UserError(f"data.binarize must be one of {list(BINARIZE)}, got {self.binarize!r}.")
        if self.shift < 0:
            raise UserError(f"data.shift must be a number of pixels from 0 up, got {self.shift}.")
        for field, value in (("batch_size", self.batch_size), ("eval_batch_size", self.eval_batch_size)):
            if value < 1:
                raise UserError(f"data.{field} must be a number of images from 1 up, got {value}.")

    def check_images(self, images: Tensor | RowView, name: str) -> None:
        """Raise UserError if these training images (N, C, H, W) are too few or too small for the options."""
        if self.batch_size > len(images):
            raise UserError(
                f"data.batch_size is {self.batch_size}, and data={name} has {len(images)} training images. Lower it."
            )
        side = min(images.shape[2:])
        if self.shift >= side:
            raise UserError(f"data.shift must be less than the {side} pixels of a side, got {self.shift}.")
