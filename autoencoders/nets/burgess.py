"""Convolutional encoder and decoder of the literature on disentanglement (Burgess et al., 2018), for any image size.

For 64 x 64 pixels, the encoder has four 4 x 4 convolutions with stride 2 and 32 channels, then two hidden layers with
256 units. The decoder is the transpose of the encoder. All activations are ReLU, and there is no normalization.

Source: Burgess et al., "Understanding disentangling in beta-VAE", 2018, appendix A.1. Locatello et al., "Challenging
common assumptions in the unsupervised learning of disentangled representations", 2019, use 32, 32, 64 and 64 channels
and one hidden layer: channels=[32,32,64,64] hidden=[256].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.nets.conv import Block
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import require

CHANNELS, HIDDEN = (32, 32, 32, 32), (256, 256)
"""Default numbers of channels of the convolutions, and of units of the hidden layers."""
SMALLEST = 3
"""Minimum height and width of the last feature map. Smaller images have fewer convolutions: three for 28 to 47 pixels,
as in other implementations for 32 x 32 pixels."""


def map_sizes(shape: Shape, count: int) -> list[tuple[int, int]]:
    """Return (height, width) of the image and of up to `count` feature maps, each half as large and rounded down.

    Raises:
        UserError: if the images are too small to be halved once.
    """
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= count and min(sizes[-1]) >= 2 * SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise UserError(
            f"Images must have at least {2 * SMALLEST} x {2 * SMALLEST} pixels with net=burgess, got "
            f"{shape[1]} x {shape[2]}. Choose net=mlp."
        )
    return sizes


def _check(name: str, values: Sequence[int]) -> list[int]:
    """Return the numbers of channels or units as a list, or raise UserError if there are none or one is below 1."""
    valid = len(values) > 0 and all(isinstance(value, int) and value >= 1 for value in values)
    require(valid, f"net.{name}", list(values), "a list of integers >= 1")
    return list(values)


class Layer(nn.Module):
    """A fully connected layer with ReLU, whose inputs include the context.

    Args:
        inputs: number of inputs without the context.
        outputs: number of outputs.
        context_size: K, size of the context; 0 for no context.
    """

    def __init__(self, inputs: int, outputs: int, context_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs + context_size, outputs)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        """Return the outputs (B, `outputs`) for inputs `h` (B, `inputs`) and the context (B, K) or None."""
        return torch.relu(self.linear(h if context is None else torch.cat([h, context], dim=1)))


class Encoder(Net):
    """Map images to the features of the last hidden layer.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        channels: numbers of channels of the convolutions, from the image to the code. The last ones are not used for
            images that are too small to be halved so often.
        hidden: numbers of units of the hidden layers, from the convolutions to the code.

    Raises:
        UserError: if the images are too small, or if an option is invalid.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        channels: Sequence[int] = CHANNELS,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        channels, hidden = _check("channels", channels), _check("hidden", hidden)
        sizes = map_sizes(shape, len(channels))
        counts = [shape[0], *channels[: len(sizes) - 1]]
        self.blocks = nn.ModuleList(
            Block(nn.Conv2d(i, o, 4, stride=2, padding=1), o, context_size, "none") for i, o in pairwise(counts)
        )
        widths = [counts[-1] * math.prod(sizes[-1]), *hidden]
        self.layers = nn.ModuleList(Layer(i, o, context_size) for i, o in pairwise(widths))
        self.features = hidden[-1]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return features (B, F) for images `x` (B, C, H, W) and the context (B, K) or None."""
        for block in self.blocks:
            x = block(x, context)
        h = x.flatten(1)
        for layer in self.layers:
            h = layer(h, context)
        return h


class Decoder(Net):
    """Map codes to output images, before the output activation. The layers are those of the encoder in reverse order.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        channels: numbers of channels of the encoder.
        hidden: numbers of units of the hidden layers of the encoder.

    Raises:
        UserError: if the images are too small, or if an option is invalid.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        channels: Sequence[int] = CHANNELS,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        channels, hidden = _check("channels", channels), _check("hidden", hidden)
        sizes = map_sizes(shape, len(channels))[::-1]
        counts = [*channels[: len(sizes) - 1][::-1], shape[0]]
        self.smallest = (counts[0], *sizes[0])
        widths = [inputs, *hidden[::-1], math.prod(self.smallest)]
        self.layers = nn.ModuleList(Layer(i, o, context_size) for i, o in pairwise(widths))
        ups = []
        for (i, o), (small, large) in zip(pairwise(counts), pairwise(sizes), strict=True):
            padding = (large[0] - 2 * small[0], large[1] - 2 * small[1])  # 1 for an odd height or width
            ups.append(nn.ConvTranspose2d(i, o, 4, 2, padding=1, output_padding=padding))
        self.blocks = nn.ModuleList(Block(up, up.out_channels, context_size, "none") for up in ups[:-1])
        self.output = ups[-1]

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
        h = z
        for layer in self.layers:
            h = layer(h, context)
        x = h.unflatten(1, self.smallest)
        for block in self.blocks:
            x = block(x, context)
        return self.output(x)
