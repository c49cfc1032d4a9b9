"""Callback that draws the data card before training."""

from __future__ import annotations

import lightning.pytorch as pl

from autoencoders.callbacks.base import continue_on_error
from autoencoders.data.card import card_figure_arguments, measure_data
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter


class DataCardFigure(pl.Callback):
    """Draw `figures/data/000000.png` before the first training step: examples, brightness, and classes or attributes.

    Args:
        examples: number of example images.
    """

    def __init__(self, examples: int = 10) -> None:
        self.examples = examples

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the figure in a new run, on rank zero."""
        if not trainer.is_global_zero or trainer.global_step:
            return
        with continue_on_error(trainer, self):
            from autoencoders.figures.data_card import data_card

            data = get_datamodule(trainer)
            figure = data_card(**card_figure_arguments(data, measure_data(data, self.examples)))
            MediaWriter.from_trainer(trainer).save_figure("data", figure, trainer.global_step)
