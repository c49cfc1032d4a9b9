"""Signals that end a run: Ctrl-C, and what queues and `kill` send."""

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
"""Ctrl-C, and what queues and `kill` send."""


REPEAT_SECONDS = 1.0
"""Seconds within which a second signal is the first once more: `timeout` sends it to a process and to its group."""


_latest = -math.inf


@contextmanager
def stop_on_signals(where: Callable[[], str]) -> Iterator[None]:
    """Have `SIGNALS` raise `Stopped` wherever a run is; training takes them over, to end its batch first (`Last`).

    Args:
        where: what the run had come to when one came.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may
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
    """Whether a signal that has just come is one with the latest, see `REPEAT_SECONDS`."""
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < REPEAT_SECONDS
