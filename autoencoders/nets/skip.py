"""An autoencoder with additive skip connections, whose code is everything that passes from encoder to decoder.

Such a net reconstructs far better than one with a bottleneck, and is no way to make a small code: the maps that
skip the bottleneck hold nearly as many numbers as the image. Here they are the code, so that whatever reports the
code's size tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.types import Shape, UserError


def sizes_and_factors(shape: Shape) -> tuple[list[tuple[int, int]], list[int]]:
    """(H, W) of the image and of every map after it, down to one pixel, and by what each was divided.

    By 4 while the smaller side has 16 pixels or more, then by 2: 64, 16, 4, 2, 1.
    """
    if min(shape[1:]) < 4:
        raise UserError(f"net=skip needs images of at least 4 x 4 pixels, and these have {shape[1]} x {shape[2]}.")
    sizes, factors = [tuple(shape[1:])], []
    while min(sizes[-1]) > 1:
        factors.append(4 if min(sizes[-1]) >= 16 else 2)
        sizes.append(tuple(side // factors[-1] for side in sizes[-1]))
    return sizes, factors


def maps(shape: Shape, widths: Sequence[int], bottleneck: int) -> list[Shape]:
    """(C, H, W) of every map that passes to the decoder, the finest first; the last width serves all that follow."""
    if not widths or min(widths) < 1:
        raise UserError(f"net.widths must be channels from 1 up, and is {list(widths)}.")
    sizes = sizes_and_factors(shape)[0][1:]
    counts = [widths[min(i, len(widths) - 1)] for i in range(len(sizes) - 1)]
    return [(count, *size) for count, size in zip([*counts, bottleneck], sizes, strict=True)]


class Encoder(nn.Module):
    """Image -> code: 3 x 3 convolution, ReLU and max-pooling per map; all maps, flattened and joined.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context joined at every layer; 0 for none.
        bottleneck: channels of the last and smallest map.
        widths: channels of those before.
    """

    def __init__(
        self, shape: Shape, context_size: int = 0, bottleneck: int = 200, widths: Sequence[int] = (32, 64, 256)
    ) -> None:
        super().__init__()
        passed = maps(shape, widths, bottleneck)
        counts = [shape[0], *(m[0] for m in passed)]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(counts))
        self.contexts = _contexts(context_size, counts[1:])
        self.pools = nn.ModuleList(nn.MaxPool2d(factor) for factor in sizes_and_factors(shape)[1])
        self.features = self.code = sum(math.prod(m) for m in passed)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, Z)."""
        passed = []
        for i, (convolution, pool) in enumerate(zip(self.convolutions, self.pools, strict=True)):
            x = convolution(x)
            if self.contexts:
                x = x + self.contexts[i](context)[:, :, None, None]
            x = pool(torch.relu(x))
            passed.append(x.flatten(1))
        return torch.cat(passed, dim=1)


class Decoder(nn.Module):
    """Code -> raw output image: transposed convolutions, and at each size the map that skipped to it is added.

    Args:
        inputs: size of the code, with whatever is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context joined at every layer; 0 for none.
        bottleneck: as the encoder's.
        widths: as the encoder's.
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
        self.maps = maps(shape, widths, bottleneck)[::-1]
        self._lengths = [math.prod(m) for m in self.maps[::-1]]
        joined = inputs - sum(self._lengths)
        self.joined = nn.Linear(joined, bottleneck, bias=False) if joined else None
        sizes, factors = sizes_and_factors(shape)
        counts = [*(m[0] for m in self.maps), shape[0]]
        steps = []
        for i, o, small, large, factor in zip(
            counts, counts[1:], sizes[:0:-1], sizes[-2::-1], factors[::-1], strict=False
        ):
            rest = tuple(b - factor * a for a, b in zip(small, large, strict=True))  # sides that did not divide
            steps.append(nn.ConvTranspose2d(i, o, factor, stride=factor, output_padding=rest))
        self.steps, self.contexts = nn.ModuleList(steps), _contexts(context_size, counts[1:-1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        *passed, joined = z.split([*self._lengths, z.shape[1] - sum(self._lengths)], dim=1)
        passed = [part.unflatten(1, m) for part, m in zip(passed[::-1], self.maps, strict=True)]
        x = passed[0]
        if self.joined is not None:
            x = x + self.joined(joined)[:, :, None, None]
        for i, step in enumerate(self.steps[:-1]):
            x = step(x)
            if self.contexts:
                x = x + self.contexts[i](context)[:, :, None, None]
            x = torch.relu(x) + passed[i + 1]
        return self.steps[-1](x)


def _contexts(context_size: int, counts: Sequence[int]) -> nn.ModuleList | None:
    """A learned bias per channel and layer from the context, as constant input planes would give."""
    return nn.ModuleList(nn.Linear(context_size, count, bias=False) for count in counts) if context_size else None
