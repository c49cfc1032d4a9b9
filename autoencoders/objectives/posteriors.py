"""Posteriors q(z | x) whose parameters are the encoder output: they sample codes z and compute the rate.

The rate is the KL divergence of the posterior from the prior. The encoder head is the last layer of the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded

LOG_VARIANCE_BOUND = 20.0
"""Log-variances are clamped to [-20, 20], so that exp(log_variance) and its square are finite in float32."""


class PointPosterior(NamedTuple):
    """Point mass at one code per image: the posterior of a plain autoencoder. Its rate (KL divergence) is defined as 0.

    Attributes:
        mean: (B, Z) code of each image.
    """

    mean: Tensor

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> PointPosterior:
        """Return the posterior for the output (B, Z) of the encoder head."""
        return cls(numbers.float())

    @property
    def log_variance(self) -> Tensor:
        """Zeros (B, Z). A point mass has no log-variance, so no latent is reported to be at the log-variance bound."""
        return torch.zeros_like(self.mean)

    def sample(self, eps: Tensor | None) -> Tensor:
        """Return the code (B, Z) of each image. The noise `eps` is ignored."""
        return self.mean

    def kl(self) -> Tensor:
        """Return the rate per latent (B, Z), which is 0 nats by definition."""
        return torch.zeros_like(self.mean)

    def repeat(self, samples: int) -> PointPosterior:
        """Return the posterior (B K, Z) in which each image is repeated K = `samples` times consecutively."""
        return PointPosterior(self.mean.repeat_interleave(samples, 0))


class GaussianPosterior(NamedTuple):
    """Diagonal Gaussian posterior q(z | x) (Kingma and Welling, 2013).

    Attributes:
        mean: (B, Z) posterior means.
        log_variance: (B, Z) logarithms of the variances, between -LOG_VARIANCE_BOUND and LOG_VARIANCE_BOUND.
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> GaussianPosterior:
        """Return the posterior for the output (B, 2 Z) of the encoder head: Z means, then Z log-variances.

        The posterior is float32, even under autocast.
        """
        mean, log_variance = numbers.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))

    @property
    def log_std(self) -> Tensor:
        """Logarithm (B, Z) of the standard deviation with which z is sampled."""
        return 0.5 * self.log_variance

    def sample(self, eps: Tensor | None) -> Tensor:
        """Return samples z = mean + std * eps (B, Z), where eps (B, Z) is standard normal noise."""
        if eps is None:
            raise ValueError("eps must be noise (B, Z) because the posterior is Gaussian, got None.")
        return self.mean + self.log_std.exp() * eps

    def kl(self) -> Tensor:
        """Return KL(q(z | x) || N(0, 1)) per latent (B, Z), in nats: (mean^2 + variance - 1 - log variance) / 2."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)

    def log_prob(self, eps: Tensor) -> Tensor:
        """Return log q(z | x) (B,), in nats, for z = sample(eps)."""
        return -(0.5 * (eps.square() + math.log(2 * math.pi)) + self.log_std).sum(1)

    def rows(self, index: slice) -> GaussianPosterior:
        """Return the posterior of the images in a slice of the batch."""
        return type(self)(self.mean[index], self.log_variance[index])

    def repeat(self, samples: int) -> GaussianPosterior:
        """Return the posterior (B K, Z) in which each image is repeated K = `samples` times consecutively."""
        return type(self)(
            self.mean.repeat_interleave(samples, 0),
            self.log_variance.repeat_interleave(samples, 0),
        )


Posterior = PointPosterior | GaussianPosterior


def concatenate(posteriors: Sequence[Posterior]) -> Posterior:
    """Return the posteriors of several batches of images, all of the same class, as one posterior."""
    return type(posteriors[0])(*map(torch.cat, zip(*posteriors, strict=True)))


class SquaredPosterior(GaussianPosterior):
    """Gaussian posterior with a known mistake, kept in order to study it: the std of z is exp(log_variance).

    exp(log_variance) is the variance of the Gaussian whose KL divergence is the rate. The mistake comes from the models
    vae_03 and vae_04 of the project that `Reparameterization` cites.
    """

    @property
    def log_std(self) -> Tensor:
        """Logarithm (B, Z) of the standard deviation with which z is sampled."""
        return self.log_variance


def _softplus_posterior(numbers: Tensor) -> GaussianPosterior:
    """Return the posterior for the encoder head's output (B, 2 Z): Z means, then Z inputs of the softplus."""
    mean, raw = numbers.float().chunk(2, dim=1)
    # Without the clamp, softplus could underflow to 0, whose logarithm is -inf.
    std = F.softplus(raw.clamp(min=-LOG_VARIANCE_BOUND))
    return GaussianPosterior(mean, (2 * std.log()).clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


class Std(NamedTuple):
    """Conversion of the second half of the encoder head's output to the standard deviation of the posterior.

    Attributes:
        posterior: function that returns q(z | x) for the encoder head's output (B, 2 Z).
        fault: description of the known mistake; empty if the conversion is correct.
    """

    posterior: Callable[[Tensor], GaussianPosterior]
    fault: str = ""


class Noise(NamedTuple):
    """Distribution of the noise eps in z = mean + std * eps.

    Attributes:
        fresh: called with a shape, `generator` and `device`; returns noise for training.
        by_row: called with (seed, index, size); returns noise (len(index), size) for validation and test. The noise of
            an image depends only on the seed and the index of the image.
        fault: description of the known mistake; empty if the distribution is correct.
        normal: whether the noise of each single image is standard normal.
    """

    fresh: Callable[..., Tensor]
    by_row: Callable[[int, Tensor, int], Tensor]
    fault: str = ""
    normal: bool = True


def _shared_normal(*shape: int, **options: Any) -> Tensor:
    """Return one standard normal sample per batch, repeated for all images."""
    return torch.randn(1, *shape[1:], **options).expand(shape)


def _centered_uniform(*shape: int, **options: Any) -> Tensor:
    """Return samples from the uniform distribution U(-1, 1)."""
    return 2 * torch.rand(*shape, **options) - 1


def _centered_uniform_by_row(seed: int, index: Tensor, size: int) -> Tensor:
    """Return samples (len(index), size) from U(-1, 1) that depend only on the seed and the image indices."""
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
        counter_rng.normal,  # for validation and test: only training shares noise among images
        "all images of a training batch share one noise sample, so the batch does not average the noise out",
    ),
    "uniform": Noise(
        torch.rand,
        counter_rng.uniform,
        "U(0, 1) has mean 1/2 and variance 1/12, so z is never below the posterior mean",
        normal=False,
    ),
    "centered_uniform": Noise(
        _centered_uniform,
        _centered_uniform_by_row,
        "U(-1, 1) has variance 1/3 instead of 1",
        normal=False,
    ),
}


