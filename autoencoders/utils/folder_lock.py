"""Lock that one process holds on the folder of a run or a sweep, with a heartbeat that other hosts can read.

The file `owner.json` in the folder names the process and is locked with `flock`, so that the kernel releases the lock
when the process ends, also after SIGKILL. A thread renews the modification time of the file. On the host of the owner,
the lock and the process id decide whether the owner is alive. On other hosts, where a shared file system may not
support `flock`, the modification time decides. It is compared with that of a new file in the same folder, so that the
clocks of the hosts need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from autoencoders.types import FolderInUseError
from autoencoders.utils.file_locks import is_same_file, open_and_lock

OWNER_FILE = "owner.json"
"""Name of the file that names the owner. It is removed when the lock is released."""
BEAT_SECONDS = 10.0
"""Seconds between two heartbeats."""
DEAD_SECONDS = 60.0
"""Age of the heartbeat in seconds from which an owner on another host is considered dead."""
RETRY_SECONDS = 0.5
"""Seconds for which a locked file is tried again, because the owner may be ending."""

_open_files: set[int] = set()
"""File descriptors of the locks of this process."""


def _close_in_child() -> None:
    """Close the locks of the parent process in a forked process, which would keep them after the parent's death."""
    for descriptor in _open_files:
        os.close(descriptor)
    _open_files.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)


class Owner(NamedTuple):
    """Process that holds a lock.

    Attributes:
        host: host name.
        boot: identifier of the boot of the host, or the host name if there is none.
        namespace: identifier of the process namespace, which differs between containers.
        pid: process id.
        started: start time of the process as the system counts it, or an empty text if it is unknown.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Owner:
        """Return the current process as an owner."""
        pid = os.getpid()
        return cls(platform.node(), _boot(), _namespace(), pid, process_start(pid) or "")

    @property
    def is_local(self) -> bool:
        """Whether the process id refers to a process that this process can see."""
        return (self.boot, self.namespace) == (_boot(), _namespace())

    @property
    def is_running(self) -> bool:
        """Whether the process exists. Meaningful only if the owner is local."""
        return process_start(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


class FolderLock:
    """Context manager that holds the lock on a folder.

    The folder is created if it does not exist. In this case, it is removed at the end if it is empty.

    Args:
        folder: folder to lock.
        advice: what to do if another process holds the lock; end of the error message.
    """

    def __init__(self, folder: str | Path, advice: str) -> None:
        self.folder, self.advice = Path(folder), advice
        self._descriptor: int | None = None
        self._creates_folder = not self.folder.exists()
        self._owner = Owner.current()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def file(self) -> Path:
        """Path of the file that names the owner."""
        return self.folder / OWNER_FILE

    def acquire(self) -> FolderLock:
        """Lock the folder, and start the heartbeat.

        If the last owner was on another host and may be alive, wait until its heartbeat shows this.

        Raises:
            FolderInUseError: if another process holds the lock.
            OSError: if the file cannot be written.
        """
        descriptor, supported = self._open()
        try:
            owner = read_owner(self.file)
            if owner is not None and not (supported and owner.boot == self._owner.boot) and self._is_alive(owner):
                raise self._error(owner)
            self._write(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _open_files.add(descriptor)
        self._thread = threading.Thread(target=self._beat, args=(descriptor,), name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def release(self) -> None:
        """Stop the heartbeat, remove the file and release the lock. Repeated calls do nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or descriptor not in _open_files:
            return
        self._released.set()
        if self._thread is not None:
            self._thread.join(timeout=5)  # a network file system may not respond
        with contextlib.suppress(OSError):
            if is_same_file(descriptor, self.file):
                self.file.unlink()
                if self._creates_folder and not any(self.folder.iterdir()):
                    self.folder.rmdir()
        _open_files.discard(descriptor)
        os.close(descriptor)

    def __enter__(self) -> FolderLock:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def _open(self) -> tuple[int, bool]:
        """Return a descriptor of the locked file, and whether the file system supports locks."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor, locked = open_and_lock(self.file)
            except FileNotFoundError:  # another process has removed the folder, which was empty
                continue
            if locked is None or (locked and is_same_file(descriptor, self.file)):
                return descriptor, locked is not None
            os.close(descriptor)  # locked by another process, or removed by the previous owner since it was opened
            if time.monotonic() > deadline:
                raise self._error(read_owner(self.file))
            time.sleep(0.02)

    def _is_alive(self, owner: Owner) -> bool:
        if owner.is_local:
            return owner.is_running
        beat = self.file.stat().st_mtime_ns
        remaining = DEAD_SECONDS - max(heartbeat_age(self.folder), 0)
        if remaining <= 0:
            return False
        print(
            f"autoencoders: waiting up to {remaining:.0f} s for a heartbeat of {owner}, which used {self.folder}.",
            file=sys.stderr,
        )
        end = time.monotonic() + remaining
        while time.monotonic() < end:
            time.sleep(min(1.0, remaining / 4))
            if _modified_ns(self.file) != beat:
                return True
        return False

    def _write(self, descriptor: int) -> None:
        content = f"{json.dumps(self._owner._asdict())}\n".encode()
        # The spaces replace the rest of a longer text without truncation, so that a reader sees a complete text.
        with self.file.open("r+b", buffering=0) as stream:
            stream.write(content.ljust(os.fstat(descriptor).st_size))

    def _beat(self, descriptor: int) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # such as a full disk or a server that does not respond
                os.utime(descriptor)

    def _error(self, owner: Owner | None) -> FolderInUseError:
        return FolderInUseError(f"{self.folder} is in use by {owner or 'another process'}. {self.advice}")


def is_in_use(folder: Path) -> bool:
    """Return whether a living process holds the lock on a folder. The lock is not touched."""
    owner = read_owner(folder / OWNER_FILE)
    if owner is None:
        return False
    if owner.is_local:
        return owner.is_running
    try:
        return abs(heartbeat_age(folder)) <= DEAD_SECONDS
    except OSError:  # the owner has just removed the file
        return False


def read_owner(file: Path) -> Owner | None:
    """Return the owner that the file names, or None if the file is missing or names none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8", errors="replace"))
        return Owner(**content)
    except (OSError, ValueError, TypeError):
        return None


def heartbeat_age(folder: Path) -> float:
    """Return the time since the last heartbeat in seconds, by the clock of the file system that stores the folder.

    Raises:
        OSError: if there is no heartbeat.
    """
    beat = _modified_ns(folder / OWNER_FILE)
    try:
        with tempfile.TemporaryFile(dir=folder) as new:
            now = os.fstat(new.fileno()).st_mtime_ns
    except OSError:  # the folder is not writable
        now = time.time_ns()
    return (now - beat) / 1e9


def process_start(pid: int) -> str | None:
    """Return the start time of a process as the system counts it. Return None if there is no such process.

    The result is an empty text on a system without `/proc`.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:  # a process of another user
            pass
        return ""
    state, *fields = status.rpartition(")")[2].split()  # the name of the program in parentheses may contain spaces
    return None if state in "ZX" else fields[18]


def _modified_ns(file: Path) -> int:
    """Return the modification time of a file in nanoseconds. Network file systems update it when the file is opened."""
    with file.open("rb") as stream:
        return os.fstat(stream.fileno()).st_mtime_ns


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
