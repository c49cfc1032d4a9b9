"""Callback that reports errors of loggers as warnings, so that training continues."""

from __future__ import annotations

from functools import partial

import lightning.pytorch as pl

from autoencoders.callbacks.base import continue_on_error
from autoencoders.loggers.csv import MetricsCSVLogger
from autoencoders.loggers.guarded import GuardedLogger


class SafeLoggers(pl.Callback):
    """Report the first error of each guarded logger as a warning. The training pipeline adds this callback.

    After an error, the logger is still called at later steps, because the cause of the error may be temporary.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Set the guard of every guarded logger: a context manager that catches and reports errors of the logger."""
        for logger in trainer.loggers:
            if isinstance(logger, GuardedLogger):
                name = type(logger.logger).__name__
                consequence = "metrics.csv and figures/ contain the data that is missing in this logger."
                if isinstance(logger.logger, MetricsCSVLogger):
                    name, consequence = "metrics.csv", "some rows are missing in this file."
                logger.guard = partial(continue_on_error, trainer, logger.logger, name, consequence)
