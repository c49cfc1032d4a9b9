"""Encoder and decoder that start as PCA and learn corrections on feature maps of decreasing resolution.

As in `net=residual`, the corrections of the PCA code and of the PCA reconstruction start at zero. Here the feature maps
are halved from level to level while the number of channels grows, so that most weights work on few positions: a
training step on faces of 64 x 64 pixels needs two thirds of the arithmetic of `net=residual`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.nets.blocks import Block, convolution
from autoencoders.nets.corrected_pca import CorrectedPCADecoder, CorrectedPCAEncoder
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import check_at_least

WIDTHS = (64, 128, 256)
"""Channels of the feature maps, from the finest to the coarsest level."""


class Encoder(CorrectedPCAEncoder):
    """Map images to features: a code, followed by spatial means of the coarsest feature map.

    The code is the sum of the PCA coordinates and a learned correction, divided by the standard deviations of the PCA
    coordinates.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all residual blocks receive; 0 for no context.
        components: Z, number of principal components, which is also the size of the code.
        patch: height and width of a patch in pixels, which becomes one position of the finest feature map.
        widths: numbers of channels, from the finest to the coarsest level. Each level halves height and width.
        blocks: number of residual blocks per level.
        separable: use depthwise separable convolutions, see `blocks.convolution`.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        components: int = 200,
        patch: int = 4,
        widths: Sequence[int] = WIDTHS,
        blocks: int = 1,
        separable: bool = False,
    ) -> None:
        _check_sizes(widths, blocks)
        super().__init__(shape, components, patch)
        sources = (2 * self.patches.channels, *widths[:-1])
        self.enter = nn.ModuleList(
            convolution(source, width, 2 if level else 1, separable)
            for level, (source, width) in enumerate(zip(sources, widths, strict=True))
        )
        self.blocks = _build_blocks(widths, blocks, context_size, separable)
        positions = math.prod(_level_sizes(self.patches.size, len(widths))[-1])
        self.build_correction(widths[-1], positions)

    def feature_map(self, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map, before the ReLU; see `CorrectedPCAEncoder.feature_map`."""
        h = patches
        for level, (enter, blocks) in enumerate(zip(self.enter, self.blocks, strict=True)):
            h = enter(torch.relu(h) if level else h)
            for block in cast(nn.ModuleList, blocks):
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
        patch: height and width of a patch in pixels, which becomes one position of the finest feature map.
        widths: numbers of channels, from the finest to the coarsest level. Each level halves height and width.
        blocks: number of residual blocks per level.
        separable: use depthwise separable convolutions, see `blocks.convolution`.

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
        widths: Sequence[int] = WIDTHS,
        blocks: int = 1,
        separable: bool = False,
    ) -> None:
        _check_sizes(widths, blocks)
        super().__init__(shape, components, patch)
        self.sizes = _level_sizes(self.patches.size, len(widths))
        self.start = convolution(self.patches.channels, widths[0], separable=separable)
        self.map = nn.Linear(inputs, widths[-1] * math.prod(self.sizes[-1]))
        self.enter = nn.ModuleList(convolution(coarse, fine, separable=separable) for fine, coarse in pairwise(widths))
        self.blocks = _build_blocks(widths, blocks, context_size, separable)
        self.build_output(inputs, widths[0], separable)

    def feature_map(self, z: Tensor, patches: Tensor, context: Tensor | None) -> Tensor:
        """Return the last feature map, before the ReLU; see `CorrectedPCADecoder.feature_map`."""
        h = self.map(z).unflatten(1, (-1, *self.sizes[-1])).contiguous(memory_format=torch.channels_last)
        for level in reversed(range(len(self.sizes))):
            if level < len(self.enter):
                h = F.interpolate(self.enter[level](torch.relu(h)), self.sizes[level])
            if level == 0:
                h = h + self.start(patches)
            for block in cast(nn.ModuleList, self.blocks[level]):
                h = block(h, context)
        return h


def _check_sizes(widths: Sequence[int], blocks: int) -> None:
    """Raise UserError if there is no level, a number of channels is below 1, or `blocks` is negative."""
    if not widths:
        raise UserError("net.widths must contain at least one number of channels, got []. Use [64,128,256].")
    for width in widths:
        check_at_least("net.widths", width, 1)
    check_at_least("net.blocks", blocks, 0)


def _build_blocks(widths: Sequence[int], blocks: int, context_size: int, separable: bool) -> nn.ModuleList:
    """Return the residual blocks of each level, from the finest to the coarsest."""
    levels = [[Block(width, context_size, separable) for _ in range(blocks)] for width in widths]
    return nn.ModuleList(nn.ModuleList(level) for level in levels)


def _level_sizes(finest: tuple[int, ...], levels: int) -> list[tuple[int, ...]]:
    """Return height and width of the feature maps, from the finest to the coarsest level."""
    sizes = [finest]
    for _ in range(levels - 1):
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    return sizes
