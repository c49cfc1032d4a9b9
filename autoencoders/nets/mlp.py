"""Fully connected encoder and decoder. By default, each layer is Linear - BatchNorm - ReLU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.types import Shape
from autoencoders.utils.checks import require
from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pixels import white_level

NORMS = {"batch": nn.BatchNorm1d, "none": nn.Identity}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
INITS = ("torch", "glorot")
CHUNK = 4096
"""Maximum number of images that are averaged in one step. Fewer images are used if they are large."""


def build_linear(inputs: int, outputs: int, bias: bool = True, init: str = "torch") -> nn.Linear:
    """Return a new linear layer.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        bias: whether the layer has a bias.
        init: initialization of the layer. `torch` is the default of `nn.Linear`. `glorot` samples weights uniformly
            between -a and a with a = sqrt(6 / (inputs + outputs)), and sets biases to 0 (Glorot and Bengio,
            "Understanding the difficulty of training deep feedforward neural networks", 2010).
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    if init == "glorot":
        nn.init.xavier_uniform_(layer.weight)
        if bias:
            nn.init.zeros_(layer.bias)
    return layer


class Pyramid(nn.Module):
    """A sequence of fully connected layers: Linear - norm - activation for each width.

    The context is concatenated to the input of every linear layer.

    Args:
        inputs: size of the input vectors.
        widths: output size of each layer.
        context_size: K, size of the context; 0 for no context.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`; see `build_linear`.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        context_size: int = 0,
        norm: str = "batch",
        activation: str = "relu",
        init: str = "torch",
    ) -> None:
        super().__init__()
        require(bool(widths) and min(widths) >= 1, "net.widths", list(widths), "a non-empty list of layer sizes >= 1")
        options = ("norm", norm, NORMS), ("activation", activation, ACTIVATIONS), ("init", init, INITS)
        for name, value, known in options:
            require(value in known, f"net.{name}", value, f"one of {list(known)}")
        sizes = [inputs, *widths]
        layers = []
        for i, o in pairwise(sizes):
            # No bias before batch norm, because batch norm subtracts the mean and so removes the bias.
            layer = build_linear(i + context_size, o, norm == "none", init)
            layers.append(nn.Sequential(layer, NORMS[norm](o), ACTIVATIONS[activation]()))
        self.layers = nn.ModuleList(layers)
        self.features = sizes[-1]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the output (B, last width) for input vectors `x` (B, inputs) and the context (B, K) or None."""
        for layer in self.layers:
            x = layer(x if context is None else torch.cat([x, context], dim=1))
        return x


class Encoder(Net):
    """Map images to features with fully connected layers.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        widths: output size of each layer, from the image to the code.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`; see `build_linear`. It is also used for the layer that computes the posterior
            parameters.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        widths: Sequence[int] = (768, 384, 128),
        norm: str = "batch",
        activation: str = "relu",
        init: str = "torch",
    ) -> None:
        super().__init__()
        self.pyramid = Pyramid(math.prod(shape), widths, context_size, norm, activation, init)
        self.features, self.init = self.pyramid.features, init

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """Return a new linear layer that maps the features to the posterior parameters.

        It is initialized like the layers of this encoder.

        Args:
            inputs: number of inputs of the layer.
            outputs: number of outputs of the layer.
        """
        return build_linear(inputs, outputs, init=self.init)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return features (B, F) for images `x` (B, C, H, W) and the context (B, K) or None."""
        return self.pyramid(x.flatten(1), context)


class Decoder(Net):
    """Map codes to output images with fully connected layers, before the output activation.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all layers receive; 0 for no context.
        widths: output size of each layer of the encoder, from the image to the code. The decoder uses these sizes in
            reverse order.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`; see `build_linear`.
        mean_start: whether `initialize` sets the bias of the output layer to the logits of the mean training image. Use
            this option with likelihoods that apply a sigmoid.

    Raises:
        UserError: if an option is invalid.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        widths: Sequence[int] = (768, 384, 128),
        norm: str = "batch",
        activation: str = "relu",
        init: str = "torch",
        mean_start: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.mean_start = shape, mean_start
        self.pyramid = Pyramid(inputs, list(reversed(widths)), context_size, norm, activation, init)
        self.output = build_linear(self.pyramid.features + context_size, math.prod(shape), init=init)

    def initialize(self, images: Tensor) -> None:
        """Set the bias of the output layer to the logits of the mean training image, if `mean_start` is True.

        The mean image is clamped to [0.001, 0.999].

        Args:
            images: (N, C, H, W) training images, uint8 or uint16.
        """
        if self.mean_start:
            pixels = math.prod(self.shape)
            total = torch.zeros(pixels, dtype=torch.float64, device=images.device)
            for rows in chunk_slices(len(images), 8 * pixels, CHUNK):
                total += images[rows].flatten(1).double().sum(0)
            mean = (total / (white_level(images.dtype) * len(images))).clamp(1e-3, 1 - 1e-3)
            with torch.no_grad():
                self.output.bias.copy_(mean.logit())

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
        h = self.pyramid(z, context)
        h = self.output(h if context is None else torch.cat([h, context], dim=1))
        return h.unflatten(1, self.shape)
