"""Callback that logs a table of single validation images."""

from __future__ import annotations

import lightning.pytorch as pl

from autoencoders.callbacks.base import FigureCallback
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import as_autoencoder
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.utils.arrays import to_numpy


class ExampleTable(FigureCallback):
    """Log the table `examples` with one validation image per row, for loggers that accept tables.

    The columns are `row` (index of the image in the split), `class` (if there are classes), `input`, `target` (if it
    differs from the input), `output`, `distortion`, `rate` and `mse`. Distortion and rate are in nats, with z sampled
    as in validation. The output and its MSE per pixel are computed from the posterior mean.

    Args:
        count: number of images, from the start of the validation split; 0 for no table.
        every_n_epochs: see `FigureCallback`.
    """

    needs_decoder = True

    def __init__(self, count: int = 32, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.count = count

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Compute and log the table, if a logger accepts tables."""
        model = as_autoencoder(model)
        if not (writer.supports_tables and self.count):
            return
        import pandas as pd

        batch = get_datamodule(trainer).take("val", self.count)
        moved = batch.to(model.device)
        terms = model.terms(moved, evaluation_noise(model, moved.index, "val"))
        output = model(moved.x, moved.y)
        columns: dict[str, list] = {"row": batch.index.tolist()}
        if batch.y is not None and model.labels is not None and model.labels.kind == "classes":
            columns["class"] = [model.labels.names[i] for i in batch.y.tolist()]
        columns["input"] = list(to_numpy(batch.x))
        if not batch.x.equal(batch.target):
            columns["target"] = list(to_numpy(batch.target))
        columns["output"] = list(to_numpy(output))
        mse = (output.clamp(0, 1) - moved.target).flatten(1).square().mean(1)
        for name, values in {"distortion": terms.distortion, "rate": terms.rate, "mse": mse}.items():
            columns[name] = values.tolist()
        writer.log_table("examples", pd.DataFrame(columns), trainer.global_step)
