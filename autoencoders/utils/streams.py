"""Standard streams that stay usable if the terminal, the pipe or the file behind them is closed or full.

The results of a command are in files. Therefore a command must not end because its output cannot be written.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from typing import Any, TextIO


class LossyOutput(io.FileIO):
    """Output to a file descriptor. What cannot be written is dropped without an exception.

    Args:
        descriptor: the file descriptor, which stays open when this object is closed.

    Attributes:
        error: the first error of a write; None if everything was written.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all bytes, or drop the rest after an error. Return the number of all bytes."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            try:
                count = super().write(view[done:])
                if count is None:  # the descriptor does not block, and its buffer is full
                    select.select([], [self.fileno()], [])
            except OSError as error:
                self.error = self.error or error
                break
            done += count or 0
        return len(view)


def protect_streams() -> None:
    """Open closed standard streams on the null device, and let stdout and stderr drop what they cannot write.

    Without an open descriptor, the next file that is opened, such as a checkpoint, would receive the output of other
    libraries. A stream that the caller has replaced, for example by `contextlib.redirect_stdout`, is not changed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, which is this one
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # until the end of the process
    if sys.stdout is sys.__stdout__:
        sys.stdout = _protected(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _protected(sys.stderr, 2)


def _protected(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream like the given one that drops what it cannot write.

    In a locale that is not UTF-8, characters that the stream cannot represent are printed as escape sequences.
    """
    is_error, unbuffered = descriptor == 2, False
    encoding, lines = "utf-8", is_error
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError):
            stream.flush()
        descriptor, encoding = stream.fileno(), stream.encoding
        lines, unbuffered = stream.line_buffering, stream.write_through
    raw = LossyOutput(descriptor)
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding,
        "backslashreplace",
        line_buffering=lines,
        write_through=unbuffered,
    )


def check_output() -> None:
    """Exit with an error status if stdout could not be written, for a command whose only result is its output.

    There is no message if the program that reads stdout has closed it, as `head` does after its last line.
    """
    sys.stdout.flush()
    error = _output_error(sys.stdout)
    if error is None:
        return
    if error.errno == errno.EPIPE:
        sys.exit(128 + signal.SIGPIPE)
    print(f"autoencoders: The output could not be written ({error.strerror}).", file=sys.stderr)
    sys.exit(2)


def _output_error(stream: TextIO) -> OSError | None:
    """Return the first error of a write to a stream; None if there was none, or the stream is not protected."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    buffer: object = stream.buffer
    raw = buffer.raw if isinstance(buffer, io.BufferedWriter) else buffer
    return raw.error if isinstance(raw, LossyOutput) else None
