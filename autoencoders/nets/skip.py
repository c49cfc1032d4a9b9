"""Encoder and decoder with additive skip connections. The code contains every map that the decoder receives.

Such a net reconstructs much better than a net with a bottleneck, but its code is not small: the maps that skip the
bottleneck have nearly as many values as the image. They are counted as the code here, so that reports show its real
size.
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
    """Return (H, W) of the image and of every map, and the factors between them.

    Sides are divided by 4 while the smaller side has at least 16 pixels, then by 2, until it has one pixel: for
    example 64, 16, 4, 2, 1.

    Raises:
        UserError: if the images are smaller than 4 x 4 pixels.
    """
    if min(shape[1:]) < 4:
        raise UserError(f"net=skip needs images of at least 4 x 4 pixels, got {shape[1]} x {shape[2]}. Choose net=mlp.")
    height, width = shape[1:]
    sizes, factors = [(height, width)], []
    while min(height, width) > 1:
        factor = 4 if min(height, width) >= 16 else 2
        height, width = height // factor, width // factor
        factors.append(factor)
        sizes.append((height, width))
    return sizes, factors


def map_shapes(shape: Shape, widths: Sequence[int], bottleneck: int) -> list[Shape]:
    """Return (C, H, W) of every map that the decoder receives, from the largest to the smallest.

    If there are fewer `widths` than maps before the bottleneck, the last width is repeated.

    Raises:
        UserError: if `widths` is empty or has a value below 1.
    """
    require(bool(widths) and min(widths) >= 1, "net.widths", list(widths), "a list of channel counts of at least 1")
    sizes = sizes_and_factors(shape)[0][1:]
    counts = [widths[min(i, len(widths) - 1)] for i in range(len(sizes) - 1)]
    return [(count, *size) for count, size in zip([*counts, bottleneck], sizes, strict=True)]


class Encoder(Net):
    """Map an image to a code: 3 x 3 convolution, ReLU and max-pooling per map. The code is all maps, flattened.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        bottleneck: channels of the last, smallest map.
        widths: channels of the maps before it.
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
        """(B, C, H, W) and (B, K) or None -> (B, Z)."""
        maps = []
        for i, (convolution, pool) in enumerate(zip(self.convolutions, self.pools, strict=True)):
            x = convolution(x)
            if self.contexts:
                x = x + self.contexts[i](context)[:, :, None, None]
            x = pool(torch.relu(x))
            maps.append(x.flatten(1))
        return torch.cat(maps, dim=1)


class Decoder(Net):
    """Map a code to a raw output image: transposed convolutions; the encoder's map of each size is added.

    Args:
        inputs: size of the code and of the context that is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        bottleneck: as for the encoder.
        widths: as for the encoder.
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
            padding = (large[0] - factor * small[0], large[1] - factor * small[1])  # above 0 if a side did not divide
            steps.append(nn.ConvTranspose2d(counts[i], counts[i + 1], factor, stride=factor, output_padding=padding))
        self.steps, self.contexts = nn.ModuleList(steps), _context_layers(context_size, counts[1:-1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
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
    """Return one linear layer per map from the context to a bias per channel, or None without a context.

    Such a bias is equivalent to constant input planes.
    """
    if not context_size:
        return None
    return nn.ModuleList(nn.Linear(context_size, count, bias=False) for count in counts)
