"""Chunks of rows, which bound the memory of a computation over a large array."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 2**28
"""Bytes of one temporary array. A computation may hold a few of them."""

ROWS_PER_CHUNK = 250
"""Images that a network processes together when nothing is trained. It bounds the memory of the activations."""


def chunk_slices(count: int, row: int, most: int | None = None) -> Iterator[slice]:
    """Yield slices that cover N rows in order.

    Args:
        count: N.
        row: bytes of the temporary array per row. A chunk has as many rows as fit into CHUNK_BYTES, at least one.
        most: maximum number of rows in a chunk; None for no other limit than CHUNK_BYTES.
    """
    size = max(1, CHUNK_BYTES // row if most is None else min(most, CHUNK_BYTES // row))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
