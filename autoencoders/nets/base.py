"""The interface between models and nets, with a default for each attribute that a net may leave out."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Net(nn.Module):
    """Base class of encoders and decoders.

    A model accepts any `nn.Module` in place of a `Net`: the functions of this module read the attributes below and
    fall back to these defaults.

    Attributes:
        features: F, the size of an encoder's output.
        code: Z, if the first Z features of an encoder are a code already; 0 otherwise.
        shift: a decoder's linear layer from the context to an offset of the code, or None.
    """

    features: int
    code: int = 0
    shift: nn.Linear | None

    def initialize(self, images: Tensor) -> None:
        """Initialize weights from the uint8 training images, (N, C, H, W). Does nothing by default."""

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """Return the linear layer that maps an encoder's features to the posterior's parameters."""
        return nn.Linear(inputs, outputs)


def feature_size(encoder: nn.Module) -> int:
    """Return F, the size of an encoder's output."""
    return cast(Net, encoder).features


def code_size(encoder: nn.Module) -> int:
    """Return Z if an encoder's first Z features are a code, else 0."""
    return getattr(encoder, "code", Net.code)


def posterior_layer(encoder: nn.Module, inputs: int, outputs: int) -> nn.Module:
    """Return a new linear layer from an encoder's features to the posterior's parameters."""
    build_layer = getattr(encoder, "linear", nn.Linear)
    return build_layer(inputs, outputs)


def context_shift(decoder: nn.Module) -> nn.Linear | None:
    """Return a decoder's linear layer from the context to an offset of the code, or None."""
    return getattr(decoder, "shift", None)


def initialize_net(net: nn.Module, images: Tensor) -> None:
    """Call `net.initialize(images)`, if the net has this method, with the uint8 training images, (N, C, H, W)."""
    initialize = getattr(net, "initialize", None)
    if initialize is not None:
        initialize(images)
