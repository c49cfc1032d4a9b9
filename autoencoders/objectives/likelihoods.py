"""Likelihoods p(x | z), parameterized by a decoder's output. Each applies its output activation and checks the data.

All log-densities are in nats, summed over channels and pixels, and computed in float32 also if the network has a lower
precision. Figures and mean squared errors use the `mean` of the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.types import UserError
from autoencoders.utils.checks import require


def _identity(output: Tensor) -> Tensor:
    return output


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "linear": _identity}


class Likelihood(nn.Module):
    """Base class of the likelihoods: a family of distributions over images, parameterized by a decoder's output.

    Args:
        activation: `sigmoid` maps means to [0, 1]; `linear` uses the decoder's output as the mean.

    Attributes:
        scale: fixed scale of each pixel, in units of the pixel range [0, 1]; None if there is none.
    """

    scale: float | None = None

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__()
        require(activation in ACTIVATIONS, "likelihood.activation", activation, f"one of {list(ACTIVATIONS)}")
        self.activation = activation

    def forward(self, output: Tensor) -> Pixels:
        """Return the distribution p(x | z) for a decoder's raw output, (B, C, H, W)."""
        return Pixels(self, output.float())

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected image, (B, C, H, W)."""
        return ACTIVATIONS[self.activation](output)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | output), (B,), in nats per image."""
        raise NotImplementedError

    def check(self, images: Tensor) -> None:
        """Raise UserError if the images are outside the range of this likelihood.

        Args:
            images: (N, C, H, W) sample of the training images.
        """
        low, high = images.min().item(), images.max().item()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError(
                f"The training images must be finite, got values from {low} to {high}. Remove NaN and infinity."
            )
        if self.activation == "sigmoid" and not (low >= 0 and high <= 1):
            raise UserError(
                f"likelihood={type(self).__name__} with a sigmoid output needs pixels in [0, 1], got training images "
                f"in [{low:.4g}, {high:.4g}]. Rescale them, or choose likelihood=gaussian likelihood.activation=linear."
            )

    def fit(self, mean: Tensor, target: Tensor) -> None:
        """Set a learned scale to its maximum-likelihood value for means and targets, (N, C, H, W).

        Does nothing by default.
        """


class Pixels(NamedTuple):
    """p(x | z) of one batch: a likelihood with the decoder's output, (B, C, H, W)."""

    family: Likelihood
    output: Tensor

    @property
    def mean(self) -> Tensor:
        """The expected image, (B, C, H, W)."""
        return self.family.mean(self.output)

    def nll(self, target: Tensor) -> Tensor:
        """Return -log p(target | z), (B,), in nats per image."""
        return self.family.nll(self.output, target)


class Bernoulli(Likelihood):
    """Independent Bernoulli pixels, from logits: -x log p - (1 - x) log(1 - p).

    For binary images this is the negative log-probability. For gray levels it is the cross-entropy, which is the
    expected negative log-probability of binary images sampled with probability x per pixel.
    """

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        if activation != "sigmoid":
            raise UserError(
                f"likelihood.activation must be sigmoid with a Bernoulli likelihood, got {activation}. "
                "Choose likelihood=gaussian, or a net with a sigmoid output."
            )

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | output), (B,), in nats per image."""
        return F.binary_cross_entropy_with_logits(output, target, reduction="none").flatten(1).sum(1)


def _check_scale(scale: float) -> float:
    """Return the scale, or raise UserError if it is out of range."""
    # float32 can represent the squares of this range.
    require(1e-9 <= scale <= 1e9, "likelihood.scale", scale, "in 1e-9 .. 1e9, in units of the pixel range [0, 1]")
    return float(scale)


class Gaussian(Likelihood):
    """Independent Gaussian pixels with one fixed standard deviation.

    Args:
        scale: standard deviation, in units of the pixel range [0, 1]. At .1, a mean squared error of .01 adds half a
            nat per pixel. A smaller scale gives the distortion more weight relative to the rate.
        activation: see `Likelihood`.
    """

    scale: float

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _check_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | output), (B,), in nats per image."""
        squares = (self.mean(output) - target).flatten(1).square().sum(1)
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return 0.5 * squares / self.scale**2 + constant * output[0].numel()


class GaussianLearned(Likelihood):
    """Independent Gaussian pixels with one standard deviation, which is learned with the network.

    Source: Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated decoders", 2021.

    Args:
        scale: initial standard deviation, in units of the pixel range [0, 1].
        minimum: lower limit of the standard deviation. Below a fifth of a gray level, the density of 8-bit images
            has no meaning.
        activation: see `Likelihood`.
    """

    def __init__(self, scale: float = 0.2, minimum: float = 1e-3, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        require(minimum > 0, "likelihood.minimum", minimum, "a number above 0")
        require(minimum <= _check_scale(scale), "likelihood.scale", scale, f"at least likelihood.minimum = {minimum}")
        self.minimum = float(minimum)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | output), (B,), in nats per image."""
        log_scale = self.log_scale.float().clamp(min=math.log(self.minimum))
        squares = (self.mean(output) - target).flatten(1).square().sum(1)
        constant = (log_scale + 0.5 * math.log(2 * math.pi)) * output[0].numel()
        return 0.5 * squares * (-2 * log_scale).exp() + constant

    def fit(self, mean: Tensor, target: Tensor) -> None:
        """Set the scale to the root mean squared error between means and targets, both (N, C, H, W)."""
        scale = (mean - target).double().square().mean().sqrt().clamp(min=self.minimum)
        with torch.no_grad():
            self.log_scale.copy_(scale.log())


class Laplace(Likelihood):
    """Independent Laplace pixels: |x - mean| / scale + log(2 scale).

    Args:
        scale: in units of the pixel range [0, 1].
        activation: see `Likelihood`.
    """

    scale: float

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _check_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | output), (B,), in nats per image."""
        distances = (self.mean(output) - target).flatten(1).abs().sum(1)
        return distances / self.scale + math.log(2 * self.scale) * output[0].numel()
