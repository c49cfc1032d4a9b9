"""Signals during a sweep whose jobs run in other processes: every job saves a checkpoint before the sweep ends.

By default, a launcher kills the processes of all other jobs as soon as one process or the launcher itself is stopped.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from autoencoders.types import RunStopped
from autoencoders.utils import signals

T = TypeVar("T")

_worker_signals: list[int] = []
"""Signals that this process has received, if it is a worker process of a launcher."""


def run_job(job: Callable[[], T]) -> T | None:
    """Call a function that runs a job, and return its result.

    In a worker process of a launcher, a signal ends the job but not the process, and the result is None. The jobs that
    the process would run next end immediately.
    """
    if not signals.is_worker():
        return job()
    signals.set_handler(signals.SignalHandler(_worker_signals.append))  # it remains for the time between two jobs
    try:
        with signals.stop_on_signals():
            return job()
    except RunStopped as stop:
        _worker_signals.append(stop.number)
        return None


def check_worker() -> None:
    """Raise `RunStopped` if this process is a worker process that has received a signal."""
    if _worker_signals:
        raise RunStopped(_worker_signals[0], "before training")


@contextmanager
def pass_on_signals(send: Callable[[int], None]) -> Iterator[list[int]]:
    """Pass signals on to other processes, so that these end and the `with` block continues until then.

    A second signal is passed on too. It ends a training immediately; see `LastCheckpoint`.

    Args:
        send: function that sends a signal with a given number to the other processes.

    Yields:
        List to which the numbers of received signals are appended.
    """
    received: list[int] = []

    def react(number: int) -> None:
        received.append(number)
        send(number)

    before = signals.set_handler(signals.SignalHandler(react))
    try:
        yield received
    finally:
        signals.restore_handlers(before)


def signal_workers(number: int) -> None:
    """Send a signal to all worker processes that this process has started."""
    for worker in multiprocessing.active_children():
        if worker.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)
