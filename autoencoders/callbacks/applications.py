"""Applications during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback, continue_on_error
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import as_autoencoder
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult


class Applications(FigureCallback):
    """Apply the model during training, every few epochs and at the end.

    Args:
        applications: name -> a function of a run and a split.
        split: the split that all applications use. The test split should not be used during training.
        every_n_epochs: see `FigureCallback`.
    """

    def __init__(
        self, applications: Mapping[str, Callable[..., ApplicationResult]], split: str = "val", every_n_epochs: int = 5
    ) -> None:
        super().__init__(every_n_epochs)
        self.applications, self.split = dict(applications), split

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Run every application, even if another one fails."""
        for name, application in self.applications.items():
            with continue_on_error(trainer, self, f"application {name}", "its results are missing there."):
                writer.save_result(
                    name,
                    application(Run.from_trainer(trainer, as_autoencoder(model)), split=self.split),
                    trainer.global_step,
                )
