"""The plain autoencoder: a code without a distribution."""

from __future__ import annotations

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import PointPosterior


class AE(Autoencoder):
    """A point posterior: the rate is 0 and the loss is the distortion."""

    posteriors = PointPosterior
