"""Locks on open files, which the kernel releases when the process ends, also after SIGKILL."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""Error numbers (errno) of `flock` on file systems that do not support it."""


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed, without waiting.

    Returns:
        Whether the file could be locked. None if the file system or the operating system does not support locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def open_and_lock(file: Path) -> tuple[int, bool | None]:
    """Open a file, which is created if it does not exist, and lock it without waiting.

    The file is opened for reading. A file that is open for writing would prevent that its file system is mounted
    read-only. Only network file systems need a file that is open for writing for a lock.

    Returns:
        The descriptor of the file, and the result of `try_lock`.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        return descriptor, try_lock(descriptor)
    except OSError as error:
        os.close(descriptor)
        if error.errno != errno.EBADF:
            raise
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    return descriptor, try_lock(descriptor)


def is_same_file(descriptor: int, file: Path) -> bool:
    """Return whether a path refers to an open file, which another process may have removed, renamed or replaced."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False
