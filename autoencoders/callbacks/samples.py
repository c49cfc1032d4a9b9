"""Callback that draws images decoded from random codes.

Codes from the prior are sampled once and used in every epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.callbacks.base import FigureCallback, at_least, heading, validation_codes
from autoencoders.data.datamodule import get_datamodule
from autoencoders.latent.densities import GaussianFull
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import Autoencoder, as_autoencoder
from autoencoders.models.prior_codes import draw_noise, prior_codes
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.texts import describe_shown, shown_labels

COMBINED = 3
"""Maximum number of attributes that define the columns of a grid. A grid has up to 2^COMBINED columns."""


class Samples(FigureCallback):
    """Draw `figures/samples/<step>.png`: a grid of images decoded from samples of the prior.

    The grid of a CVAE has one code per row, and one class or one combination of attributes per column. If the model has
    no prior, a Gaussian fitted to the validation codes replaces the prior, and the caption names this Gaussian.

    Args:
        rows: number of rows of the grid.
        columns: number of columns of the grid; not used for a CVAE.
        codes: maximum number of validation codes that the Gaussian is fitted to.
        seed: random seed of the codes. The callback uses a random generator of its own.
        every_n_epochs: see `FigureCallback`.
    """

    needs_decoder = True

    def __init__(
        self, rows: int = 6, columns: int = 10, codes: int = 2000, seed: int = 0, every_n_epochs: int = 5
    ) -> None:
        super().__init__(every_n_epochs)
        at_least(1, rows=rows, columns=columns, codes=codes)
        at_least(0, seed=seed)
        self.rows, self.columns, self.codes, self.seed = rows, columns, codes, seed

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Sample codes, decode them and draw the grid of images."""
        model = as_autoencoder(model)
        names, values, columns = self._columns(trainer, model)
        y = None
        if values is not None:
            y = values.repeat(self.rows, *[1] * (values.dim() - 1)).to(model.device)
        z, density = self._codes(trainer, model, columns, y)
        images = to_numpy(model.decode(z.to(model.device), y))
        caption = f"images decoded from samples of {density}"
        if values is not None:
            caption += ", one code per row"
            if model.labels is not None and model.labels.kind == "attributes":
                caption += f"; columns: low (-) or high (+) values of {', '.join(model.labels.names[:COMBINED])}"
            elif model.labels is not None and (shown := describe_shown(model.labels.size)):
                caption += f"; {shown}"
        from autoencoders.figures.grids import image_grid

        grid = images.reshape(self.rows, columns, *images.shape[1:])
        figure = image_grid(grid, heading(trainer, model), columns=names, caption=caption)
        writer.save_figure("samples", figure, trainer.global_step)

    def _codes(self, trainer: pl.Trainer, model: Autoencoder, columns: int, y: Tensor | None) -> tuple[Tensor, str]:
        """Return the codes of all images in the grid, row by row, and the display name of their density."""
        generator = torch.Generator().manual_seed(self.seed)
        count = self.rows * columns if y is None else self.rows
        if model.has_prior:
            noise = draw_noise(model, count, generator)
            noise = noise if y is None else noise.repeat_interleave(columns)
            return prior_codes(model, noise, y), model.prior.description
        density = GaussianFull().fit(validation_codes(trainer, model, self.codes)[0])
        z = density.sample(count, generator)
        return z if y is None else z.repeat_interleave(columns, dim=0), density.name

    def _columns(self, trainer: pl.Trainer, model: Autoencoder) -> tuple[Sequence[str], Tensor | None, int]:
        """Return display name and label of each grid column for a conditional model, and the number of columns.

        For classes, each class has a column, or MAX_CLASSES evenly spaced classes if there are more. For attributes,
        each combination of a low and a high value of the first COMBINED attributes has a column; the values are the
        10 % and 90 % quantiles of the validation images, and the other attributes have their mean values. An
        unconditional model has no names, and None instead of labels.
        """
        labels, known = model.labels, get_datamodule(trainer).take("val", self.codes).y
        if not model.context_size or labels is None or known is None:
            return (), None, self.columns
        if labels.kind == "classes":
            chosen = shown_labels(labels.size)
            return [labels.names[i] for i in chosen], torch.tensor(chosen), len(chosen)
        low, high = known.quantile(torch.tensor([0.1, 0.9]), dim=0)
        combined = min(COMBINED, labels.size)
        signs = list(itertools.product((0, 1), repeat=combined))
        values = known.mean(0).repeat(len(signs), 1)
        values[:, :combined] = torch.where(torch.tensor(signs) > 0, high[:combined], low[:combined])
        return [" ".join("+" if s else "-" for s in row) for row in signs], values, len(signs)
