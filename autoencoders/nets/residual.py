"""Encoder and decoder that start as PCA, the best linear autoencoder, and learn convolutional corrections.

The PCA projection of the images is fixed. No other linear code with the same size has a lower squared error. The
encoder adds a correction to the PCA code. A convolutional network computes this correction from the PCA reconstruction
and the PCA residual. The decoder adds a correction to the PCA reconstruction. A second convolutional network computes
this correction from the PCA reconstruction and the code. The corrections start at zero.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.nets.blocks import Block
from autoencoders.nets.corrected_pca import CorrectedPCADecoder, CorrectedPCAEncoder
from autoencoders.types import Shape
from autoencoders.utils.checks import check_at_least

COARSE = 4
"""Factor by which the decoder reduces height and width of the feature map that a linear layer computes from the code.

Without this reduction, the linear layer would have so many weights that it memorizes training images.
"""


class Encoder(CorrectedPCAEncoder):
    """Map images to features: a code, followed by spatial means of the last feature map.

    The code is the sum of the PCA coordinates and a learned correction, divided by the standard deviations of the PCA
    coordinates.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all residual blocks receive; 0 for no context.
        components: Z, number of principal components, which is also the size of the code.
        patch: height and width of a patch in pixels.
        width: number of channels of the feature maps.
        blocks: number of residual blocks before the feature map is halved, and number of residual blocks after that.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        components: int = 200,
        patch: int = 4,
        width: int = 64,
        blocks: int = 1,
    ) -> None:
        _check_sizes(width, blocks)
        super().__init__(shape, components, patch)
        self.start = nn.Conv2d(2 * self.patches.channels, width, 3, padding=1)
        self.halve = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.fine = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        self.coarse = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        height, length = ((side + 1) // 2 for side in self.patches.size)
        self.build_correction(width, height * length)

    def feature_map(self, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map, before the ReLU; see `CorrectedPCAEncoder.feature_map`."""
        h = self.start(patches)
        for block in self.fine:
            h = block(h, context)
        h = self.halve(torch.relu(h))  # (B, width, ceil(H / 2P), ceil(W / 2P))
        for block in self.coarse:
            h = block(h, context)
        return h


class Decoder(CorrectedPCADecoder):
    """Map codes to output images: the PCA reconstruction plus a learned correction that starts at zero.

    The images are returned before the output activation.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all residual blocks receive; 0 for no context.
        components: Z, number of principal components. The first Z inputs are the code. A linear function of the other
            inputs (the context) is added to the code.
        patch: height and width of a patch in pixels.
        width: number of channels of the feature maps.
        blocks: number of residual blocks.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        components: int = 200,
        patch: int = 4,
        width: int = 96,
        blocks: int = 4,
    ) -> None:
        _check_sizes(width, blocks)
        super().__init__(shape, components, patch)
        self.start = nn.Conv2d(self.patches.channels, width, 3, padding=1)
        self.coarse = tuple(-(-side // COARSE) for side in self.patches.size)
        self.map = nn.Linear(inputs, width * math.prod(self.coarse))
        self.blocks = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        self.build_output(inputs, width)

    def feature_map(self, z: Tensor, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map, before the ReLU; see `CorrectedPCADecoder.feature_map`."""
        h = self.start(patches)
        h = h + F.interpolate(self.map(z).unflatten(1, (-1, *self.coarse)), self.patches.size)
        for block in self.blocks:
            h = block(h, context)
        return h


def _check_sizes(width: int, blocks: int) -> None:
    """Raise UserError if the number of channels is below 1 or the number of residual blocks is negative."""
    check_at_least("net.width", width, 1)
    check_at_least("net.blocks", blocks, 0)
