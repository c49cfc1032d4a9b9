"""Likelihoods p(x | z) whose parameters are the decoder output, for example Bernoulli and Gaussian pixels.

A likelihood applies the output activation and checks the range of the training images. All log-densities are in nats
and are summed over channels and pixels. They are computed in float32, even if the network uses a lower precision.
Figures and mean squared errors use the mean of p(x | z).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoencoders.objectives.cross_entropy import binary_cross_entropy
from autoencoders.types import UserError
from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded


def _identity(output: Tensor) -> Tensor:
    return output


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "linear": _identity}


class Likelihood(Recorded, nn.Module):
    """Base class of the likelihoods: a family of image distributions p(x | z) parameterized by the decoder output.

    Args:
        activation: `sigmoid` maps the decoder output to means in [0, 1]; `linear` uses the decoder output as the mean.

    Attributes:
        scale: fixed scale of all pixels, in units of the pixel range [0, 1]; None if the likelihood has no fixed scale.
    """

    scale: float | None = None

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__()
        require(activation in ACTIVATIONS, "likelihood.activation", activation, f"one of {list(ACTIVATIONS)}")
        self.activation = activation

    def forward(self, output: Tensor) -> Pixels:
        """Return the distribution p(x | z) for the decoder output (B, C, H, W) before the activation."""
        return Pixels(self, output.float())

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean image of p(x | z) (B, C, H, W) for the decoder output (B, C, H, W) before the activation."""
        return ACTIVATIONS[self.activation](output)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the decoder output and the target images, both (B, C, H, W)."""
        raise NotImplementedError

    def check(self, images: Tensor) -> None:
        """Check the range of a sample of the training images (N, C, H, W).

        Raises:
            UserError: if a pixel is not finite, or is outside of [0, 1] and the likelihood has a sigmoid output.
        """
        low, high = images.min().item(), images.max().item()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError(
                f"The training images must be finite, got values between {low} and {high}. Remove NaN and infinity "
                "from the images."
            )
        if self.activation == "sigmoid" and not (low >= 0 and high <= 1):
            raise UserError(
                f"The training images must be in [0, 1] because the {type(self).__name__} likelihood has a sigmoid "
                f"output, got values between {low:.4g} and {high:.4g}. Rescale the images, or choose "
                "likelihood=gaussian likelihood.activation=linear."
            )

    def fit(self, mean: Tensor, target: Tensor) -> None:
        """Set a learned scale to its maximum-likelihood value for mean images and targets, both (N, C, H, W).

        A likelihood without a learned scale does nothing.
        """


class Pixels(NamedTuple):
    """The distribution p(x | z) of the images of a batch.

    Attributes:
        family: likelihood that defines the distribution.
        output: (B, C, H, W) decoder output before the activation.
    """

    family: Likelihood
    output: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean image of p(x | z) (B, C, H, W)."""
        return self.family.mean(self.output)

    def nll(self, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the target images (B, C, H, W)."""
        return self.family.nll(self.output, target)


class Bernoulli(Likelihood):
    """Independent Bernoulli pixels. The decoder output is the logits of the probabilities p.

    The loss of a pixel x is -x log p - (1 - x) log(1 - p). For binary images it is the negative log-probability. For
    gray levels in [0, 1] it is the expected negative log-probability of a binary pixel that is 1 with probability x.
    """

    def __init__(self, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        if activation != "sigmoid":
            raise UserError(
                f"likelihood.activation must be sigmoid with likelihood=bernoulli, got {activation}. "
                "Choose likelihood=gaussian, or another net, such as net=conv."
            )

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the decoder output and the target images, both (B, C, H, W)."""
        return binary_cross_entropy(output, target)


def _check_scale(scale: float) -> float:
    """Return the value of `likelihood.scale`, or raise UserError if it is out of range."""
    # The squares of these limits are finite and above 0 in float32.
    require(1e-9 <= scale <= 1e9, "likelihood.scale", scale, "between 1e-9 and 1e9")
    return float(scale)


class Gaussian(Likelihood):
    """Independent Gaussian pixels with one fixed standard deviation for all pixels.

    Args:
        scale: standard deviation, in units of the pixel range [0, 1]. With scale .1, a mean squared error of .01 adds
            half a nat per pixel to the loss. A smaller scale gives the distortion more weight relative to the rate.
        activation: see `Likelihood`.
    """

    scale: float

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _check_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the decoder output and the target images, both (B, C, H, W)."""
        squares = (self.mean(output) - target).flatten(1).square().sum(1)
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return 0.5 * squares / self.scale**2 + constant * output[0].numel()


class GaussianLearned(Likelihood):
    """Independent Gaussian pixels with one standard deviation for all pixels, which is learned with the network.

    Source: Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated decoders", 2021.

    Args:
        scale: initial standard deviation, in units of the pixel range [0, 1].
        minimum: lower limit of the standard deviation. The density of 8-bit images is not meaningful if the standard
            deviation is below a fifth of a gray level (1 / 255).
        activation: see `Likelihood`.
    """

    def __init__(self, scale: float = 0.2, minimum: float = 1e-3, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        require(minimum > 0, "likelihood.minimum", minimum, "a number above 0")
        require(minimum <= _check_scale(scale), "likelihood.scale", scale, f">= likelihood.minimum ({minimum})")
        self.minimum = float(minimum)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the decoder output and the target images, both (B, C, H, W)."""
        log_scale = self.log_scale.float().clamp(min=math.log(self.minimum))
        squares = (self.mean(output) - target).flatten(1).square().sum(1)
        constant = (log_scale + 0.5 * math.log(2 * math.pi)) * output[0].numel()
        return 0.5 * squares * (-2 * log_scale).exp() + constant

    def fit(self, mean: Tensor, target: Tensor) -> None:
        """Set the scale to the root mean squared error between mean images and targets, both (N, C, H, W)."""
        scale = (mean - target).double().square().mean().sqrt().clamp(min=self.minimum)
        with torch.no_grad():
            self.log_scale.copy_(scale.log())


class Laplace(Likelihood):
    """Independent Laplace pixels with one fixed scale. The loss of a pixel x is |x - mean| / scale + log(2 scale).

    Args:
        scale: scale of the Laplace distribution, in units of the pixel range [0, 1].
        activation: see `Likelihood`.
    """

    scale: float

    def __init__(self, scale: float = 0.1, activation: str = "sigmoid") -> None:
        super().__init__(activation)
        self.scale = _check_scale(scale)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log p(target | z) (B,), in nats, for the decoder output and the target images, both (B, C, H, W)."""
        distances = (self.mean(output) - target).flatten(1).abs().sum(1)
        return distances / self.scale + math.log(2 * self.scale) * output[0].numel()
