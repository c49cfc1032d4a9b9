"""Callback that draws validation codes as points in the plane."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np

from autoencoders.callbacks.base import (
    FigureCallback,
    at_least,
    continue_on_error,
    heading,
    validation_codes,
)
from autoencoders.latent.projections import plane, supports_tsne, tsne
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import Autoencoder, as_autoencoder
from autoencoders.utils.modes import evaluation_mode

TSNE_ITERATIONS = 300
"""Iterations of the t-SNE at the end of training; see `autoencoders.latent.projections.tsne`."""


class LatentPlot(FigureCallback):
    """Draw `figures/latents/<step>.png`: a scatter plot of validation codes.

    The plot shows the codes themselves for up to two latents, otherwise their first two principal components. For more
    than two latents, a t-SNE is drawn at the end of training as `figures/latents_tsne/<step>.png`.

    Args:
        codes: maximum number of validation codes in the scatter plot.
        tsne_codes: maximum number of validation codes in the t-SNE; 0 for no t-SNE. 1,000 codes take about a second.
        seed: random seed of the t-SNE.
        every_n_epochs: see `FigureCallback`.
    """

    needs_decoder = True

    def __init__(self, codes: int = 2000, tsne_codes: int = 1000, seed: int = 0, every_n_epochs: int = 10) -> None:
        super().__init__(every_n_epochs)
        at_least(1, codes=codes)
        at_least(0, tsne_codes=tsne_codes, seed=seed)
        self.codes, self.tsne_codes, self.seed = codes, tsne_codes, seed

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Draw the codes or their principal components. Colors show the classes, if there are classes."""
        model = as_autoencoder(model)
        codes, style = self._codes(trainer, model, self.codes)
        points, axes = plane(codes)
        from autoencoders.figures.latents import plot_codes

        style |= {
            "caption": f"{len(codes):,} validation codes",
            "prior": model.has_standard_prior and model.latent_dim == 2,
        }
        writer.save_figure("latents", plot_codes(points, heading(trainer, model), axes, **style), trainer.global_step)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the t-SNE of the codes at the end of training."""
        super().on_fit_end(trainer, pl_module)
        if not (trainer.is_global_zero and self._drawn_at >= 0 and self.tsne_codes):
            return
        model = as_autoencoder(pl_module)
        if model.latent_dim > 2:
            with continue_on_error(trainer, self), evaluation_mode(model):
                self._draw_tsne(trainer, model)

    def _draw_tsne(self, trainer: pl.Trainer, model: Autoencoder) -> None:
        codes, style = self._codes(trainer, model, self.tsne_codes)
        if not supports_tsne(codes):
            return
        from autoencoders.figures.latents import plot_codes

        style["caption"] = f"t-SNE of {len(codes):,} validation codes"
        points = tsne(codes, self.seed, TSNE_ITERATIONS)
        figure = plot_codes(points, heading(trainer, model), ("t-SNE 1", "t-SNE 2"), **style)
        MediaWriter.from_trainer(trainer).save_figure("latents_tsne", figure, trainer.global_step)

    @staticmethod
    def _codes(trainer: pl.Trainer, model: Autoencoder, count: int) -> tuple[np.ndarray, dict]:
        codes, y = validation_codes(trainer, model, count)
        if y is None or model.labels is None or model.labels.kind != "classes":
            return codes.numpy(), {}
        return codes.numpy(), {"labels": y.numpy(), "names": model.labels.names}
