"""Fully connected pyramid: Linear - BatchNorm - ReLU at each width, or without the norm, or with tanh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.types import Shape, UserError
from autoencoders.utils.chunks import chunk_slices

NORMS = {"batch": nn.BatchNorm1d, "none": nn.Identity}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
INITS = ("torch", "glorot")
CHUNK = 4096
"""Images that are averaged at once, unless they are large."""


def linear(inputs: int, outputs: int, bias: bool = True, init: str = "torch") -> nn.Linear:
    """A dense layer, initialized as torch does, or `glorot`.

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
    """Linear - norm - activation for each width in turn, the context joined to the input of every Linear.

    Args:
        inputs: size of the input vectors.
        widths: output size of each layer.
        context_size: K, size of the context vectors; 0 for none.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`; see `linear`.
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
        if not widths or min(widths) < 1:
            raise UserError(f"net.widths must list at least one layer size from 1 up, and is {list(widths)}.")
        options = ("norm", norm, NORMS), ("activation", activation, ACTIVATIONS), ("init", init, INITS)
        for name, value, known in options:
            if value not in known:
                raise UserError(f"net.{name} must be one of {list(known)}, and is {value!r}.")
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(
            # A bias before a batch norm would be subtracted again by it.
            nn.Sequential(linear(i + context_size, o, norm == "none", init), NORMS[norm](o), ACTIVATIONS[activation]())
            for i, o in pairwise(sizes)
        )
        self.features = sizes[-1]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, features)."""
        for layer in self.layers:
            x = layer(x if context is None else torch.cat([x, context], dim=1))
        return x


class Encoder(nn.Module):
    """Image -> features.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context joined at every layer; 0 for none.
        widths: layer sizes from the image inwards.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`, of these layers and of the one that gives the posterior's numbers.
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
        self.features, self.linear = self.pyramid.features, partial(linear, init=init)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, F)."""
        return self.pyramid(x.flatten(1), context)


class Decoder(nn.Module):
    """Code -> raw output image.

    Args:
        inputs: size of the code, with whatever is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context joined at every layer; 0 for none.
        widths: layer sizes from the image inwards, as the encoder's: the decoder mirrors them.
        norm: `batch` or `none`.
        activation: `relu` or `tanh`.
        init: `torch` or `glorot`.
        mean_start: start at the mean training image, whose logits become the output's bias: for likelihoods with a
            sigmoid.
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
        self.shape, self.mean_start = tuple(shape), mean_start
        self.pyramid = Pyramid(inputs, list(reversed(widths)), context_size, norm, activation, init)
        self.output = linear(self.pyramid.features + context_size, math.prod(shape), init=init)

    def initialize(self, images: Tensor) -> None:
        """Where asked to, start at the mean of the uint8 training images, (N, C, H, W), within [.001, .999]."""
        if self.mean_start:
            each = chunk_slices(len(images), 8 * math.prod(self.shape), CHUNK)
            total = sum(images[part].flatten(1).double().sum(0) for part in each)
            mean = (total / (255 * len(images))).clamp(1e-3, 1 - 1e-3)
            with torch.no_grad():
                self.output.bias.copy_(mean.logit())

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        h = self.pyramid(z, context)
        h = self.output(h if context is None else torch.cat([h, context], dim=1))
        return h.unflatten(1, self.shape)
