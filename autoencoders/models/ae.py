"""The plain autoencoder, which maps each image to one code and has no prior."""

from __future__ import annotations

from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.posteriors import PointFamily


class AE(Autoencoder):
    """Autoencoder with one code per image instead of a distribution. The rate is 0, and the loss is the distortion.

    Example:
        >>> import torch
        >>> from autoencoders import AE
        >>> model = AE(shape=(1, 28, 28), latent_dim=2).eval()
        >>> model.encode(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 2])
    """

    posteriors = PointFamily()
