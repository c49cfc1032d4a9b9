"""Base classes of nets that start as PCA, the best linear autoencoder, and learn corrections.

The PCA projection of the images is fixed. No other linear code with the same size has a lower squared error. The
encoder adds a correction to the PCA code, and the decoder adds a correction to the PCA reconstruction. The corrections
start at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.nets.blocks import Patches, convolution, start_at_zero
from autoencoders.nets.heads import zero_linear
from autoencoders.nets.projection import Projection
from autoencoders.types import Shape


class CorrectedPCAEncoder(Net):
    """Base class of encoders that map images to features: a code, followed by spatial means of the last feature map.

    The code is the sum of the PCA coordinates and a learned correction, divided by the standard deviations of the PCA
    coordinates. A subclass builds its layers, then calls `build_correction`, and implements `feature_map`.

    Args:
        shape: (C, H, W) of an image.
        components: Z, number of principal components, which is also the size of the code.
        patch: height and width of a patch in pixels, which is one position of the feature maps.
    """

    def __init__(self, shape: Shape, components: int, patch: int) -> None:
        super().__init__()
        self.projection, self.patches = Projection(shape, components), Patches(shape, patch)
        self.code = components

    def build_correction(self, channels: int, positions: int) -> None:
        """Build the layer that computes the correction of the code from the last feature map.

        Args:
            channels: number of channels of the last feature map.
            positions: its height times its width.
        """
        self.correction = nn.Linear(channels * positions, self.code)
        start_at_zero(self.correction)
        self.features = self.code + channels

    def feature_map(self, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map (B, channels, h, w), before the ReLU.

        Args:
            patches: (B, 2 C P^2, H / P, W / P) patches of the PCA reconstruction and of the PCA residual.
            context: (B, K) or None.
        """
        raise NotImplementedError

    def initialize(self, images: Tensor) -> None:
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return features (B, Z + channels) for images `x` (B, C, H, W) and the context (B, K) or None.

        The first Z features are the code.
        """
        coordinates, kept, residual = self.projection.project(x)
        signals = [kept / self.projection.kept_scale, residual / self.projection.residual_scale]
        h = torch.relu(self.feature_map(self.patches.split(torch.cat(signals, dim=1)), context))
        code = (coordinates + self.correction(h.flatten(1)).float()) / self.projection.scale
        return torch.cat([code, h.float().mean((2, 3))], dim=1)


class CorrectedPCADecoder(Net):
    """Base class of decoders that map codes to images: the PCA reconstruction plus a learned correction.

    The images are returned before the output activation. A subclass builds its layers, then calls `build_output`, and
    implements `feature_map`.

    Args:
        shape: (C, H, W) of an image.
        components: Z, number of principal components. The first Z inputs are the code. A linear function of the other
            inputs (the context) is added to the code.
        patch: height and width of a patch in pixels, which is one position of the feature maps.
    """

    def __init__(self, shape: Shape, components: int, patch: int) -> None:
        super().__init__()
        self.projection, self.patches = Projection(shape, components), Patches(shape, patch)
        self.code = components

    def build_output(self, inputs: int, channels: int, separable: bool = False) -> None:
        """Build the layers that compute the correction from the last feature map, and the code's offset.

        Args:
            inputs: number of inputs per image.
            channels: number of channels of the last feature map.
            separable: see `blocks.convolution`.
        """
        self.output = convolution(channels, self.patches.channels, separable=separable)
        self.shift = zero_linear(inputs - self.code, self.code, bias=True) if inputs > self.code else None
        start_at_zero(self.output)

    def feature_map(self, z: Tensor, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map (B, channels, H / P, W / P), before the ReLU.

        Args:
            z: inputs (B, inputs).
            patches: (B, C P^2, H / P, W / P) patches of the PCA reconstruction.
            context: (B, K) or None.
        """
        raise NotImplementedError

    def initialize(self, images: Tensor) -> None:
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
        code = z[:, : self.code]
        if self.shift is not None:
            code = code + self.shift(z[:, self.code :])
        kept = self.projection.reconstruct(code * self.projection.scale)
        h = torch.relu(self.feature_map(z, self.patches.split(kept / self.projection.kept_scale), context))
        correction = self.patches.join(self.output(h)).float() * self.projection.residual_scale
        return self.projection.average.unflatten(0, kept.shape[1:]) + kept + correction
