"""Division of a large array into chunks of rows, so that a computation on the array needs little memory."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 2**28
"""Maximum size of one temporary array, in bytes. A computation may need several temporary arrays at the same time."""

ROWS_PER_CHUNK = 250
"""Number of images that a network processes at a time outside of training, to limit the memory for activations."""


def chunk_slices(count: int, row: int, most: int | None = None) -> Iterator[slice]:
    """Yield slices that divide the N rows of an array into consecutive chunks.

    A chunk has as many rows as fit into a temporary array of CHUNK_BYTES, but at least one row.

    Args:
        count: N, the number of rows.
        row: size of one row of the temporary array, in bytes.
        most: maximum number of rows in a chunk. None: only CHUNK_BYTES limits the number.
    """
    size = max(1, CHUNK_BYTES // row if most is None else min(most, CHUNK_BYTES // row))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
