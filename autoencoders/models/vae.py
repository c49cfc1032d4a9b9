"""The variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2013)."""

from __future__ import annotations

from typing import Any

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import Reparameterization


class VAE(Autoencoder):
    """Autoencoder with a diagonal Gaussian posterior and a standard normal prior.

    With beta = 1, the loss is an upper bound on -log p(x).

    Args:
        posterior: how z is sampled; None for z = mean + exp(log_variance / 2) * eps with eps ~ N(0, I).
        **options: see `Autoencoder`.
    """

    def __init__(self, *, posterior: Reparameterization | None = None, **options: Any) -> None:
        self.posteriors = posterior or Reparameterization()
        super().__init__(**options)
