"""The PCA projection that the nets `residual` and `pyramid` start from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autoencoders.types import Shape, UserError
from autoencoders.utils.pca import principal_components
from autoencoders.utils.pixels import to_unit

MIN_SCALE = 1e-4
"""Lower bound on the standard deviation of a PCA coordinate, which is 0 if all images are equal along a component.

It is below the standard deviation that rounding to 8 bits gives a coordinate (1 / 255 / sqrt(12) = 1.1e-3).
"""
SAMPLE = 1024
"""Maximum number of training images that are used to estimate `kept_scale` and `residual_scale`."""


class Projection(nn.Module):
    """PCA projection of images, without trainable weights.

    Encoder and decoder each have their own copy.

    Args:
        shape: (C, H, W) of an image.
        components: Z, number of principal components.

    Attributes:
        average: (C * H * W,) mean training image.
        components: (Z, C * H * W) principal components.
        scale: (Z,) standard deviation of each PCA coordinate, at least MIN_SCALE.
        kept_scale: root mean square of the PCA reconstruction after the mean image is subtracted.
        residual_scale: root mean square of the PCA residual.

    Raises:
        UserError: if `components` is larger than the number of pixel values C * H * W.
    """

    average: Tensor
    components: Tensor
    scale: Tensor
    kept_scale: Tensor
    residual_scale: Tensor

    def __init__(self, shape: Shape, components: int) -> None:
        super().__init__()
        self.shape, pixels = shape, math.prod(shape)
        if components > pixels:
            raise UserError(
                f"latent_dim must be at most {pixels} with this net, got {components}. The net starts from PCA, which "
                "has at most one component per pixel value. Choose a smaller latent_dim."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("kept_scale", torch.ones(()))
        self.register_buffer("residual_scale", torch.ones(()))

    def initialize(self, images: Tensor) -> None:
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        average, components, variances = principal_components(images, len(self.scale))
        self.average.copy_(average)
        self.components.copy_(components)
        self.scale.copy_(variances.clamp_min(MIN_SCALE**2).sqrt())
        rows = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long()
        centered = to_unit(images[rows]).flatten(1) - self.average
        kept = centered @ self.components.T @ self.components
        for buffer, signal in ((self.kept_scale, kept), (self.residual_scale, centered - kept)):
            buffer.copy_(signal.square().mean().sqrt().clamp_min(1e-3))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project images `x` (B, C, H, W). The computation uses float32 even under autocast.

        Returns:
            PCA coordinates (B, Z), in the unit of pixel values; the PCA reconstruction (B, C, H, W) minus the mean
            image; and the PCA residual (B, C, H, W).
        """
        with torch.autocast(x.device.type, enabled=False):
            centered = x.float().flatten(1) - self.average
            coordinates = centered @ self.components.T
            kept = coordinates @ self.components
        return coordinates, kept.unflatten(1, self.shape), (centered - kept).unflatten(1, self.shape)

    def reconstruct(self, coordinates: Tensor) -> Tensor:
        """Return the PCA reconstruction (B, C, H, W) minus the mean image, for PCA coordinates (B, Z)."""
        with torch.autocast(coordinates.device.type, enabled=False):
            return (coordinates.float() @ self.components).unflatten(1, self.shape)
