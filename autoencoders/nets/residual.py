"""PCA with a convolutional correction: starts as the best linear autoencoder, and learns what that leaves over.

Encoder and decoder each add a convolutional branch, whose last layer starts at zero, to the projection on the
principal components of the training images, which stays as it is: no linear code of that size is better. Before
the first step the net reconstructs exactly as PCA does.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.nets import conv
from autoencoders.principal import principal_components
from autoencoders.types import Shape, UserError


class Encoder(nn.Module):
    """Image -> code: its coordinates on the components, in units of their standard deviation, plus a correction.

    Args:
        shape: (C, H, W).
        condition: K, size of a context joined at every layer of the branch; 0 for none.
        components: Z; the first Z features are the code itself.
        **branch: width, max_width, norm and depth of the branch, as in `autoencoders.nets.conv`.
    """

    def __init__(self, shape: Shape, condition: int = 0, components: int = 200, **branch: Any) -> None:
        super().__init__()
        self.branch = conv.Encoder(shape, condition, **branch)
        self.correction = nn.Linear(self.branch.features, components)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.register_buffer("average", torch.zeros(math.prod(shape)))
        self.register_buffer("projection", torch.zeros(components, math.prod(shape)))
        self.features = self.code = components

    def initialise(self, images: Tensor) -> None:
        """Take mean and components from the uint8 training images, (N, C, H, W)."""
        average, components, variances = principal_components(images, self.code)
        self.average.copy_(average)
        self.projection.copy_(components / variances.sqrt()[:, None])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, Z)."""
        return (x.flatten(1) - self.average) @ self.projection.T + self.correction(self.branch(x, context))


class Decoder(nn.Module):
    """Code -> raw output image: the linear reconstruction plus a correction that starts at zero.

    Args:
        inputs: size of the code, with whatever is joined to it.
        shape: (C, H, W).
        condition: K, size of a context joined at every layer of the branch; 0 for none.
        components: Z; the first Z inputs are the coordinates.
        **branch: width, max_width, norm and depth of the branch, as in `autoencoders.nets.conv`.
    """

    def __init__(self, inputs: int, shape: Shape, condition: int = 0, components: int = 200, **branch: Any) -> None:
        super().__init__()
        if inputs < components:
            raise UserError(f"net.components must be at most latent_dim = {inputs}, and is {components}.")
        self.shape, self.code = tuple(shape), components
        self.branch = conv.Decoder(inputs, shape, condition, **branch)
        nn.init.zeros_(self.branch.output.weight)
        nn.init.zeros_(self.branch.output.bias)
        self.register_buffer("average", torch.zeros(math.prod(shape)))
        self.register_buffer("components", torch.zeros(components, math.prod(shape)))

    def initialise(self, images: Tensor) -> None:
        """Take mean and components from the uint8 training images, (N, C, H, W)."""
        average, components, variances = principal_components(images, self.code)
        self.average.copy_(average)
        self.components.copy_(components * variances.sqrt()[:, None])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        linear = self.average + z[:, : self.code] @ self.components
        return linear.unflatten(1, self.shape) + self.branch(z, context)
