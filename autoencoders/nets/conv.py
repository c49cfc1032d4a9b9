"""Convolutional encoder and decoder with layers Conv - BatchNorm - ReLU. The decoder uses transposed convolutions."""

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
"""Minimum height and width of the last feature map.

On a smaller feature map, a convolution with stride 2 would read more padding than image values.
"""


def scales(shape: Shape) -> list[tuple[int, int]]:
    """Return (height, width) of the image and of each feature map, from the largest to the smallest.

    Height and width are halved and rounded down, as long as the smaller one is still at least SMALLEST.

    Raises:
        UserError: if the images are too small to be halved once.
    """
    height, width = shape[1:]
    if min(height, width) < 2 * SMALLEST:
        raise UserError(
            f"Images must have at least {2 * SMALLEST} x {2 * SMALLEST} pixels with net=conv, got "
            f"{height} x {width}. Choose net=mlp."
        )
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def channels(count: int, width: int, max_width: int) -> list[int]:
    """Return the number of channels of each feature map.

    The first map has `width` channels. The number is doubled at each further map, up to `max_width`.

    Args:
        count: number of feature maps.
        width: number of channels of the first map.
        max_width: maximum number of channels.

    Raises:
        UserError: if `width` is not between 1 and `max_width`.
    """
    require(1 <= width <= max_width, "net.width", width, f"between 1 and net.max_width = {max_width}")
    return [min(width * 2**i, max_width) for i in range(count)]


class Block(nn.Module):
    """A convolution, a normalization layer and ReLU.

    A linear function of the context is added to each output channel of the convolution, like a bias.

    Args:
        convolution: convolution or transposed convolution.
        outputs: number of output channels of the convolution.
        context_size: K, size of the context; 0 for no context.
        norm: `batch` or `none`.
    """

    def __init__(self, convolution: nn.Module, outputs: int, context_size: int, norm: str) -> None:
        super().__init__()
        require(norm in NORMS, "net.norm", norm, f"one of {list(NORMS)}")
        self.convolution = convolution
        self.context = nn.Linear(context_size, outputs, bias=False) if context_size else None
        self.norm, self.activation = NORMS[norm](outputs), nn.ReLU()

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the output maps (B, C', H', W') for input maps `x` (B, C, H, W) and the context (B, K) or None."""
        x = self.convolution(x)
        if self.context is not None:
            x = x + self.context(context)[:, :, None, None]
        return self.activation(self.norm(x))


def same_size(channels: int, count: int, context_size: int, norm: str) -> list[Block]:
    """Return `count` blocks with 3 x 3 convolutions that preserve the map size and the number of channels.

    Raises:
        UserError: if `count` is negative, that is, if `net.depth` is below 1.
    """
    check_at_least("net.depth", count + 1, 1)
    bias = norm == "none"
    return [
        Block(nn.Conv2d(channels, channels, 3, padding=1, bias=bias), channels, context_size, norm)
        for _ in range(count)
    ]


class Encoder(Net):
    """Map images to features with 4 x 4 convolutions with stride 2. The features are the flattened last map.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        width: number of channels of the largest feature map. It is doubled at each smaller map.
        max_width: maximum number of channels.
        norm: `batch` or `none`.
        depth: number of convolutions per map size. All except the first have 3 x 3 kernels and stride 1.

    Raises:
        UserError: if the images are too small, or if an option is invalid.
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
        """Return features (B, F) for images `x` (B, C, H, W) and the context (B, K) or None."""
        for block in self.blocks:
            x = block(x, context)
        return x.flatten(1)


class Decoder(Net):
    """Map codes to output images, before the output activation.

    The feature maps have the same sizes as in the encoder, in reverse order. Output padding makes odd sizes match.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        width: number of channels of the largest feature map. It is doubled at each smaller map.
        max_width: maximum number of channels.
        norm: `batch` or `none`.
        depth: number of convolutions per map size. All except the transposed convolution have 3 x 3 kernels.

    Raises:
        UserError: if the images are too small, or if an option is invalid.
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
            padding = (large[0] - 2 * small[0], large[1] - 2 * small[1])  # 1 for an odd height or width
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
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
        x = self.start(z if context is None else torch.cat([z, context], dim=1)).unflatten(1, self.smallest)
        x = torch.relu(self.start_norm(x))
        for block in self.blocks:
            x = block(x, context)
        return self.output(x)
