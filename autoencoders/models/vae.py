"""The variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2013)."""

from __future__ import annotations

from typing import Any

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import Reparameterization


class VAE(Autoencoder):
    """Autoencoder with a diagonal Gaussian posterior and a standard normal prior. At beta 1, -loss bounds log p(x).

    Args:
        posterior: how z is sampled from the encoder's output; None for mean + exp(log_variance / 2) * N(0, 1).
        **options: see `Autoencoder`.
    """

    def __init__(self, *, posterior: Reparameterization | None = None, **options: Any) -> None:
        self.posteriors = posterior or Reparameterization()
        super().__init__(**options)
