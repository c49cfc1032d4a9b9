"""Corruptions and augmentations: batch operations on the device of the batch.

A corruption changes the input of the model and never its target. It takes images (B, C, H, W) in [0, 1] and the random
numbers of these rows (see `Draws`).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require


class Draws:
    """Random numbers for a batch. They depend on the seed and on each row, not on the other rows of the batch.

    Every call returns new numbers; the same sequence of calls returns the same numbers.

    Args:
        seed: any integer. In training it depends on the epoch; in validation and test it is constant.
        index: (B,) rows.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.seed, self.index, self.calls = seed, index, 0

    def _next_seed(self) -> int:
        self.calls += 1
        return counter_rng.derive_seed(self.seed, self.calls)

    def uniform(self, size: int) -> Tensor:
        """Return (B, size) uniform numbers in (0, 1)."""
        return counter_rng.uniform(self._next_seed(), self.index, size)

    def normal(self, size: int) -> Tensor:
        """Return (B, size) standard normal numbers."""
        return counter_rng.normal(self._next_seed(), self.index, size)


class Corruption(Protocol):
    """An operation on the input images.

    Attributes:
        changes: whether the output can differ from the input.
    """

    changes: bool

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the corrupted images, (B, C, H, W)."""


class NoCorruption:
    """No corruption: the input is the target."""

    changes = False

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return `x` itself."""
        return x


class GaussianNoise:
    """Add normal noise to every pixel and channel.

    Args:
        sigma: standard deviation in [0, 1], in units of the pixel range [0, 1].
        clamp: clamp the result to [0, 1].
    """

    changes = True

    def __init__(self, sigma: float = 0.25, clamp: bool = True) -> None:
        require(0 <= sigma <= 1, "corruption.sigma", sigma, "a standard deviation in [0, 1], the range of the pixels")
        self.sigma, self.clamp = sigma, clamp

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the noisy images, (B, C, H, W)."""
        noisy = x + self.sigma * draws.normal(x[0].numel()).view_as(x)
        return noisy.clamp(0, 1) if self.clamp else noisy


class SaltPepper:
    """Set a share of the pixels to black or white, with equal probability. All channels of a pixel change together.

    Args:
        share: share of the pixels that change, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.1) -> None:
        require(0 <= share <= 1, "corruption.share", share, "a share in [0, 1]")
        self.share = share

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the corrupted images, (B, C, H, W)."""
        u = draws.uniform(x.shape[2] * x.shape[3]).view(len(x), 1, *x.shape[2:])
        return torch.where(u < self.share, (u < self.share / 2).to(x.dtype), x)


class Occlusion:
    """Cover one square at a random position.

    Args:
        share: side of the square as a share of the shorter side of the image, in (0, 1].
        value: gray level of the square, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.4, value: float = 0.5) -> None:
        require(0 < share <= 1, "corruption.share", share, "a share of the side in (0, 1]")
        require(0 <= value <= 1, "corruption.value", value, "a gray level in [0, 1]")
        self.share, self.value = share, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the covered images, (B, C, H, W)."""
        side = torch.full((len(x),), self.share * min(x.shape[2:]), device=x.device)
        return _cover(x, side, side, draws.uniform(2), self.value)


class Erase:
    """Cover one rectangle of random area and aspect ratio in every image: random erasing (Zhong et al., 2017).

    Args:
        area: smallest and largest area, as shares of the image.
        ratio: smallest and largest height / width, drawn log-uniformly.
        value: gray level of the rectangle, in [0, 1].
    """

    changes = True

    def __init__(
        self, area: tuple[float, float] = (0.02, 0.33), ratio: tuple[float, float] = (0.3, 3.3), value: float = 0.5
    ) -> None:
        valid = len(area) == 2 and 0 < area[0] <= area[1] <= 1
        require(valid, "corruption.area", area, "a smallest and a largest share in (0, 1]")
        valid = len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf
        require(valid, "corruption.ratio", ratio, "a smallest and a largest height / width above 0")
        require(0 <= value <= 1, "corruption.value", value, "a gray level in [0, 1]")
        self.area, self.ratio, self.value = area, ratio, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the covered images, (B, C, H, W)."""
        u = draws.uniform(4)
        area = (self.area[0] + (self.area[1] - self.area[0]) * u[:, 2]) * x.shape[2] * x.shape[3]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = (low + (high - low) * u[:, 3]).exp()
        return _cover(x, (area * ratio).sqrt(), (area / ratio).sqrt(), u[:, :2], self.value)


def _cover(x: Tensor, height: Tensor, width: Tensor, position: Tensor, value: float) -> Tensor:
    """Cover one rectangle per image.

    Args:
        x: (B, C, H, W).
        height: (B,) in pixels, rounded here.
        width: (B,) in pixels, rounded here.
        position: (B, 2) in (0, 1): top and left, as shares of the range in which the rectangle lies inside the image.
        value: gray level of the rectangle.
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
        x: (B, C, H, W).
        draws: random numbers of these rows.
        flip: mirror left and right with probability 1/2.
        shift: move by up to this many pixels in each direction, with reflected borders; 0 to disable.
    """
    if flip:
        x = torch.where(draws.uniform(1)[:, :, None, None] < 0.5, x.flip(3), x)
    if shift:
        moves = (draws.uniform(2) * (2 * shift + 1)).long()  # (B, 2), 0 .. 2 shift
        padded = torch.nn.functional.pad(x, (shift,) * 4, mode="reflect")
        rows = torch.arange(x.shape[2], device=x.device) + moves[:, :1]  # (B, H)
        columns = torch.arange(x.shape[3], device=x.device) + moves[:, 1:]  # (B, W)
        batch = torch.arange(len(x), device=x.device)[:, None, None]
        x = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    return x
