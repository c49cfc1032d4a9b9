"""Counter-based random numbers: a function of a seed, a row and a column, without a state.

Evaluation noise must not depend on the batch size or on the number of processes, and must not use a global generator.
The numbers are the hash splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) of
(seed, row, column), followed by the Box-Muller transform for normal numbers.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GAMMA, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """Return the int64 with the same 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def derive_seed(*parts: int | str) -> int:
    """Mix integers and strings into one 63-bit seed, for example `derive_seed(seed, "train", epoch, step, rank)`."""
    state = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = (state ^ (number & _MASK)) + _GAMMA & _MASK
        state = (state ^ state >> 30) * _MIX1 & _MASK
        state = (state ^ state >> 27) * _MIX2 & _MASK
        state ^= state >> 31
    return state >> 1


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right logically. An int64 shift in torch repeats the sign bit, which is masked here."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _splitmix(x: Tensor) -> Tensor:
    x = x + _signed(_GAMMA)
    x = (x ^ _shift(x, 30)) * _signed(_MIX1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX2)
    return x ^ _shift(x, 31)


def uniform(seed: int, index: Tensor, size: int) -> Tensor:
    """Sample uniform numbers in (0, 1) that depend only on the seed, the row and the column.

    Args:
        seed: any integer, usually from `derive_seed`.
        index: (B,) int64 rows.
        size: numbers per row.

    Returns:
        (B, size) float32, on the device of `index`.
    """
    rows = _splitmix(index.long() ^ seed)[:, None]  # (B, 1)
    columns = torch.arange(size, device=index.device) * _signed(_GAMMA)
    bits = _shift(_splitmix(rows + columns), 41)  # (B, size), 23 bits: adding 0.5 is then exact in float32
    return (bits.float() + 0.5) * 2.0**-23


def pair_indices(index: Tensor, numbers: Tensor) -> Tensor:
    """Return (B S,) virtual rows for several samples per row, ordered by row and then by sample number.

    Args:
        index: (B,) int64 rows below 2^31.
        numbers: (S,) int64 sample numbers below 2^32.
    """
    return ((index[:, None] << 32) + numbers).flatten()


def normal(seed: int, index: Tensor, size: int) -> Tensor:
    """Sample standard normal numbers, (B, size) float32; arguments and guarantees as in `uniform`."""
    half = (size + 1) // 2
    u = uniform(seed, index, 2 * half)
    radius = (-2 * u[:, :half].log()).sqrt()
    angle = 2 * math.pi * u[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :size]
