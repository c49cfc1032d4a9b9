"""Counter-based random numbers. Each number is a function of a seed, an image index and a column; there is no state.

Evaluation noise must not depend on the batch size or on the number of processes, and must not use a global generator.
The numbers are hashes of (seed, index, column) with splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", 2014). The Box-Muller transform converts uniform numbers to normal numbers.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GAMMA, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """Return the signed 64-bit integer that has the same bits as an unsigned 64-bit integer."""
    return value - (1 << 64) if value >= 1 << 63 else value


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on all arguments, such as `derive_seed(seed, "train", epoch, step, rank)`."""
    state = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = (state ^ (number & _MASK)) + _GAMMA & _MASK
        state = (state ^ state >> 30) * _MIX1 & _MASK
        state = (state ^ state >> 27) * _MIX2 & _MASK
        state ^= state >> 31
    return state >> 1


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift int64 numbers to the right and fill with zeros. The shift in torch repeats the sign bit instead."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _splitmix(x: Tensor) -> Tensor:
    x = x + _signed(_GAMMA)
    x = (x ^ _shift(x, 30)) * _signed(_MIX1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX2)
    return x ^ _shift(x, 31)


def uniform(seed: int, index: Tensor, size: int) -> Tensor:
    """Return uniform random numbers in (0, 1). Each number depends only on the seed, its index and its column.

    Args:
        seed: any integer, usually from `derive_seed`.
        index: (B,) int64 indices, usually of images in a split.
        size: number of random numbers per index (columns of the result).

    Returns:
        Numbers (B, size) float32, on the device of `index`.
    """
    rows = _splitmix(index.long() ^ seed)[:, None]  # (B, 1)
    columns = torch.arange(size, device=index.device) * _signed(_GAMMA)
    bits = _shift(_splitmix(rows + columns), 41)  # (B, size); with 23 bits, the sum with 0.5 is exact in float32
    return (bits.float() + 0.5) * 2.0**-23


def pair_indices(index: Tensor, numbers: Tensor) -> Tensor:
    """Return one unique index for each pair of an image and a sample number, for several samples per image.

    Args:
        index: (B,) int64 image indices below 2^31.
        numbers: (S,) int64 sample numbers below 2^32.

    Returns:
        Indices (B * S,) int64, ordered by image and then by sample number.
    """
    return ((index[:, None] << 32) + numbers).flatten()


def normal(seed: int, index: Tensor, size: int) -> Tensor:
    """Return standard normal random numbers (B, size) float32. The arguments are those of `uniform`."""
    half = (size + 1) // 2
    u = uniform(seed, index, 2 * half)
    radius = (-2 * u[:, :half].log()).sqrt()
    angle = 2 * math.pi * u[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :size]
