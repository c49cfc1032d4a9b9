"""Callbacks that draw reconstructions of the first validation images, and combine the figures into a GIF."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np

from autoencoders.callbacks.base import FigureCallback, at_least, continue_on_error, heading
from autoencoders.callbacks.baselines import baselines
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter
from autoencoders.metrics.images import psnr
from autoencoders.types import UserError
from autoencoders.utils.arrays import to_numpy


class Reconstructions(FigureCallback):
    """Draw `figures/reconstructions/<step>.png`: the first validation images and their reconstructions.

    The reconstructions are decoded from the posterior means.

    Args:
        count: number of images.
        every_n_epochs: see `FigureCallback`.
    """

    needs_decoder = True

    def __init__(self, count: int = 10, every_n_epochs: int = 5) -> None:
        super().__init__(every_n_epochs)
        at_least(1, count=count)
        self.count = count

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Draw inputs, targets (only if they differ from the inputs) and outputs."""
        batch = get_datamodule(trainer).take("val", self.count)
        y = None if batch.y is None else batch.y.to(model.device)
        x, target, output = to_numpy(batch.x), to_numpy(batch.target), to_numpy(model(batch.x.to(model.device), y))
        rows = {"input": x, "target": target, "output": output}
        if np.array_equal(x, target):
            del rows["target"]
        mse = trainer.callback_metrics.get("val/mse")
        own = "" if mse is None else f"model {mse:.4g} (PSNR {psnr(float(mse)):.1f} dB), "
        others = ", ".join(f"{name} {value:.4g}" for name, value in baselines(trainer, model, "val").items())
        caption = f"MSE on the validation split: {own}{others}"
        from autoencoders.figures.grids import image_grid

        figure = image_grid(np.stack(list(rows.values())), heading(trainer, model), rows=list(rows), caption=caption)
        writer.save_figure("reconstructions", figure, trainer.global_step)


class ReconstructionsGif(pl.Callback):
    """Write `figures/reconstructions.gif` after training. Each figure of the callback `Reconstructions` is a frame.

    Args:
        seconds_per_frame: duration of each frame, above 0 and at most 60 seconds.

    Raises:
        UserError: if `seconds_per_frame` is out of range.
    """

    def __init__(self, seconds_per_frame: float = 0.6) -> None:
        if not 0 < seconds_per_frame <= 60:
            raise UserError(f"callbacks: seconds_per_frame must be above 0 and at most 60, got {seconds_per_frame}.")
        self.seconds_per_frame = seconds_per_frame

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the GIF. At this point the last figure exists, because `on_fit_end` runs after every `on_train_end`."""
        with continue_on_error(trainer, self):
            MediaWriter.from_trainer(trainer).save_animation(
                "reconstructions", self.seconds_per_frame, trainer.global_step
            )
