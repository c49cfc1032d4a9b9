"""p(x | z): what a decoder's numbers mean. Each likelihood owns its output activation and its range check.

All are log-densities in nats, summed over channels and pixels, computed in float32 whatever the precision
of the network. `mean` of the distribution is what figures show and what MSE is measured on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.types import UserError

ACTIVATIONS = {"sigmoid": torch.sigmoid, "linear": lambda output: output}


class Likelihood(nn.Module):
    """A family of distributions over images, indexed by a decoder's output.

    Args:
        activation: `sigmoid` keeps means in [0, 1]; `linear` leaves the decoder's output as the mean.
    """

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"likelihood.activation must be one of {list(ACTIVATIONS)}, and is {activation!r}.")
        self.activation = activation

    def forward(self, output: Tensor) -> Pixels:
        """The distribution p(x | z) for a decoder's raw output, (B, C, H, W)."""
        return Pixels(self, output.float())

    def mean(self, output: Tensor) -> Tensor:
        """The expected image, (B, C, H, W)."""
        return ACTIVATIONS[self.activation](output)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | output), (B,), in nats per image."""
        raise NotImplementedError

    def check(self, images: Tensor) -> None:
        """Raise UserError where the data lie outside what this likelihood can explain.

        Args:
            images: (N, C, H, W) a sample of the training images.
        """
        low, high = images.min().item(), images.max().item()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError(f"The training images hold values from {low} to {high}: remove NaN and infinity.")
        if self.activation == "sigmoid" and not (low >= 0 and high <= 1):
            raise UserError(
                f"likelihood={type(self).__name__} with a sigmoid output needs pixels in [0, 1], and the "
                f"training images lie in [{low:.4g}, {high:.4g}]. Rescale them, or choose likelihood=gaussian "
                "likelihood.activation=linear."
            )

    def fit(self, mean: Tensor, target: Tensor) -> None:
        """Set free scales to their maximum-likelihood value given means and targets; most have none."""


class Pixels(NamedTuple):
    """p(x | z) of one batch: a likelihood together with the decoder's output (B, C, H, W)."""

    family: Likelihood
    output: Tensor

    @property
    def mean(self) -> Tensor:
        """The expected image, (B, C, H, W)."""
        return self.family.mean(self.output)

    def nll(self, target: Tensor) -> Tensor:
        """-log p(target | z), (B,), in nats per image."""
        return self.family.nll(self.output, target)


class Bernoulli(Likelihood):
    """Independent Bernoulli pixels, from logits: -x log p - (1 - x) log(1 - p).

    For binary images this is the negative log-probability. For gray levels it is the cross-entropy, that is
    its expectation over binary images drawn with probability x per pixel.
    """

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        if activation != "sigmoid":
            raise UserError(
                f"A Bernoulli likelihood squashes means by a sigmoid, and likelihood.activation is {activation}. "
                "Choose likelihood=gaussian, or a net with a sigmoid output."
            )

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | output), (B,), in nats per image."""
        return F.binary_cross_entropy_with_logits(output, target, reduction="none").flatten(1).sum(1)


def _checked_scale(scale: float) -> float:
    if not 1e-9 <= scale <= 1e9:  # whose squares float32 still holds
        raise UserError(f"likelihood.scale must lie in 1e-9 .. 1e9, units of the pixel range [0, 1], and is {scale}.")
    return float(scale)


class Gaussian(Likelihood):
    """Independent Gaussian pixels of one fixed standard deviation.

    Args:
        scale: the standard deviation, in units of the pixel range [0, 1]. At .1, a mean squared error of .01
            costs half a nat per pixel; smaller scales weigh reconstruction more against the rate.
        activation: see `Likelihood`.
    """

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _checked_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | output), (B,), in nats per image."""
        squares = (self.mean(output) - target).flatten(1).square().sum(1)
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return 0.5 * squares / self.scale**2 + constant * output[0].numel()


class GaussianLearned(Likelihood):
    """Gaussian pixels whose one standard deviation is learned with the network.

    Source: Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated decoders", 2021.

    Args:
        scale: the standard deviation at the start, in units of the pixel range.
        minimum: the smallest standard deviation; below a fifth of a gray level a density of 8-bit images
            means nothing.
        activation: see `Likelihood`.
    """

    def __init__(self, scale: float = 0.2, minimum: float = 1e-3, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        if not 0 < minimum <= _checked_scale(scale):
            raise UserError(f"likelihood.scale must be at least likelihood.minimum = {minimum}, and is {scale}.")
        self.minimum = float(minimum)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | output), (B,), in nats per image."""
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

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _checked_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | output), (B,), in nats per image."""
        distances = (self.mean(output) - target).flatten(1).abs().sum(1)
        return distances / self.scale + math.log(2 * self.scale) * output[0].numel()
