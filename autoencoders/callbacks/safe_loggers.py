"""Errors of loggers do not end a training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from autoencoders.callbacks.base import continue_on_error
from autoencoders.loggers.csv import MetricsCSVLogger

METHODS = ("log_metrics", "log_hyperparams", "after_save_checkpoint", "save", "finalize", "send_picture",
           "send_table", "send_histogram")  # fmt: skip
"""Methods of a logger that Lightning and the media writer call."""


class SafeLoggers(pl.Callback):
    """Catch the errors of loggers and report each once. The pipeline adds this callback.

    A logger is called again at the next step, since the cause may be temporary.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Wrap the methods of the loggers in place, so that their types stay unchanged."""
        for logger in trainer.loggers:
            for name in METHODS if not hasattr(logger, "_watched") else ():
                if not hasattr(logger, name):  # not every logger accepts figures
                    continue
                setattr(logger, name, _watched(trainer, logger, getattr(logger, name)))
            logger._watched = True


def _watched(trainer: pl.Trainer, logger: Logger, method: Callable) -> Callable:
    of_ours = isinstance(logger, MetricsCSVLogger)
    what = "metrics.csv" if of_ours else type(logger).__name__
    lost = "rows are missing there." if of_ours else "metrics.csv and figures/ have what is missing there."

    @functools.wraps(method)
    def called(*arguments: Any, **keywords: Any) -> Any:
        with continue_on_error(trainer, logger, what, lost):
            return method(*arguments, **keywords)

    return called
