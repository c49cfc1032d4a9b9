"""Functions that handle the signals that end a run: SIGINT (Ctrl-C) and SIGTERM (from `kill` and job queues)."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from autoencoders.types import RunStopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run. Ctrl-C sends SIGINT. The command `kill` and job queues send SIGTERM."""

REPEAT_SECONDS = 1.0
"""Time in seconds in which a second signal is ignored, because the command `timeout` sends the same signal twice."""

_latest = -math.inf


@contextmanager
def stop_on_signals(where: Callable[[], str]) -> Iterator[None]:
    """Raise `RunStopped` if the process receives SIGINT or SIGTERM inside of the `with` block.

    During training, the callback `LastCheckpoint` handles these signals instead, so that a checkpoint is saved first.

    Args:
        where: function that returns at which point the run stopped, for the message of `RunStopped`. Example of the
            returned text: `before training`.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not is_repeated_signal():
            raise RunStopped(number, where())

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_repeated_signal() -> bool:
    """Return whether the previous signal was received less than `REPEAT_SECONDS` before the current signal.

    A signal handler must call this function exactly once for each signal.
    """
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < REPEAT_SECONDS
