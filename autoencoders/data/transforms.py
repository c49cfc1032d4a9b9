"""What happens to the input, never to the target: batch operations on the device of the batch.

Each takes images (B, C, H, W) in [0, 1] and a source of random numbers: by row and epoch in training, by row in
validation and test (see `Draws`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils import counter_rng


class Draws:
    """Random numbers for a batch that depend on a seed and on each row alone, whatever the batch it came in.

    Args:
        seed: any integer; training puts the epoch into it.
        index: (B,) rows.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.seed, self.index, self.calls = seed, index, 0

    def _next(self) -> int:
        self.calls += 1
        return counter_rng.derive_seed(self.seed, self.calls)

    def uniform(self, size: int) -> Tensor:
        """(B, size) in (0, 1)."""
        return counter_rng.uniform(self._next(), self.index, size)

    def normal(self, size: int) -> Tensor:
        """(B, size), standard normal."""
        return counter_rng.normal(self._next(), self.index, size)


class NoCorruption:
    """The input is the target."""

    changes = False

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W), untouched."""
        return x


class GaussianNoise:
    """Adds normal noise to every pixel and channel.

    Args:
        sigma: standard deviation, in units of the pixel range [0, 1], and within it.
        clamp: cut the result to [0, 1].
    """

    changes = True

    def __init__(self, sigma: float = 0.25, clamp: bool = True) -> None:
        _require(0 <= sigma <= 1, "sigma", sigma, "a standard deviation in [0, 1], the range of the pixels")
        self.sigma, self.clamp = sigma, clamp

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W), noisy."""
        noisy = x + self.sigma * draws.normal(x[0].numel()).view_as(x)
        return noisy.clamp(0, 1) if self.clamp else noisy


class SaltPepper:
    """Sets a share of the pixels, all channels alike, to black or white, evenly.

    Args:
        share: of the pixels, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.1) -> None:
        _require(0 <= share <= 1, "share", share, "a share in [0, 1]")
        self.share = share

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W), speckled."""
        u = draws.uniform(x.shape[2] * x.shape[3]).view(len(x), 1, *x.shape[2:])
        return torch.where(u < self.share, (u < self.share / 2).to(x.dtype), x)


class Occlusion:
    """Covers one square at a random place.

    Args:
        share: of the image's shorter side, in (0, 1].
        value: what is put there, in [0, 1].
    """

    changes = True

    def __init__(self, share: float = 0.4, value: float = 0.5) -> None:
        _require(0 < share <= 1, "share", share, "a share of the side in (0, 1]")
        _require(0 <= value <= 1, "value", value, "a gray level in [0, 1]")
        self.share, self.value = share, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W), covered."""
        side = torch.full((len(x),), self.share * min(x.shape[2:]), device=x.device)
        return _cover(x, side, side, draws.uniform(2), self.value)


class Erase:
    """Covers one rectangle of random area and proportions: random erasing (Zhong et al., 2017), always.

    Args:
        area: least and largest share of the image.
        ratio: least and largest height / width, drawn log-uniformly.
        value: what is put there, in [0, 1].
    """

    changes = True

    def __init__(
        self, area: tuple[float, float] = (0.02, 0.33), ratio: tuple[float, float] = (0.3, 3.3), value: float = 0.5
    ) -> None:
        pair = len(area) == 2 and 0 < area[0] <= area[1] <= 1
        _require(pair, "area", area, "a least and a largest share in (0, 1]")
        pair = len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf
        _require(pair, "ratio", ratio, "a least and a largest height / width above 0")
        _require(0 <= value <= 1, "value", value, "a gray level in [0, 1]")
        self.area, self.ratio, self.value = area, ratio, value

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """(B, C, H, W), covered."""
        u = draws.uniform(4)
        area = (self.area[0] + (self.area[1] - self.area[0]) * u[:, 2]) * x.shape[2] * x.shape[3]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = (low + (high - low) * u[:, 3]).exp()
        return _cover(x, (area * ratio).sqrt(), (area / ratio).sqrt(), u[:, :2], self.value)


def _cover(x: Tensor, height: Tensor, width: Tensor, place: Tensor, value: float) -> Tensor:
    """A rectangle of (B,) heights and widths in pixels, at places (B, 2) in (0, 1) of the room there is."""
    rows = torch.arange(x.shape[2], device=x.device)[None, :]
    columns = torch.arange(x.shape[3], device=x.device)[None, :]
    height, width = height.round().clamp(1, x.shape[2]), width.round().clamp(1, x.shape[3])
    top = (place[:, 0] * (x.shape[2] - height + 1)).floor()[:, None]
    left = (place[:, 1] * (x.shape[3] - width + 1)).floor()[:, None]
    down = (rows >= top) & (rows < top + height[:, None])
    across = (columns >= left) & (columns < left + width[:, None])
    return torch.where(down[:, None, :, None] & across[:, None, None, :], value, x)


def augment(x: Tensor, draws: Draws, flip: bool, shift: int) -> Tensor:
    """Random views of a batch: mirrored with probability 1/2, and cut after padding by reflection.

    Args:
        x: (B, C, H, W).
        draws: random numbers.
        flip: mirror left and right.
        shift: move by up to this many pixels each way; 0 for not at all.
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


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise UserError(f"corruption.{name} must be {expected}, and is {value}.")