class PosteriorFamily(Recorded):
    """Base class of the posterior families: how the encoder output defines q(z | x), and which noise samples z.

    Attributes:
        numbers: number of outputs of the encoder head per latent.
        stochastic: whether z is sampled from noise.
    """

    numbers: int
    stochastic: bool

    @property
    def gaussian(self) -> bool:
        """Whether z is sampled from the Gaussian whose KL divergence is the rate.

        Only then is distortion + rate an upper bound on -log p(x).
        """
        return False

    @property
    def name(self) -> str:
        """Display name of the posterior options for titles; empty for the default options."""
        return ""

    @property
    def notes(self) -> list[str]:
        """Warnings about known mistakes in the posterior options, one sentence each, for `run.json`."""
        return []

    def from_numbers(self, numbers: Tensor) -> Posterior:
        """Return the posterior for the output (B, `self.numbers` * Z) of the encoder head."""
        raise NotImplementedError

    def fresh(self, *shape: int, **options: Any) -> Tensor:
        """Return training noise with the given shape. The `options` are `generator` and `device`."""
        raise NotImplementedError

    def by_row(self, seed: int, index: Tensor, size: int) -> Tensor:
        """Return noise (len(index), size) for validation and test that depends only on `seed` and the image `index`."""
        raise NotImplementedError


class PointFamily(PosteriorFamily):
    """Point masses: the output of the encoder head is the code, without noise."""

    numbers, stochastic = 1, False

    def from_numbers(self, numbers: Tensor) -> PointPosterior:
        """Return the posterior for the output (B, Z) of the encoder head."""
        return PointPosterior.from_numbers(numbers)


class Reparameterization(PosteriorFamily):
    """z = mean + std * eps, with options for the noise eps and for how the encoder output defines std.

    The default options and `std=softplus` sample z from the Gaussian whose KL divergence is the rate (Kingma and
    Welling, 2013). All other options are known mistakes, kept in order to study their effect. They come from the models
    in github.com/j1a0m0e4sNTU/Variational-Autoencoder-for-images: vae_01 uses `uniform`, vae_02 uses
    `centered_uniform`, and vae_03 and vae_04 use `shared_normal` with `std=exp`. As in that project, the rate of these
    options is the KL divergence of N(mean, exp(log_variance)) from the prior.

    Args:
        noise: `normal`: N(0, 1), independent for every image | `shared_normal`: one N(0, 1) sample for all images of a
            training batch | `uniform`: U(0, 1) | `centered_uniform`: U(-1, 1).
        std: `exp_half`: exp(log_variance / 2) | `softplus`: softplus of the encoder output | `exp`: exp(log_variance).
    """

    numbers, stochastic = 2, True

    def __init__(self, noise: str = "normal", std: str = "exp_half") -> None:
        require(noise in NOISES, "posterior.noise", noise, f"one of {list(NOISES)}")
        require(std in STDS, "posterior.std", std, f"one of {list(STDS)}")
        self.noise, self.std = noise, std

    def from_numbers(self, numbers: Tensor) -> GaussianPosterior:
        """Return the posterior for the output (B, 2 Z) of the encoder head."""
        return STDS[self.std].posterior(numbers)

    def fresh(self, *shape: int, **options: Any) -> Tensor:
        """Return training noise with the given shape. The `options` are `generator` and `device`."""
        return NOISES[self.noise].fresh(*shape, **options)

    def by_row(self, seed: int, index: Tensor, size: int) -> Tensor:
        """Return noise (len(index), size) for validation and test that depends only on `seed` and the image `index`."""
        return NOISES[self.noise].by_row(seed, index, size)

    @property
    def gaussian(self) -> bool:
        """Whether z is sampled from the Gaussian whose KL divergence is the rate.

        Only then is distortion + rate an upper bound on -log p(x).
        """
        return NOISES[self.noise].normal and not STDS[self.std].fault

    @property
    def notes(self) -> list[str]:
        """Warnings about known mistakes in the posterior options, one sentence each, for `run.json`."""
        faults = {f"noise={self.noise}": NOISES[self.noise].fault, f"std={self.std}": STDS[self.std].fault}
        notes = [
            f"posterior.{option} is a known mistake, available only in order to study it: {fault}."
            for option, fault in faults.items()
            if fault
        ]
        if not self.gaussian:
            notes.append(
                "z is not sampled from the Gaussian whose KL divergence is the rate, so distortion + rate is not a "
                "bound on -log p(x)."
            )
        return notes

    @property
    def name(self) -> str:
        """Display name of the posterior options for titles; empty for the default options."""
        if (self.noise, self.std) == ("normal", "exp_half"):
            return ""
        return f"noise {self.noise}, std {self.std}"
