"""The variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2013)."""

from __future__ import annotations

from typing import Any

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import Reparameterization
from autoencoders.types import Shape


class VAE(Autoencoder):
    """Autoencoder with a diagonal Gaussian posterior and a standard normal prior.

    With beta = 1, the loss is an upper bound on -log p(x).

    Args:
        shape: image shape (C, H, W).
        posterior: how z is sampled; None for z = mean + exp(log_variance / 2) * eps with eps ~ N(0, I).
        **options: see `Autoencoder`: `latent_dim=10`, `net="mlp"`, `likelihood="bernoulli"`, `beta=1`, `lr=6e-3`, ...

    Example:
        >>> from autoencoders import VAE
        >>> model = VAE(shape=(1, 28, 28), latent_dim=20, beta=4)
        >>> model.traits
        ['beta 4', '20 latents']
    """

    def __init__(self, shape: Shape, *, posterior: Reparameterization | None = None, **options: Any) -> None:
        self.posteriors = posterior or Reparameterization()
        super().__init__(shape, **options)
