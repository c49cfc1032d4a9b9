"""The plain autoencoder, which maps each image to one code and has no prior."""

from __future__ import annotations

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import PointFamily


class AE(Autoencoder):
    """Autoencoder with one code per image instead of a distribution. The rate is 0, and the loss is the distortion."""

    posteriors = PointFamily()
