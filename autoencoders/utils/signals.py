"""Handling of the signals that end a run: SIGINT (Ctrl-C) and SIGTERM (`kill`, job queues)."""

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
"""Signals that end a run: Ctrl-C sends SIGINT; `kill` and job queues send SIGTERM."""

REPEAT_SECONDS = 1.0
"""A second signal within this number of seconds is ignored, because `timeout` sends its signal twice to a process."""

_latest = -math.inf


@contextmanager
def stop_on_signals(where: Callable[[], str]) -> Iterator[None]:
    """Raise `RunStopped` if the process receives SIGINT or SIGTERM inside of the `with` block.

    During training, the callback `LastCheckpoint` handles these signals instead, to finish the current batch.

    Args:
        where: function that returns what the run was doing, for the message of `RunStopped`.
    """
    if threading.current_thread() is not threading.main_thread():  # only this thread may set signal handlers
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
    """Return whether the previous signal was received less than `REPEAT_SECONDS` ago. Call it once for each signal."""
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < REPEAT_SECONDS
