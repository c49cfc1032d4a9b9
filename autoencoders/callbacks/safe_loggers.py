"""Report errors of loggers, so that training continues."""

from __future__ import annotations

from functools import partial

import lightning.pytorch as pl

from autoencoders.callbacks.base import continue_on_error
from autoencoders.loggers.csv import MetricsCSVLogger
from autoencoders.loggers.guarded import GuardedLogger


class SafeLoggers(pl.Callback):
    """Report each error of a guarded logger once. The pipeline adds this callback.

    A logger is called again at the next step, because the cause of the error may be temporary.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Set the guard of every guarded logger."""
        for logger in trainer.loggers:
            if isinstance(logger, GuardedLogger):
                name, consequence = type(logger.logger).__name__, "metrics.csv and figures/ have what is missing there."
                if isinstance(logger.logger, MetricsCSVLogger):
                    name, consequence = "metrics.csv", "rows are missing there."
                logger.guard = partial(continue_on_error, trainer, logger.logger, name, consequence)
