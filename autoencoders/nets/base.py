"""Base class of encoders and decoders, and functions that read their optional attributes or return the defaults."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Net(nn.Module):
    """Base class of encoders and decoders.

    A model also accepts any other `nn.Module` as encoder or decoder. If this module lacks one of the optional
    attributes `code`, `shift`, `initialize` and `linear`, the functions in `autoencoders.nets.base` use its default.

    Attributes:
        features: F, number of features that an encoder returns per image.
        code: Z if the first Z features of an encoder are a code, or 0 (default) if the features contain no code.
        shift: linear layer of a decoder that maps the context to an offset of the code, or None (default).
    """

    features: int
    code: int = 0
    shift: nn.Linear | None

    def initialize(self, images: Tensor) -> None:
        """Initialize weights from the stored training images (N, C, H, W). Does nothing by default."""

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """Return a new linear layer that maps the features of an encoder to the posterior parameters.

        Args:
            inputs: number of inputs of the layer.
            outputs: number of outputs of the layer.
        """
        return nn.Linear(inputs, outputs)


def feature_size(encoder: nn.Module) -> int:
    """Return F, the number of features that an encoder returns per image."""
    return cast(Net, encoder).features


def code_size(encoder: nn.Module) -> int:
    """Return Z if the first Z features of an encoder are a code, or 0 if the features contain no code."""
    return getattr(encoder, "code", Net.code)


def posterior_layer(encoder: nn.Module, inputs: int, outputs: int) -> nn.Module:
    """Return a new layer that maps the features of an encoder to the posterior parameters.

    It is built by `encoder.linear` if the encoder has this method, otherwise by `nn.Linear`.
    """
    build_layer = getattr(encoder, "linear", nn.Linear)
    return build_layer(inputs, outputs)


def context_shift(decoder: nn.Module) -> nn.Linear | None:
    """Return the linear layer of a decoder that maps the context to an offset of the code, or None if it has none."""
    return getattr(decoder, "shift", None)


def initialize_net(net: nn.Module, images: Tensor) -> None:
    """Call `net.initialize(images)` with the stored training images (N, C, H, W), if the net has this method."""
    initialize = getattr(net, "initialize", None)
    if initialize is not None:
        initialize(images)
