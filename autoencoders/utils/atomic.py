"""Atomic writes: a file is either replaced completely, or not changed."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""Suffix of the temporary files."""
ABANDONED_SECONDS = 3600.0
"""Age in seconds from which a temporary file is assumed to be left over from a killed process."""


@contextmanager
def atomic_write(path: Path, shared: bool = True) -> Iterator[Path]:
    """Yield the path of a temporary file. On success, the temporary file replaces `path`; on an error, it is removed.

    The temporary file is in the folder of `path`. The system's folder for temporary files may be on another disk, where
    a move is a copy, which is not atomic.

    Args:
        path: the file to write. Its folder is created.
        shared: whether several processes may write the file at the same time. Each of them then writes its own
            temporary file. With False, a temporary file that a killed process left is replaced.

    Yields:
        The path of the temporary file, to which the caller writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{secrets.token_hex(4)}" if shared else ""
    partial = path.with_name(f"{path.name}{own}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove old temporary files in a folder and its subfolders, which killed processes have left."""
    for partial in folder.rglob(f"*{PARTIAL}"):
        with contextlib.suppress(OSError):  # another process has just renamed or removed the file
            if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
                partial.unlink()
