"""Fully connected encoder and decoder: Linear - BatchNorm - ReLU per layer; optionally no norm, or tanh."""

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

NORMS = {"batch": nn.BatchNorm1d, "none": nn.Identity}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
INITS = ("torch", "glorot")
CHUNK = 4096
"""Most images that are averaged in one step; fewer if the images are large."""


def build_linear(inputs: int, outputs: int, bias: bool = True, init: str = "torch") -> nn.Linear:
    """Return a linear layer, initialized by torch's default or by `glorot`.

    Glorot: weights uniform within sqrt(6 / (inputs + outputs)), biases 0 (Glorot and Bengio, "Understanding the
    difficulty of training deep feedforward neural networks", 2010).
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    if init == "glorot":
        nn.init.xavier_uniform_(layer.weight)
        if bias:
            nn.init.zeros_(layer.bias)
    return layer


class Pyramid(nn.Module):
    """Linear - norm - activation for each width; the context is joined to the input of every Linear.

    Args:
        inputs: size of the input vectors.
        widths: output size of each layer.
        context_size: K, size of the context vectors; 0 for none.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`; see `build_linear`.
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
        require(bool(widths) and min(widths) >= 1, "net.widths", list(widths), "a list of layer sizes of at least 1")
        options = ("norm", norm, NORMS), ("activation", activation, ACTIVATIONS), ("init", init, INITS)
        for name, value, known in options:
            require(value in known, f"net.{name}", value, f"one of {list(known)}")
        sizes = [inputs, *widths]
        layers = []
        for i, o in pairwise(sizes):
            # Batch norm subtracts the mean, which cancels a bias.
            layer = build_linear(i + context_size, o, norm == "none", init)
            layers.append(nn.Sequential(layer, NORMS[norm](o), ACTIVATIONS[activation]()))
        self.layers = nn.ModuleList(layers)
        self.features = sizes[-1]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, features)."""
        for layer in self.layers:
            x = layer(x if context is None else torch.cat([x, context], dim=1))
        return x


class Encoder(Net):
    """Map an image to features.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        widths: layer sizes, from the image to the code.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`, for these layers and for the layer of the posterior's parameters.
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
        """Return the layer of the posterior's parameters, initialized like the layers of this net."""
        return build_linear(inputs, outputs, init=self.init)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, F)."""
        return self.pyramid(x.flatten(1), context)


class Decoder(Net):
    """Map a code to a raw output image.

    Args:
        inputs: size of the code and of the context that is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every layer; 0 for none.
        widths: layer sizes, from the image to the code, as for the encoder; the decoder uses them in reverse order.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`.
        mean_start: start at the mean training image: the bias of the output layer becomes its logits. Use it with
            likelihoods that apply a sigmoid.
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
        """With `mean_start`, set the output bias to the logits of the mean training image, clamped to [.001, .999].

        Args:
            images: (N, C, H, W) uint8 training images.
        """
        if self.mean_start:
            pixels = math.prod(self.shape)
            total = torch.zeros(pixels, dtype=torch.float64, device=images.device)
            for rows in chunk_slices(len(images), 8 * pixels, CHUNK):
                total += images[rows].flatten(1).double().sum(0)
            mean = (total / (255 * len(images))).clamp(1e-3, 1 - 1e-3)
            with torch.no_grad():
                self.output.bias.copy_(mean.logit())

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        h = self.pyramid(z, context)
        h = self.output(h if context is None else torch.cat([h, context], dim=1))
        return h.unflatten(1, self.shape)
