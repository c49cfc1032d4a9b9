"""Callback that runs applications (such as `reconstruct`) during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback, continue_on_error
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import as_autoencoder
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult


class Applications(FigureCallback):
    """Run applications on the current model during training, every few epochs and at the end.

    Args:
        applications: name -> application, a function that is called with a run and the keyword `split`.
        split: split that all applications use. Do not use the test split during training. Applications that choose
            something on validation images, such as a threshold, refuse the split `val`.
        every_n_epochs: see `FigureCallback`.
    """

    def __init__(
        self, applications: Mapping[str, Callable[..., ApplicationResult]], split: str = "val", every_n_epochs: int = 5
    ) -> None:
        super().__init__(every_n_epochs)
        self.applications, self.split = dict(applications), split

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Run every application and save its results. If an application fails, the others still run."""
        for name, application in self.applications.items():
            with continue_on_error(trainer, self, f"application {name}", "its results are missing for this step."):
                writer.save_result(
                    name,
                    application(Run.from_trainer(trainer, as_autoencoder(model)), split=self.split),
                    trainer.global_step,
                    repeated=True,
                )
