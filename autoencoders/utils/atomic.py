"""Atomic writes: a file is either replaced completely, or not changed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoencoders.utils.file_locks import is_same_file, try_lock


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file. On success, the temporary file replaces `path`; on an error, it is removed.

    The temporary file is in the folder of `path`. The system's folder for temporary files may be on another disk, where
    a move is a copy, which is not atomic. Several processes may write the same file at the same time.

    Args:
        path: the file to write. Its folder is created.

    Yields:
        The path of the temporary file, to which the caller writes: `<path>.partial`, which also replaces the file that
        a killed process has left. While another process uses this path, it is `<path>.<random>.partial`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, descriptor = _open_partial(path)
    try:
        yield partial
        if _is_link(partial, path):
            partial.unlink()  # a system call for a move would leave it
        else:
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _is_link(partial: Path, path: Path) -> bool:
    """Return whether two paths are hard links to the same file."""
    try:
        return partial.samefile(path)
    except FileNotFoundError:
        return False


def _open_partial(path: Path) -> tuple[Path, int]:
    """Create the temporary file for a path, and lock it. Return its path and its descriptor."""
    first = path.with_name(f"{path.name}.partial")
    while True:
        descriptor = os.open(first, os.O_RDWR | os.O_CREAT, 0o666)
        locked = try_lock(descriptor)
        if locked and is_same_file(descriptor, first):
            if os.fstat(descriptor).st_size == 0:
                return first, descriptor
            first.unlink()  # left by a killed process; not written again, because it may be a link to a checkpoint
        os.close(descriptor)
        if not locked:  # another process writes the file, or the file system does not support locks
            own = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
            return own, os.open(own, os.O_RDWR | os.O_CREAT, 0o666)
