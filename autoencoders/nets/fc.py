"""Fully connected pyramid: Linear - BatchNorm - ReLU at each width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencoders.types import Shape, UserError

NORMS = {"batch": nn.BatchNorm1d, "none": nn.Identity}


class Pyramid(nn.Module):
    """Linear - norm - ReLU for each width in turn, the context joined to the input of every Linear.

    Args:
        inputs: size of the input vectors.
        widths: output size of each layer.
        condition: K, size of the context vectors; 0 for none.
        norm: `batch` or `none`.
    """

    def __init__(self, inputs: int, widths: Sequence[int], condition: int = 0, norm: str = "batch") -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise UserError(f"net.widths must list at least one layer size from 1 up, and is {list(widths)}.")
        if norm not in NORMS:
            raise UserError(f"net.norm must be one of {list(NORMS)}, and is {norm!r}.")
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(
            # A bias before a batch norm would be subtracted again by it.
            nn.Sequential(nn.Linear(i + condition, o, bias=norm == "none"), NORMS[norm](o), nn.ReLU())
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
        condition: K, size of a context joined at every layer; 0 for none.
        widths: layer sizes from the image inwards.
        norm: `batch` or `none`.
    """

    def __init__(
        self, shape: Shape, condition: int = 0, widths: Sequence[int] = (768, 384, 128), norm: str = "batch"
    ) -> None:
        super().__init__()
        self.pyramid = Pyramid(math.prod(shape), widths, condition, norm)
        self.features = self.pyramid.features

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, F)."""
        return self.pyramid(x.flatten(1), context)


class Decoder(nn.Module):
    """Code -> raw output image.

    Args:
        inputs: size of the code, with whatever is joined to it.
        shape: (C, H, W).
        condition: K, size of a context joined at every layer; 0 for none.
        widths: layer sizes from the image inwards, as the encoder's: the decoder mirrors them.
        norm: `batch` or `none`.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        condition: int = 0,
        widths: Sequence[int] = (768, 384, 128),
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.pyramid = Pyramid(inputs, list(reversed(widths)), condition, norm)
        self.output = nn.Linear(self.pyramid.features + condition, math.prod(shape))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        h = self.pyramid(z, context)
        h = self.output(h if context is None else torch.cat([h, context], dim=1))
        return h.unflatten(1, self.shape)
