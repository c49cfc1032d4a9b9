"""Convolutional encoder and decoder: Conv - BatchNorm - ReLU down to a small map, and ConvTranspose back up."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import check_at_least, require

NORMS = {"batch": nn.BatchNorm2d, "none": nn.Identity}
SMALLEST = 4
"""Smallest side of the last map. Below it, a convolution of stride 2 would cover more padding than image."""


def scales(shape: Shape) -> list[tuple[int, int]]:
    """Return (H, W) at each scale: halved, rounded down, while the smaller side stays at least SMALLEST.

    Raises:
        UserError: if the images are too small to be halved once.
    """
    height, width = shape[1:]
    if min(height, width) < 2 * SMALLEST:
        raise UserError(
            f"net=conv needs images of at least {2 * SMALLEST} x {2 * SMALLEST} pixels, got "
            f"{height} x {width}. Choose net=mlp."
        )
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def channels(count: int, width: int, max_width: int) -> list[int]:
    """Return the channels after each of `count` halvings: doubled each time, up to `max_width`.

    Raises:
        UserError: if `width` is not in 1 .. `max_width`.
    """
    require(1 <= width <= max_width, "net.width", width, f"in 1 .. net.max_width = {max_width}")
    return [min(width * 2**i, max_width) for i in range(count)]


class Block(nn.Module):
    """Convolution - norm - ReLU.

    A context adds a learned bias per channel, which is equivalent to constant input planes.
    """

    def __init__(self, convolution: nn.Module, outputs: int, context_size: int, norm: str) -> None:
        super().__init__()
        require(norm in NORMS, "net.norm", norm, f"one of {list(NORMS)}")
        self.convolution = convolution
        self.context = nn.Linear(context_size, outputs, bias=False) if context_size else None
        self.norm, self.activation = NORMS[norm](outputs), nn.ReLU()

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, C', H', W')."""
        x = self.convolution(x)
        if self.context is not None:
            x = x + self.context(context)[:, :, None, None]
        return self.activation(self.norm(x))


def same_size(channels: int, count: int, context_size: int, norm: str) -> list[Block]:
    """Return `count` blocks of 3 x 3 convolutions that keep size and channels.

    Raises:
        UserError: if `count` is negative.
    """
    check_at_least("net.depth", count + 1, 1)
    bias = norm == "none"
    return [
        Block(nn.Conv2d(channels, channels, 3, padding=1, bias=bias), channels, context_size, norm)
        for _ in range(count)
    ]


class Encoder(Net):
    """Map an image to features: a 4 x 4 convolution of stride 2 per halving, then the flattened last map.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        width: channels after the first halving, doubled at each further halving.
        max_width: maximum number of channels.
        norm: `batch` or `none`.
        depth: convolutions per scale.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        width: int = 32,
        max_width: int = 256,
        norm: str = "batch",
        depth: int = 1,
    ) -> None:
        super().__init__()
        sizes = scales(shape)
        counts = [shape[0], *channels(len(sizes) - 1, width, max_width)]
        blocks = []
        for i, o in pairwise(counts):
            blocks.append(Block(nn.Conv2d(i, o, 4, stride=2, padding=1, bias=norm == "none"), o, context_size, norm))
            blocks += same_size(o, depth - 1, context_size, norm)
        self.blocks = nn.ModuleList(blocks)
        self.features = counts[-1] * math.prod(sizes[-1])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, F)."""
        for block in self.blocks:
            x = block(x, context)
        return x.flatten(1)


class Decoder(Net):
    """Map a code to a raw output image.

    The maps have the sizes of the encoder's in reverse order, matched exactly by output padding.

    Args:
        inputs: size of the code and of the context that is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        width: as for the encoder.
        max_width: as for the encoder.
        norm: `batch` or `none`.
        depth: convolutions per scale.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        width: int = 32,
        max_width: int = 256,
        norm: str = "batch",
        depth: int = 1,
    ) -> None:
        super().__init__()
        sizes = scales(shape)[::-1]
        counts = [*channels(len(sizes) - 1, width, max_width)[::-1], shape[0]]
        self.smallest = (counts[0], *sizes[0])
        blocks: list[Block] = []
        for i, (small, large) in enumerate(pairwise(sizes)):
            padding = (large[0] - 2 * small[0], large[1] - 2 * small[1])  # 1 for an odd side
            last = i == len(sizes) - 2
            bias = last or norm == "none"
            up = nn.ConvTranspose2d(counts[i], counts[i + 1], 4, 2, padding=1, output_padding=padding, bias=bias)
            blocks += same_size(counts[i], depth - 1, context_size, norm)
            if not last:
                blocks.append(Block(up, counts[i + 1], context_size, norm))
        self.start = nn.Linear(inputs + context_size, math.prod(self.smallest), bias=norm == "none")
        self.start_norm = NORMS[norm](counts[0])
        self.blocks, self.output = nn.ModuleList(blocks), up

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        x = self.start(z if context is None else torch.cat([z, context], dim=1)).unflatten(1, self.smallest)
        x = torch.relu(self.start_norm(x))
        for block in self.blocks:
            x = block(x, context)
        return self.output(x)
