"""Signals that end a run: SIGINT (Ctrl-C) and SIGTERM (queues and `kill`)."""

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
"""Ctrl-C, and the signal of queues and `kill`."""

REPEAT_SECONDS = 1.0
"""Seconds within which a second signal counts as the first: `timeout` sends it to a process and to its group."""

_latest = -math.inf


@contextmanager
def stop_on_signals(where: Callable[[], str]) -> Iterator[None]:
    """Raise `RunStopped` on a signal.

    During training the callback `LastCheckpoint` handles signals instead, to finish the batch.

    Args:
        where: returns what the run was doing, for the message.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
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
    """Return whether the signal just received repeats the previous one, see `REPEAT_SECONDS`."""
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < REPEAT_SECONDS
