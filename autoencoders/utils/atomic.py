"""Atomic writes: a file is replaced completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, mine: str = "") -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it replaces `path`, on an error it is removed.

    The temporary file is not in the system's folder for temporary files, which may be on another disk: moving a file
    from there would copy it over the existing one.

    Args:
        path: the file to write. Its folder is created.
        mine: a suffix unique to this process, if several processes may write the same file at the same time.

    Yields:
        `<path><mine>.partial`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{mine}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
