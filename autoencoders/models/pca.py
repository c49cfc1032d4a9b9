"""Principal component analysis (PCA) with the interface of an autoencoder, as the exact linear baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.likelihoods import Bernoulli, Pixels
from autoencoders.objectives.posteriors import PointFamily, PointPosterior
from autoencoders.types import Batch, Shape, UserError
from autoencoders.utils.pca import principal_components
from autoencoders.utils.pixels import to_unit


class PCA(Autoencoder):
    """Linear autoencoder with the lowest squared error, computed from the training images when `fit` starts.

    The mean of p(x | z) is a linear function of z, and `likelihood.activation` is ignored. A learned scale of the
    likelihood is set to its maximum-likelihood value. `fit` runs one epoch, which computes metrics and updates nothing.

    Args:
        shape: image shape (C, H, W).
        **options: see `Autoencoder`. The nets, the optimizer and the schedule are not used.

    Attributes:
        average: (C H W,) mean training image, flattened.
        components: (Z, C H W) orthonormal principal components.

    Raises:
        UserError: if the likelihood is Bernoulli, there is a regularizer, or there are more latents than pixel values.
    """

    default_likelihood: ClassVar[str] = "gaussian_learned"
    posteriors = PointFamily()
    single_process: ClassVar[bool] = True  # one process computes PCA exactly; there are no gradients to distribute
    average: Tensor
    components: Tensor

    def __init__(self, shape: Shape, **options: Any) -> None:
        unused: dict[str, Any] = {"encoder": None, "decoder": None, "optimizer": None, "schedule": None}
        super().__init__(shape, **(unused | options))
        if isinstance(self.family, Bernoulli):
            raise UserError(
                "model=pca cannot use likelihood=bernoulli because linear reconstructions can be outside of [0, 1]. "
                "Choose likelihood=gaussian_learned, likelihood=gaussian or likelihood=laplace."
            )
        if self.regularizer.active:
            raise UserError(
                "regularizer must be none with model=pca, which is computed in closed form, got "
                f"{self.regularizer.name}. Set regularizer=none, or choose model=ae."
            )
        self.family.activation = "linear"

    def build(self, encoder: Callable[..., nn.Module] | None, decoder: Callable[..., nn.Module] | None) -> None:
        """Register buffers for the mean image and the principal components. The nets are not used."""
        pixels = self.shape[0] * self.shape[1] * self.shape[2]
        if self.latent_dim > pixels:
            raise UserError(
                f"latent_dim must be at most {pixels} with model=pca because images have {pixels} pixel values, got "
                f"{self.latent_dim}. Lower latent_dim."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(self.latent_dim, pixels))
        self.family.requires_grad_(False)

    def initialize(self, images: Tensor) -> None:
        """Compute the mean image, the components and a learned scale from the stored training images (N, C, H, W)."""
        average, components, _ = principal_components(images, self.latent_dim)
        self.average.copy_(average)
        self.components.copy_(components)
        sample = to_unit(images[:10_000])
        self.family.fit(self(sample), sample)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> PointPosterior:
        """Return the codes (B, Z): the coordinates of the images `x` (B, C, H, W) along the principal components."""
        return PointPosterior((x.flatten(1) - self.average) @ self.components.T)

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """Return p(x | z) for the codes `z` (B, Z). Its mean is the linear reconstruction."""
        return self.family((self.average + z @ self.components).unflatten(1, self.shape))

    def configure_optimizers(self) -> None:
        """Return None instead of an optimizer, because PCA has no weights to update."""

    def _shared_step(self, batch: Batch, stage: str, number: int) -> None:
        """Update the metric of a stage with a batch, without an optimizer step."""
        if stage != "train":
            super()._shared_step(batch, stage, number)
            return
        with torch.no_grad():
            terms = self.terms(batch, None).mean()
            self._update_training_metric(torch.stack([terms.distortion, terms.rate, terms.distortion]), len(batch.x))

    def on_train_epoch_end(self) -> None:
        """Log the training metrics and stop the fit, because a second epoch would have the same metrics."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True
