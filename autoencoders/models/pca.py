"""Principal component analysis with the interface of an autoencoder: the exact linear baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.likelihoods import Bernoulli, Pixels
from autoencoders.objectives.posteriors import PointFamily, PointPosterior
from autoencoders.types import Batch, UserError
from autoencoders.utils.pca import principal_components


class PCA(Autoencoder):
    """The linear code with the lowest squared error, fitted to the training images at the start of a fit.

    Means are linear; `likelihood.activation` is ignored. A learned scale is set to its maximum-likelihood value. The
    fit runs one epoch, which only computes metrics.

    Args:
        **options: see `Autoencoder`; nets, optimizer and schedule are not used.

    Attributes:
        average: (C H W,) mean training image.
        components: (Z, C H W) principal components.

    Raises:
        UserError: if the likelihood is Bernoulli, or there are more latents than pixels.
    """

    posteriors = PointFamily()
    single_process: ClassVar[bool] = True  # the exact fit has no gradients for processes to share
    average: Tensor
    components: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(self.family, Bernoulli):
            raise UserError(
                "model=pca reconstructs linearly, but a Bernoulli likelihood needs means in [0, 1]. Choose "
                "likelihood=gaussian_learned, gaussian or laplace."
            )
        self.family.activation = "linear"

    def build(self, encoder: Callable[..., nn.Module] | None, decoder: Callable[..., nn.Module] | None) -> None:
        """Register buffers for the mean image and the components."""
        pixels = self.shape[0] * self.shape[1] * self.shape[2]
        if self.latent_dim > pixels:
            raise UserError(
                f"latent_dim must be at most {pixels} with model=pca, got {self.latent_dim}: there is one latent per "
                "pixel at most. Lower latent_dim."
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
        """Return the coordinates of images, (B, C, H, W), on the components, (B, Z)."""
        return PointPosterior((x.flatten(1) - self.average) @ self.components.T)

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """Return p(x | z), whose mean is the linear reconstruction of codes, (B, Z)."""
        return self.family((self.average + z @ self.components).unflatten(1, self.shape))

    def configure_optimizers(self) -> None:
        """Return no optimizer, so that Lightning updates no weights."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the training sums; there is no optimizer step."""
        with torch.no_grad():
            terms = self.terms(batch, None)
            sums = torch.stack([terms.distortion.sum(), terms.rate.sum(), terms.distortion.sum()])
            self._sums["train"].add(sums, len(batch.x))

    def on_train_epoch_end(self) -> None:
        """Log the training means and end the fit: a second epoch would have the same metrics."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True
