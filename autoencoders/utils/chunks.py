"""Going through a store of images a part at a time: how much memory that takes does not depend on their size."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 2**28
"""Bytes of one copy of a part, of which a computation may hold a few."""


def chunk_slices(count: int, row: int, most: int) -> Iterator[slice]:
    """Slices that go through N rows in order.

    Args:
        count: N.
        row: bytes that a computation makes of one row; a part has as many as PART holds of them, and at least one.
        most: rows of a part, where they are so small that more would fit.
    """
    size = max(1, min(most, CHUNK_BYTES // row))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
