"""Corruptions and augmentations, which process a batch of images on the device of the batch.

A corruption changes the input of the model but never the target. It takes images (B, C, H, W) in [0, 1] and a `Draws`
object, which generates the random numbers for these images.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded


class Draws:
    """Generator of random numbers for the images of a batch.

    The numbers for an image depend only on the seed, the index of the image and the number of previous calls. They do
    not depend on the other images of the batch.

    Args:
        seed: any integer. `Batches` uses a new seed in each training epoch, and a constant seed in validation and test.
        index: indices (B,) of the images in their split.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.seed, self.index, self.calls = seed, index, 0

    def _next_seed(self) -> int:
        self.calls += 1
        return counter_rng.derive_seed(self.seed, self.calls)

    def uniform(self, size: int) -> Tensor:
        """Sample uniform numbers (B, size) in (0, 1), `size` numbers per image."""
        return counter_rng.uniform(self._next_seed(), self.index, size)

    def normal(self, size: int) -> Tensor:
        """Sample standard normal numbers (B, size), `size` numbers per image."""
        return counter_rng.normal(self._next_seed(), self.index, size)


class Corruption(Protocol):
    """Interface of a corruption, which changes the input images of the model.

    Attributes:
        changes: whether the corrupted images can differ from the original images.
    """

    changes: bool

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the corrupted images (B, C, H, W)."""


class NoCorruption(Recorded):
    """Corruption that does not change the images. The model input is then equal to the target."""

    changes = False

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the images `x` (B, C, H, W) without a change."""
        return x


class GaussianNoise(Recorded):
    """Add Gaussian noise to every pixel and channel.

    Args:
        sigma: standard deviation of the noise, in [0, 1]. Pixel values are in [0, 1].
        clamp: clamp the noisy pixel values to [0, 1].
    """

    changes = True

    def __init__(self, sigma: float = 0.25, clamp: bool = True) -> None:
        require(0 <= sigma <= 1, "corruption.sigma", sigma, "a standard deviation in [0, 1]")
        self.sigma, self.clamp = sigma, clamp

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the noisy images (B, C, H, W)."""
        noisy = x + self.sigma * draws.normal(x[0].numel()).view_as(x)
        return noisy.clamp(0, 1) if self.clamp else noisy


class SaltPepper(Recorded):
    """Set a random fraction of the pixels to black or white, with equal probability.

    All channels of a pixel change together.

    Args:
        share: expected fraction of changed pixels, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.1) -> None:
        require(0 <= share <= 1, "corruption.share", share, "a fraction in [0, 1]")
        self.share = share

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the corrupted images (B, C, H, W)."""
        u = draws.uniform(x.shape[2] * x.shape[3]).view(len(x), 1, *x.shape[2:])
        return torch.where(u < self.share, (u < self.share / 2).to(x.dtype), x)


class Occlusion(Recorded):
    """Mask one square at a random position in every image.

    Args:
        share: side of the square, as a fraction of the shorter side of the image, in (0, 1].
        value: gray level of the square, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.4, value: float = 0.5) -> None:
        require(0 < share <= 1, "corruption.share", share, "a fraction of the shorter image side, in (0, 1]")
        require(0 <= value <= 1, "corruption.value", value, "a gray level in [0, 1]")
        self.share, self.value = share, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the masked images (B, C, H, W)."""
        side = torch.full((len(x),), self.share * min(x.shape[2:]), device=x.device)
        return _mask_rectangle(x, side, side, draws.uniform(2), self.value)


class Erase(Recorded):
    """Mask one rectangle with random area and aspect ratio in every image (random erasing, Zhong et al., 2017).

    Args:
        area: smallest and largest area of the rectangle, as fractions of the image area, in (0, 1].
        ratio: smallest and largest aspect ratio (height / width). The ratio is sampled log-uniformly.
        value: gray level of the rectangle, in [0, 1].
    """

    changes = True

    def __init__(
        self, area: tuple[float, float] = (0.02, 0.33), ratio: tuple[float, float] = (0.3, 3.3), value: float = 0.5
    ) -> None:
        valid = len(area) == 2 and 0 < area[0] <= area[1] <= 1
        require(valid, "corruption.area", area, "two fractions in (0, 1] in ascending order")
        valid = len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf
        require(valid, "corruption.ratio", ratio, "two finite aspect ratios above 0 in ascending order")
        require(0 <= value <= 1, "corruption.value", value, "a gray level in [0, 1]")
        self.area, self.ratio, self.value = area, ratio, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the masked images (B, C, H, W)."""
        u = draws.uniform(4)
        area = (self.area[0] + (self.area[1] - self.area[0]) * u[:, 2]) * x.shape[2] * x.shape[3]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = (low + (high - low) * u[:, 3]).exp()
        return _mask_rectangle(x, (area * ratio).sqrt(), (area / ratio).sqrt(), u[:, :2], self.value)


def _mask_rectangle(x: Tensor, height: Tensor, width: Tensor, position: Tensor, value: float) -> Tensor:
    """Mask one rectangle in each image.

    Args:
        x: images (B, C, H, W).
        height: heights (B,) of the rectangles, in pixels. They are rounded to integers.
        width: widths (B,) of the rectangles, in pixels. They are rounded to integers.
        position: vertical and horizontal positions (B, 2) of the rectangles, in (0, 1). At 0, the rectangle touches the
            top or left edge of the image; at 1, the bottom or right edge.
        value: gray level of the rectangle, in [0, 1].

    Returns:
        The masked images (B, C, H, W).
    """
    rows = torch.arange(x.shape[2], device=x.device)[None, :]
    columns = torch.arange(x.shape[3], device=x.device)[None, :]
    height, width = height.round().clamp(1, x.shape[2]), width.round().clamp(1, x.shape[3])
    top = (position[:, 0] * (x.shape[2] - height + 1)).floor()[:, None]
    left = (position[:, 1] * (x.shape[3] - width + 1)).floor()[:, None]
    down = (rows >= top) & (rows < top + height[:, None])
    across = (columns >= left) & (columns < left + width[:, None])
    return torch.where(down[:, None, :, None] & across[:, None, None, :], value, x)


def augment(x: Tensor, draws: Draws, flip: bool, shift: int) -> Tensor:
    """Mirror and move images at random.

    Args:
        x: images (B, C, H, W).
        draws: generator of the random numbers for these images.
        flip: mirror each image left to right with probability 1/2.
        shift: maximum distance, in pixels, by which an image is moved in each direction. Empty borders are filled by
            reflection. 0 disables the movement.

    Returns:
        The augmented images (B, C, H, W).
    """
    if flip:
        x = torch.where(draws.uniform(1)[:, :, None, None] < 0.5, x.flip(3), x)
    if shift:
        moves = (draws.uniform(2) * (2 * shift + 1)).long()  # (B, 2), integers between 0 and 2 * shift
        padded = torch.nn.functional.pad(x, (shift,) * 4, mode="reflect")
        rows = torch.arange(x.shape[2], device=x.device) + moves[:, :1]  # (B, H)
        columns = torch.arange(x.shape[3], device=x.device) + moves[:, 1:]  # (B, W)
        batch = torch.arange(len(x), device=x.device)[:, None, None]
        x = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    return x
