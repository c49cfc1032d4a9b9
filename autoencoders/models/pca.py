"""Principal component analysis behind the interface of an autoencoder: the exact linear baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.likelihoods import Bernoulli, Pixels
from autoencoders.objectives.posteriors import PointPosterior
from autoencoders.types import Batch, UserError
from autoencoders.utils.pca import principal_components


class PCA(Autoencoder):
    """The best linear code of its size in squared error, fitted to the training images at the start of a fit.

    Its means are linear whatever `likelihood.activation` says; a learned scale is set to its
    maximum-likelihood value. The fit then runs one epoch, which only measures.

    Args:
        **parts: see `Autoencoder`; nets, optimizer and schedule are not used.
    """

    posteriors = PointPosterior
    alone = True
    """Whether one process alone can make it: several have nothing to share in an exact fit."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        if isinstance(self.family, Bernoulli):
            raise UserError(
                "model=pca reconstructs linearly, and a Bernoulli likelihood needs means in [0, 1]. Choose "
                "likelihood=gaussian_learned, gaussian or laplace."
            )
        self.family.activation = "linear"

    def build(self, encoder: None, decoder: None) -> None:
        """Room for the mean image (D,) and the components (Z, D)."""
        pixels = self.shape[0] * self.shape[1] * self.shape[2]
        if self.latent_dim > pixels:
            raise UserError(
                f"model=pca has at most {pixels} latents here, one a pixel, and latent_dim is {self.latent_dim}."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(self.latent_dim, pixels))
        self.family.requires_grad_(False)

    def initialize(self, images: Tensor) -> None:
        """Fit to the uint8 training images, (N, C, H, W)."""
        average, components, _ = principal_components(images, self.latent_dim)
        self.average.copy_(average)
        self.components.copy_(components)
        sample = images[:10_000].float() / 255
        self.family.fit(self(sample), sample)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> PointPosterior:
        """The coordinates of (B, C, H, W) images on the components, (B, Z)."""
        return PointPosterior((x.flatten(1) - self.average) @ self.components.T)

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """p(x | z) around the linear reconstruction of (B, Z) codes."""
        return self.family((self.average + z @ self.components).unflatten(1, self.shape))

    def configure_optimizers(self) -> None:
        """Nothing is optimized; Lightning then steps nothing."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a training batch; there is nothing to step."""
        with torch.no_grad():
            terms = self.terms(batch, None)
            sums = torch.stack([terms.distortion.sum(), terms.rate.sum(), terms.distortion.sum()])
            self._sums["train"].add(sums, len(batch.x))

    def on_train_epoch_end(self) -> None:
        """Log the training means and end the fit: a second epoch would measure the same."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True
