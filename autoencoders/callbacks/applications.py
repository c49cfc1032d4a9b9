"""Applications, asked while the model learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback, continue_on_error
from autoencoders.loggers.media import MediaWriter
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult


class Applications(FigureCallback):
    """Asks the model as it is, and delivers what is found, every few epochs and at the end.

    Args:
        applications: name -> a function of a run and a split.
        split: that they ask about, whatever their own option says: who watches a training must not see the test.
        every_n_epochs: see `Drawing`.
    """

    def __init__(
        self, applications: Mapping[str, Callable[..., ApplicationResult]], split: str = "val", every_n_epochs: int = 5
    ) -> None:
        super().__init__(every_n_epochs)
        self.applications, self.split = dict(applications), split

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Ask each; one that fails keeps no other from answering."""
        for name, application in self.applications.items():
            with continue_on_error(trainer, self, f"application {name}", "what it answers is missing there."):
                writer.present(name, application(Run.live(trainer, model), split=self.split), trainer.global_step)
