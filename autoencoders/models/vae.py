"""The variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2013)."""

from __future__ import annotations

from typing import Any

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import Reparameterization


class VAE(Autoencoder):
    """A diagonal Gaussian posterior against a standard normal prior; at beta 1, -loss bounds log p(x).

    Args:
        posterior: how samples come from the encoder's numbers; None for mean + exp(log_variance / 2) * N(0, 1).
        **parts: see `Autoencoder`.
    """

    def __init__(self, *, posterior: Reparameterization | None = None, **parts: Any) -> None:
        self.posteriors = posterior or Reparameterization()
        super().__init__(**parts)
