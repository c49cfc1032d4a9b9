"""Callback that draws the loss curves from `metrics.csv`."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback, heading
from autoencoders.callbacks.baselines import baselines
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.base import as_image_model
from autoencoders.runs.history import majority_line, read_history, select_curves


class LossCurves(FigureCallback):
    """Draw `figures/loss_curves/<step>.png`: training and validation curves of objective, distortion, rate and MSE.

    The curves for a classifier are objective and accuracy.

    Args:
        every_n_epochs: see `FigureCallback`.
    """

    def __init__(self, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Draw the metrics in `metrics.csv`, if there are any."""
        history = read_history(Path(trainer.default_root_dir))
        curves = select_curves(history, as_image_model(model).has_prior)
        if curves:
            from autoencoders.figures.curves import loss_curves

            lines = {"mse": baselines(trainer, model, "val")} if "mse" in curves else {}
            lines |= majority_line(history)
            figure = loss_curves(curves, heading(trainer, model), lines)
            writer.save_figure("loss_curves", figure, trainer.global_step)
