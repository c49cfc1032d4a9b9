"""The variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2013)."""

from __future__ import annotations

from autoencoders.models.base import Autoencoder
from autoencoders.objectives.posteriors import GaussianPosterior


class VAE(Autoencoder):
    """A diagonal Gaussian posterior against a standard normal prior; at beta 1, -loss bounds log p(x)."""

    posterior_class = GaussianPosterior
