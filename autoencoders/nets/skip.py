"""Encoder and decoder with additive skip connections.

This net has a much smaller reconstruction error than a net with a bottleneck, because the decoder also receives large
feature maps of the encoder, which have nearly as many values as the image. The code is the concatenation of all feature
maps that the decoder receives, so that reports show how large the code really is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import require


def sizes_and_factors(shape: Shape) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (height, width) of the image and of each feature map, and the pooling factors between these sizes.

    Height and width are divided by 4 if both are at least 16, otherwise by 2. The last map has a height or width of 1.
    For example, images with 64 x 64 pixels have maps with heights 16, 4, 2 and 1.

    Raises:
        UserError: if the images are smaller than 4 x 4 pixels.
    """
    if min(shape[1:]) < 4:
        raise UserError(
            f"Images must have at least 4 x 4 pixels with net=skip, got {shape[1]} x {shape[2]}. Choose net=mlp."
        )
    height, width = shape[1:]
    sizes, factors = [(height, width)], []
    while min(height, width) > 1:
        factor = 4 if min(height, width) >= 16 else 2
        height, width = height // factor, width // factor
        factors.append(factor)
        sizes.append((height, width))
    return sizes, factors


def map_shapes(shape: Shape, widths: Sequence[int], bottleneck: int) -> list[Shape]:
    """Return (C, H, W) of each feature map that the decoder receives, from the largest map to the smallest.

    Args:
        shape: (C, H, W) of an image.
        widths: number of channels of each map except the smallest. If the list is too short, its last value is
            repeated.
        bottleneck: number of channels of the smallest map.

    Raises:
        UserError: if `widths` is empty or contains a value below 1, or if the images are smaller than 4 x 4 pixels.
    """
    require(bool(widths) and min(widths) >= 1, "net.widths", list(widths), "a non-empty list of channel numbers >= 1")
    sizes = sizes_and_factors(shape)[0][1:]
    counts = [widths[min(i, len(widths) - 1)] for i in range(len(sizes) - 1)]
    return [(count, *size) for count, size in zip([*counts, bottleneck], sizes, strict=True)]


class Encoder(Net):
    """Map images to codes. A code is the concatenation of all flattened feature maps.

    Each feature map is computed by a 3 x 3 convolution, ReLU and max-pooling.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        bottleneck: number of channels of the last and smallest map.
        widths: number of channels of each other map, from the largest map to the smallest; see `map_shapes`.

    Raises:
        UserError: if the images are too small, or if `widths` is invalid.
    """

    def __init__(
        self, shape: Shape, context_size: int = 0, bottleneck: int = 200, widths: Sequence[int] = (32, 64, 256)
    ) -> None:
        super().__init__()
        shapes = map_shapes(shape, widths, bottleneck)
        counts = [shape[0], *(m[0] for m in shapes)]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(counts))
        self.contexts = _context_layers(context_size, counts[1:])
        self.pools = nn.ModuleList(nn.MaxPool2d(factor) for factor in sizes_and_factors(shape)[1])
        self.features = self.code = sum(math.prod(m) for m in shapes)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return codes (B, Z) for images `x` (B, C, H, W) and the context (B, K) or None."""
        maps = []
        for i, (convolution, pool) in enumerate(zip(self.convolutions, self.pools, strict=True)):
            x = convolution(x)
            if self.contexts:
                x = x + self.contexts[i](context)[:, :, None, None]
            x = pool(torch.relu(x))
            maps.append(x.flatten(1))
        return torch.cat(maps, dim=1)


class Decoder(Net):
    """Map codes to output images with transposed convolutions, before the output activation.

    The code contains the feature maps of the encoder. After each transposed convolution except the last, the encoder
    map with the same size is added.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        bottleneck: number of channels of the smallest map.
        widths: number of channels of each other map, from the largest map to the smallest; see `map_shapes`.

    Raises:
        UserError: if the images are too small, or if `widths` is invalid.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        bottleneck: int = 200,
        widths: Sequence[int] = (32, 64, 256),
    ) -> None:
        super().__init__()
        self.maps = map_shapes(shape, widths, bottleneck)[::-1]  # smallest first
        self._lengths = [math.prod(m) for m in self.maps[::-1]]
        joined = inputs - sum(self._lengths)
        self.joined = nn.Linear(joined, bottleneck, bias=False) if joined else None
        sizes, factors = sizes_and_factors(shape)
        sizes, factors = sizes[::-1], factors[::-1]  # smallest first
        counts = [*(m[0] for m in self.maps), shape[0]]
        steps = []
        for i, factor in enumerate(factors):
            small, large = sizes[i], sizes[i + 1]
            padding = (large[0] - factor * small[0], large[1] - factor * small[1])  # above 0 after a remainder
            steps.append(nn.ConvTranspose2d(counts[i], counts[i + 1], factor, stride=factor, output_padding=padding))
        self.steps, self.contexts = nn.ModuleList(steps), _context_layers(context_size, counts[1:-1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
        *flat, joined = z.split([*self._lengths, z.shape[1] - sum(self._lengths)], dim=1)
        maps = [values.unflatten(1, m) for values, m in zip(flat[::-1], self.maps, strict=True)]
        x = maps[0]
        if self.joined is not None:
            x = x + self.joined(joined)[:, :, None, None]
        for i, step in enumerate(self.steps[:-1]):
            x = step(x)
            if self.contexts:
                x = x + self.contexts[i](context)[:, :, None, None]
            x = torch.relu(x) + maps[i + 1]
        return self.steps[-1](x)


def _context_layers(context_size: int, counts: Sequence[int]) -> nn.ModuleList | None:
    """Return one linear layer per feature map, or None without a context.

    Each layer maps the context to one bias per channel of the feature map.

    Args:
        context_size: K, size of the context; 0 for no context.
        counts: number of channels of each feature map.
    """
    if not context_size:
        return None
    return nn.ModuleList(nn.Linear(context_size, count, bias=False) for count in counts)
