"""Posteriors q(z | x), parameterized by an encoder's output. A posterior samples z from noise and computes its rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require

LOG_VARIANCE_BOUND = 20.0
"""Log-variances are clamped to +-20: exp(20) and its square are finite in float32."""


class PointPosterior(NamedTuple):
    """Point mass at one code: the posterior of a plain autoencoder. Its rate is 0 by definition.

    Attributes:
        mean: (B, Z).
    """

    mean: Tensor

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> PointPosterior:
        """Return the posterior of a head's output, (B, Z)."""
        return cls(numbers.float())

    @property
    def log_variance(self) -> Tensor:
        """(B, Z) zeros: a point mass has no learned log-variance, so none reaches the bound."""
        return torch.zeros_like(self.mean)

    def sample(self, eps: Tensor | None) -> Tensor:
        """Return the code, (B, Z); the noise is ignored."""
        return self.mean

    def kl(self) -> Tensor:
        """Return (B, Z) zeros, in nats."""
        return torch.zeros_like(self.mean)

    def repeat(self, samples: int) -> PointPosterior:
        """Return the posterior with each image repeated `samples` times in a row, (B K, Z)."""
        return PointPosterior(self.mean.repeat_interleave(samples, 0))


class GaussianPosterior(NamedTuple):
    """Diagonal Gaussian, with a standard normal prior (Kingma and Welling, 2013).

    Attributes:
        mean: (B, Z).
        log_variance: (B, Z), clamped to +-LOG_VARIANCE_BOUND.
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> GaussianPosterior:
        """Return the posterior of a head's output, (B, 2 Z): means, then log-variances. Float32 also under autocast."""
        mean, log_variance = numbers.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))

    @property
    def log_std(self) -> Tensor:
        """Logarithm of the standard deviation of samples, (B, Z)."""
        return 0.5 * self.log_variance

    def sample(self, eps: Tensor | None) -> Tensor:
        """Return z = mean + std * eps, (B, Z), for standard normal eps of the same shape."""
        if eps is None:
            raise ValueError("A Gaussian posterior needs noise to sample from.")
        return self.mean + self.log_std.exp() * eps

    def kl(self) -> Tensor:
        """Return KL(q || N(0, 1)) per latent, (B, Z), in nats: (mean^2 + variance - 1 - log variance) / 2."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)

    def log_ratio(self, z: Tensor, eps: Tensor) -> Tensor:
        """Return log p(z) / q(z | x) of z = sample(eps), (B,), in nats. The constants of both densities cancel."""
        return 0.5 * (eps.square() + 2 * self.log_std - z.square()).sum(1)

    def rows(self, index: slice) -> GaussianPosterior:
        """Return the posterior of these images."""
        return type(self)(self.mean[index], self.log_variance[index])

    def repeat(self, samples: int) -> GaussianPosterior:
        """Return the posterior with each image repeated `samples` times in a row, (B K, Z)."""
        return type(self)(
            self.mean.repeat_interleave(samples, 0),
            self.log_variance.repeat_interleave(samples, 0),
        )


Posterior = PointPosterior | GaussianPosterior


class SquaredPosterior(GaussianPosterior):
    """A known mistake, kept in order to study it: samples have the standard deviation exp(log_variance).

    That is the variance of the Gaussian whose KL is the rate (vae_03 and vae_04 of the project that is cited in
    `Reparameterization`).
    """

    @property
    def log_std(self) -> Tensor:
        """Logarithm of the standard deviation of samples, (B, Z)."""
        return self.log_variance


def _softplus_posterior(numbers: Tensor) -> GaussianPosterior:
    """Return the posterior of a head's output, (B, 2 Z): means, then inputs of a softplus that gives the std."""
    mean, raw = numbers.float().chunk(2, dim=1)
    std = F.softplus(raw.clamp(min=-LOG_VARIANCE_BOUND))  # below this bound, softplus underflows and its log is -inf
    return GaussianPosterior(mean, (2 * std.log()).clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


class Std(NamedTuple):
    """Conversion of the second half of a head's output to a standard deviation.

    Attributes:
        posterior: from the head's output, (B, 2 Z), to q(z | x).
        fault: description of the mistake, or empty if the conversion is correct.
    """

    posterior: Callable[[Tensor], GaussianPosterior]
    fault: str = ""


class Noise(NamedTuple):
    """Distribution of eps.

    Attributes:
        fresh: called with the shape, `generator` and `device`; returns training noise.
        by_row: called with (seed, index, size); returns the noise of validation and test, which is fixed by row.
        fault: description of the mistake, or empty if the distribution is correct.
        normal: whether the noise of each image is standard normal.
    """

    fresh: Callable[..., Tensor]
    by_row: Callable[[int, Tensor, int], Tensor]
    fault: str = ""
    normal: bool = True


def _shared_normal(*shape: int, **options: Any) -> Tensor:
    """Return one normal sample per batch, repeated for all images."""
    return torch.randn(1, *shape[1:], **options).expand(shape)


def _centered_uniform(*shape: int, **options: Any) -> Tensor:
    """Return samples of U(-1, 1)."""
    return 2 * torch.rand(*shape, **options) - 1


def _centered_uniform_by_row(seed: int, index: Tensor, size: int) -> Tensor:
    """Return samples of U(-1, 1) that are fixed by row."""
    return 2 * counter_rng.uniform(seed, index, size) - 1


STDS = {
    "exp_half": Std(GaussianPosterior.from_numbers),
    "softplus": Std(_softplus_posterior),
    "exp": Std(SquaredPosterior.from_numbers, "exp(log_variance) is the variance, not the standard deviation"),
}
NOISES = {
    "normal": Noise(torch.randn, counter_rng.normal),
    "shared_normal": Noise(
        _shared_normal,
        counter_rng.normal,  # the noise of a single image is the same; only the images of a batch are not independent
        "all images of a training batch share one sample, so the gradient's noise does not average out over them",
    ),
    "uniform": Noise(
        torch.rand,
        counter_rng.uniform,
        "U(0, 1) has mean 1/2 and variance 1/12, so z is never below its mean",
        normal=False,
    ),
    "centered_uniform": Noise(
        _centered_uniform,
        _centered_uniform_by_row,
        "U(-1, 1) has variance 1/3",
        normal=False,
    ),
}


class PosteriorFamily:
    """Base class: how an encoder's output defines q(z | x), and the noise that samples it.

    Attributes:
        numbers: outputs of the encoder's head per latent.
        stochastic: whether z is sampled.
    """

    numbers: int
    stochastic: bool

    @property
    def gaussian(self) -> bool:
        """Whether samples come from the Gaussian whose KL is the rate, so that distortion + rate is a bound."""
        return False

    @property
    def name(self) -> str:
        """Label for titles; empty for the default."""
        return ""

    @property
    def notes(self) -> list[str]:
        """Warnings for the run record, one sentence each."""
        return []

    def from_numbers(self, numbers: Tensor) -> Posterior:
        """Return the posterior of a head's output, (B, `numbers` Z)."""
        raise NotImplementedError

    def fresh(self, *shape: int, **options: Any) -> Tensor:
        """Return training noise of this shape; `options` are `generator` and `device`."""
        raise NotImplementedError

    def by_row(self, seed: int, index: Tensor, size: int) -> Tensor:
        """Return noise that is fixed by row, (len(index), size), for validation and test."""
        raise NotImplementedError


class PointFamily(PosteriorFamily):
    """Point masses: the encoder's output is the code."""

    numbers, stochastic = 1, False

    def from_numbers(self, numbers: Tensor) -> PointPosterior:
        """Return the posterior of a head's output, (B, Z)."""
        return PointPosterior.from_numbers(numbers)


class Reparameterization(PosteriorFamily):
    """z = mean + std * eps, with a choice of the noise eps and of how an encoder's output defines std.

    The default samples the Gaussian whose KL is the rate (Kingma and Welling, 2013), and so does `std=softplus`. All
    other options are known mistakes, kept in order to study their effect. They are from the models of
    github.com/j1a0m0e4sNTU/Variational-Autoencoder-for-images (vae_01: uniform; vae_02: centered_uniform; vae_03 and
    vae_04: shared_normal with std=exp). As in that project, the rate is the KL of N(mean, exp(log_variance)).

    Args:
        noise: `normal`, N(0, 1) for every image | `shared_normal` | `uniform`, U(0, 1) | `centered_uniform`, U(-1, 1).
        std: `exp_half`, exp(log_variance / 2) | `softplus` of the encoder's output | `exp`, exp(log_variance).
    """

    numbers, stochastic = 2, True

    def __init__(self, noise: str = "normal", std: str = "exp_half") -> None:
        require(noise in NOISES, "posterior.noise", noise, f"one of {list(NOISES)}")
        require(std in STDS, "posterior.std", std, f"one of {list(STDS)}")
        self.noise, self.std = noise, std

    def from_numbers(self, numbers: Tensor) -> GaussianPosterior:
        """Return the posterior of a head's output, (B, 2 Z)."""
        return STDS[self.std].posterior(numbers)

    def fresh(self, *shape: int, **options: Any) -> Tensor:
        """Return training noise of this shape; `options` are `generator` and `device`."""
        return NOISES[self.noise].fresh(*shape, **options)

    def by_row(self, seed: int, index: Tensor, size: int) -> Tensor:
        """Return noise that is fixed by row, (len(index), size), for validation and test."""
        return NOISES[self.noise].by_row(seed, index, size)

    @property
    def gaussian(self) -> bool:
        """Whether samples come from the Gaussian whose KL is the rate, so that distortion + rate is a bound."""
        return NOISES[self.noise].normal and not STDS[self.std].fault

    @property
    def notes(self) -> list[str]:
        """Warnings for the run record, one sentence each."""
        faults = {f"noise={self.noise}": NOISES[self.noise].fault, f"std={self.std}": STDS[self.std].fault}
        notes = [
            f"posterior.{option} is a known mistake, kept for study: {fault}."
            for option, fault in faults.items()
            if fault
        ]
        if not self.gaussian:
            notes.append("Samples do not come from the Gaussian whose KL is the rate: distortion + rate is no bound.")
        return notes

    @property
    def name(self) -> str:
        """Label for titles; empty for the default."""
        if (self.noise, self.std) == ("normal", "exp_half"):
            return ""
        return f"noise {self.noise}, std {self.std}"
