"""The plain autoencoder."""

from __future__ import annotations

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import PointFamily


class AE(Autoencoder):
    """Autoencoder with a point posterior: the rate is 0 and the loss is the distortion."""

    posteriors = PointFamily()
