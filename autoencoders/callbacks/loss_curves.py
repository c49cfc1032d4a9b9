"""Callback that draws the loss curves from `metrics.csv`."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback, heading
from autoencoders.callbacks.baselines import baselines
from autoencoders.loggers.media import MediaWriter


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
        import pandas as pd

        path = Path(trainer.default_root_dir, "metrics.csv")
        if not path.is_file():
            return
        table, curves = pd.read_csv(path), {}
        for metric in ("objective", "distortion", "rate", "mse", "accuracy"):
            if metric == "rate" and not model.has_prior:
                continue
            columns = {split: f"{split}/{metric}" for split in ("train", "val")}
            present = {k: table[["step", c]].dropna() for k, c in columns.items() if c in table}
            if any(len(points) for points in present.values()):
                curves[metric] = {k: v.to_numpy() for k, v in present.items() if len(v)}
        if curves:
            from autoencoders.figures.curves import loss_curves

            lines = {"mse": baselines(trainer, model, "val")} if "mse" in curves else {}
            if "val/majority" in table:
                lines["accuracy"] = {"majority class": table["val/majority"].dropna().iloc[-1]}
            figure = loss_curves(curves, heading(trainer, model), lines)
            writer.save_figure("loss_curves", figure, trainer.global_step)
