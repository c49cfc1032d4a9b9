"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, mine: str = "") -> Iterator[Path]:
    """A place beside `path` to write to; what is there takes its place, or goes where anything went wrong.

    Beside it, and not in the folder for temporary files: that may be on another disk, from which a file is copied into
    place, over the one that was there and whatever is linked to it.

    Args:
        path: of the file; its folder is made.
        mine: what tells this process from others that may write the same file at the same time.

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
