"""Catch errors of loggers, so that training continues."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from autoencoders.callbacks.base import continue_on_error
from autoencoders.loggers.base import MediaLogger
from autoencoders.loggers.csv import MetricsCSVLogger

METHODS = ("log_metrics", "log_hyperparams", "after_save_checkpoint", "save", "finalize")
"""Methods that Lightning calls on every logger."""
MEDIA_METHODS = ("send_figure", "send_table", "send_histogram")
"""Methods that the media writer calls on every `MediaLogger`."""


class SafeLoggers(pl.Callback):
    """Catch the errors of loggers and report each once. The pipeline adds this callback.

    A logger is called again at the next step, since the cause may be temporary.
    """

    def __init__(self) -> None:
        self._guarded: list[Logger] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Wrap the methods of the loggers in place, so that their types stay unchanged."""
        for logger in trainer.loggers:
            if any(logger is guarded for guarded in self._guarded):
                continue
            methods = METHODS + MEDIA_METHODS if isinstance(logger, MediaLogger) else METHODS
            for name in methods:
                setattr(logger, name, guard_method(trainer, logger, getattr(logger, name)))
            self._guarded.append(logger)


def guard_method(trainer: pl.Trainer, logger: Logger, method: Callable) -> Callable:
    """Wrap a method of a logger so that its errors are reported instead of raised."""
    if isinstance(logger, MetricsCSVLogger):
        name, consequence = "metrics.csv", "rows are missing there."
    else:
        name = type(logger).__name__
        consequence = "metrics.csv and figures/ have what is missing there."

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with continue_on_error(trainer, logger, name, consequence):
            return method(*args, **kwargs)

    return guarded
