"""q(z | x): what an encoder's numbers mean. A posterior samples z from noise it is given and knows its rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils import counter_rng as fixed

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

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> GaussianPosterior:
        """From the head's output, (B, 2 Z): means, then log-variances. Float32 also under autocast."""
        mean, log_variance = numbers.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))

    @property
    def log_std(self) -> Tensor:
        """The logarithm of the standard deviation of samples, (B, Z)."""
        return 0.5 * self.log_variance

    def sample(self, eps: Tensor) -> Tensor:
        """z = mean + std * eps, (B, Z), for standard normal eps of the same shape."""
        return self.mean + self.log_std.exp() * eps

    def kl(self) -> Tensor:
        """KL(q || N(0, 1)) per latent, (B, Z), in nats: (mean^2 + variance - 1 - log variance) / 2."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)

    def log_ratio(self, z: Tensor, eps: Tensor) -> Tensor:
        """log p(z) / q(z | x) of z = sample(eps), (B,), in nats: the constants of both normal densities cancel."""
        return 0.5 * (eps.square() + 2 * self.log_std - z.square()).sum(1)

    def rows(self, index: slice) -> GaussianPosterior:
        """Those of these images."""
        return self._make(part[index] for part in self)

    def repeat(self, samples: int) -> GaussianPosterior:
        """Each image's `samples` times in a row, (B K, Z)."""
        return self._make(part.repeat_interleave(samples, 0) for part in self)


class SquaredPosterior(GaussianPosterior):
    """A mistake, kept for the study of it: samples have the standard deviation exp(log_variance).

    That is the variance of the Gaussian whose KL is the rate (vae_03 and vae_04 of the project cited below).
    """

    @property
    def log_std(self) -> Tensor:
        """The logarithm of the standard deviation of samples, (B, Z)."""
        return self.log_variance


def _softplus(numbers: Tensor) -> GaussianPosterior:
    mean, raw = numbers.float().chunk(2, dim=1)
    std = F.softplus(raw.clamp(min=-LOG_VARIANCE_BOUND))  # further down it underflows, and so would its logarithm
    return GaussianPosterior(mean, (2 * std.log()).clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


class Std(NamedTuple):
    """How a head's second half becomes a standard deviation; `fault` says what is wrong with it, if anything."""

    posterior: Callable[[Tensor], GaussianPosterior]
    fault: str = ""


class Noise(NamedTuple):
    """Where eps comes from: fresh in training, fixed by row in validation and test; `fault` as in `Std`."""

    fresh: Callable[..., Tensor]
    by_row: Callable[[int, Tensor, int], Tensor]
    fault: str = ""
    normal: bool = True


STDS = {
    "exp_half": Std(GaussianPosterior.from_numbers),
    "softplus": Std(_softplus),
    "exp": Std(SquaredPosterior.from_numbers, "exp(log_variance) is the variance, not the standard deviation"),
}
NOISES = {
    "normal": Noise(torch.randn, fixed.normal),
    "shared_normal": Noise(
        lambda *shape, **options: torch.randn(1, *shape[1:], **options).expand(shape),
        fixed.normal,  # an image's draw has the same distribution; only the images of a batch are not independent
        "one draw serves a whole training batch, so that the gradient's noise does not average out over its images",
    ),
    "uniform": Noise(
        torch.rand, fixed.uniform, "U(0, 1) has mean 1/2 and variance 1/12, so that z never falls below its mean", False
    ),
    "centered_uniform": Noise(
        lambda *shape, **options: 2 * torch.rand(*shape, **options) - 1,
        lambda seed, index, size: 2 * fixed.uniform(seed, index, size) - 1,
        "U(-1, 1) has variance 1/3",
        False,
    ),
}


class Reparameterization:
    """z = mean + std * eps: where eps comes from, and which std an encoder's numbers give.

    The default samples the Gaussian whose KL is the rate (Kingma and Welling, 2013). `std=softplus` does too.
    Everything else is a mistake, kept for the study of what it does: all of them are in the models of
    github.com/j1a0m0e4sNTU/Variational-Autoencoder-for-images (vae_01: uniform; vae_02: centered_uniform; vae_03 and
    vae_04: shared_normal with std=exp). The rate stays the KL of N(mean, exp(log_variance)), as it was there.

    Args:
        noise: `normal`, N(0, 1) for every image | `shared_normal` | `uniform`, U(0, 1) | `centered_uniform`, U(-1, 1).
        std: `exp_half`, exp(log_variance / 2) | `softplus` of the encoder's number | `exp`, exp(log_variance).
    """

    numbers, stochastic = 2, True

    def __init__(self, noise: str = "normal", std: str = "exp_half") -> None:
        for name, value, known in (("noise", noise, NOISES), ("std", std, STDS)):
            if value not in known:
                raise UserError(f"posterior.{name} must be one of {list(known)}, and is {value!r}.")
        self.noise, self.std = noise, std
        self.from_numbers, self.fresh, self.by_row = STDS[std].posterior, NOISES[noise].fresh, NOISES[noise].by_row

    @property
    def gaussian(self) -> bool:
        """Whether a sample comes from the Gaussian whose KL is the rate, so that distortion + rate is a bound."""
        return NOISES[self.noise].normal and not STDS[self.std].fault

    @property
    def notes(self) -> list[str]:
        """What is wrong with it, a sentence each."""
        faults = {f"noise={self.noise}": NOISES[self.noise].fault, f"std={self.std}": STDS[self.std].fault}
        notes = [
            f"posterior.{option} is a mistake kept for study: {fault}." for option, fault in faults.items() if fault
        ]
        if not self.gaussian:
            notes.append(
                "Samples do not come from the Gaussian whose KL is the rate: distortion + rate bounds nothing."
            )
        return notes

    @property
    def name(self) -> str:
        """What titles call it; nothing where it is the usual one."""
        return "" if (self.noise, self.std) == ("normal", "exp_half") else f"noise {self.noise}, std {self.std}"
