"""q(z | x): what an encoder's numbers mean. A posterior samples z from noise it is given and knows its rate."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LOG_VARIANCE_BOUND = 20.0
"""Log-variances are clamped to +-20: exp(20) stays finite in float32 with room for its square."""


class PointPosterior(NamedTuple):
    """All mass on one code: the posterior of a plain autoencoder. Its rate is 0 by definition.

    Attributes:
        mean: (B, Z).
    """

    mean: Tensor

    numbers = 1  # per latent, from the encoder's head
    stochastic = False

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> PointPosterior:
        """From the head's output, (B, Z)."""
        return cls(numbers.float())

    def sample(self, eps: Tensor | None) -> Tensor:
        """The code itself, (B, Z); the noise is not used."""
        return self.mean

    def kl(self) -> Tensor:
        """(B, Z) zeros, in nats."""
        return torch.zeros_like(self.mean)


class GaussianPosterior(NamedTuple):
    """Diagonal Gaussian against a standard normal prior (Kingma and Welling, 2013).

    Attributes:
        mean: (B, Z).
        log_variance: (B, Z), clamped to +-LOG_VARIANCE_BOUND.
    """

    mean: Tensor
    log_variance: Tensor

    numbers = 2
    stochastic = True

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> GaussianPosterior:
        """From the head's output, (B, 2 Z): means, then log-variances. Float32 also under autocast."""
        mean, log_variance = numbers.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))

    def sample(self, eps: Tensor) -> Tensor:
        """z = mean + std * eps, (B, Z), for standard normal eps of the same shape."""
        return self.mean + (0.5 * self.log_variance).exp() * eps

    def kl(self) -> Tensor:
        """KL(q || N(0, 1)) per latent, (B, Z), in nats: (mean^2 + variance - 1 - log variance) / 2."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)
