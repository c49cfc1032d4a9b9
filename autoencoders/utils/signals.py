"""Functions that handle the signals that end a run, such as SIGINT (Ctrl-C), SIGTERM and SIGHUP (closed terminal)."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from autoencoders.types import RunStopped
from autoencoders.utils import launchers

NAMES = (
    "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGVTALRM", "SIGPWR",
)  # fmt: skip
SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)
"""Signals that end a run, as far as the operating system has them.

Ctrl-C sends SIGINT, Ctrl-\\ SIGQUIT, a closed terminal SIGHUP, and the command `kill` SIGTERM. Job queues send SIGTERM,
SIGUSR1, SIGUSR2 or SIGXCPU before the time limit of a job.
"""
FORCING = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGQUIT") if name in signal.Signals.__members__)
"""Signals that end a run immediately if they follow another signal. The system may repeat the others every second."""
ALWAYS_OURS = (signal.SIGINT, signal.SIGTERM)
"""Signals whose handler is replaced even if another library has set it, because Lightning handles them differently."""

REPEAT_SECONDS = 1.0
"""Time in seconds in which a second signal is ignored, because the command `timeout` sends the same signal twice."""


_latest = -math.inf


class SignalHandler:
    """Handler of this package for a signal. The class tells such a handler from those of other libraries.

    Args:
        react: function that is called with the number of the signal.
        repeats: whether the function is called also for a signal within REPEAT_SECONDS of the previous one.
    """

    def __init__(self, react: Callable[[int], None], repeats: bool = False) -> None:
        self.react, self.repeats = react, repeats

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Call the function, unless the signal is a repetition."""
        if self.repeats or not is_repeated_signal():
            self.react(number)


def set_handler(handler: SignalHandler) -> dict[int, Any]:
    """Set the handler of all signals that end a run. Return the previous handlers, for `restore_handlers`.

    A signal that was ignored when the process started remains ignored: `nohup` ignores SIGHUP. A handler of another
    library remains too, for example the handler of submitit for SIGUSR2, except for ALWAYS_OURS. Outside of the main
    thread, nothing is changed, because Python does not allow it there.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    replaced = {number: old for number, old in before.items() if _is_replaceable(number, old)}
    for number in replaced:
        signal.signal(number, handler)
    return replaced


def _is_replaceable(number: int, handler: Any) -> bool:
    if handler is signal.SIG_IGN or handler is None:  # None: set by a library in C, and could not be restored
        return False
    return number in ALWAYS_OURS or handler is signal.SIG_DFL or isinstance(handler, SignalHandler)


def restore_handlers(before: dict[int, Any]) -> None:
    """Restore the handlers that `set_handler` has replaced."""
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def stop_on_signals(where: Callable[[], str] | None = None) -> Iterator[None]:
    """Raise `RunStopped` if the process receives one of SIGNALS inside of the `with` block.

    During training, the callback `LastCheckpoint` handles these signals instead, so that a checkpoint is saved first.

    Args:
        where: function that returns at which point the run stopped, for the message of `RunStopped`. Example of the
            returned text: `before training`. None: the message contains the name of the signal.
    """
    stopped: list[str] = []

    def stop(number: int) -> None:
        if stopped and number not in FORCING:
            return
        stopped.append(where() if where else f"by {signal.Signals(number).name}")
        raise RunStopped(number, stopped[0])

    before = set_handler(SignalHandler(stop))
    try:
        yield
    finally:
        restore_handlers(before)


@contextmanager
def delay_signals() -> Iterator[None]:
    """Handle a signal that arrives inside of the `with` block at the end of the block."""
    received: list[int] = []
    before = set_handler(SignalHandler(received.append, repeats=True))
    try:
        yield
    finally:
        restore_handlers(before)
        for number in received[:1]:
            signal.raise_signal(number)


@contextmanager
def exit_on_signals(clean_up: Callable[[], None] = lambda: None) -> Iterator[None]:
    """End the process at once if it receives one of SIGNALS inside of the `with` block; see `exit_at_once`.

    This is for imports of libraries. Some of them would convert or print an exception of the signal handler.

    Args:
        clean_up: function that is called before the process ends.
    """

    def stop(number: int) -> None:
        clean_up()
        exit_at_once(number)

    # The launcher of a sweep would report a worker process that ends as an error.
    before = {} if is_worker() else set_handler(SignalHandler(stop))
    try:
        yield
    finally:
        restore_handlers(before)


def exit_at_once(number: int) -> None:
    """End the process without an exception, with one sentence on stderr and the exit status 128 + `number`.

    Args:
        number: number of the signal.
    """
    if launchers.is_first_process():
        with contextlib.suppress(OSError):
            os.write(2, f"autoencoders: stopped by {signal.Signals(number).name}.\n".encode())
    os._exit(128 + number)


def is_worker() -> bool:
    """Return whether this process is a worker process, such as those of the launcher joblib for parallel jobs."""
    process = sys.modules.get("multiprocessing.process")  # a worker process has imported it
    return process is not None and process.current_process().name != "MainProcess"


def is_repeated_signal() -> bool:
    """Return whether the previous signal was received less than `REPEAT_SECONDS` before the current signal.

    A signal handler must call this function exactly once for each signal.
    """
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < REPEAT_SECONDS
