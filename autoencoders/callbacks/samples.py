"""Images decoded from drawn codes: the same codes at every epoch, so that pictures compare."""

from __future__ import annotations

import lightning.pytorch as pl
import torch

from autoencoders.callbacks.base import Drawing, array, heading, validation_codes
from autoencoders.gallery import Gallery
from autoencoders.latent.densities import GaussianFull, StandardNormal


class Samples(Drawing):
    """`figures/samples/<step>.png`: a grid from the prior; for a CVAE a row per code, a column per class.

    A model without a prior samples from a Gaussian fitted to its validation codes, and the title says so.

    Args:
        rows: rows of the grid.
        columns: columns, where the classes do not set them.
        codes: how many validation codes a Gaussian is fitted to.
        seed: of the codes, in a generator of their own.
        every_n_epochs: see `Drawing`.
    """

    def __init__(
        self, rows: int = 6, columns: int = 10, codes: int = 2000, seed: int = 0, every_n_epochs: int = 5
    ) -> None:
        super().__init__(every_n_epochs)
        self.rows, self.columns, self.codes, self.seed = rows, columns, codes, seed

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, gallery: Gallery) -> None:
        """Draw codes, decode them, lay them out."""
        generator = torch.Generator().manual_seed(self.seed)
        density = StandardNormal(model.latent_dim)
        if not model.has_prior:
            density = GaussianFull().fit(validation_codes(trainer, model, self.codes)[0])
        labels, columns, y = (), self.columns, None
        if model.condition and model.labels.kind == "classes":
            labels, columns = model.labels.names, model.labels.size
            z = density.sample(self.rows, generator).repeat_interleave(columns, dim=0)
            y = torch.arange(columns).repeat(self.rows).to(model.device)
        else:
            z = density.sample(self.rows * columns, generator)
            if model.condition:  # attributes have no list of values: those of validation images are real ones
                attributes = trainer.datamodule.take("val", len(z)).y
                y = attributes[torch.arange(len(z)) % len(attributes)].to(model.device)
        images = array(model.decode(z.to(model.device), y))
        caption = f"decoder means of codes from {density.name}"
        if labels:
            caption += ", one code per row"
        from autoencoders.figures.grids import image_grid

        grid = images.reshape(self.rows, columns, *images.shape[1:])
        figure = image_grid(grid, heading(trainer, model), columns=labels, caption=caption)
        gallery.deliver("samples", figure, trainer.global_step)
