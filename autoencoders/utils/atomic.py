"""Atomic writes: a file is either replaced completely, or not changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, mine: str = "") -> Iterator[Path]:
    """Yield the path of a temporary file. On success, the temporary file replaces `path`; on an error, it is removed.

    The temporary file is in the folder of `path`. The system's folder for temporary files may be on another disk, where
    a move is a copy, which is not atomic.

    Args:
        path: the file to write. Its folder is created.
        mine: suffix that is unique to this process, if several processes may write the same file at the same time.

    Yields:
        The path `<path><mine>.partial`, to which the caller writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{mine}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
