"""Densities p(z) of the codes of a batch, with which the rate of a posterior is computed."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from autoencoders.objectives.posteriors import GaussianPosterior, Posterior

LOG_2_PI = math.log(2 * math.pi)
ELEMENTS = 2**22
"""Maximum number of elements (codes * components * latents) in memory at the same time: 16 MB in float32."""


class CodeDensity(Protocol):
    """Protocol of the density p(z), or p(z | y), of the codes of B images."""

    def kl(self, posterior: Posterior) -> Tensor | None:
        """Return KL(q(z | x) || p(z)) per latent (B, Z) in nats, or None if it has no closed form."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-densities (B,) of codes `z` (B, Z), in nats."""

    def log_ratio(self, posterior: GaussianPosterior, z: Tensor, eps: Tensor) -> Tensor:
        """Return log(p(z) / q(z | x)) (B,), in nats, for z = posterior.sample(eps)."""

    def transform(self, noise: Tensor, choice: Tensor) -> Tensor:
        """Return samples (B, Z) of the density for random numbers.

        Args:
            noise: (B, Z) standard normal noise.
            choice: (B,) uniform random numbers in [0, 1), which select the component of a mixture.
        """

    def center(self, choice: Tensor) -> Tensor:
        """Return the means (B, Z) of the components that `choice` (B,) selects; see `transform`."""

    def rows(self, index: slice) -> CodeDensity:
        """Return the density of the images in a slice of the batch."""

    def repeat(self, samples: int) -> CodeDensity:
        """Return the density in which each image is repeated `samples` times consecutively."""


class StandardGaussian:
    """N(0, I), the same density for all images."""

    def kl(self, posterior: Posterior) -> Tensor:
        """Return KL(q(z | x) || N(0, 1)) per latent (B, Z) in nats. It is 0 for a point posterior."""
        return posterior.kl()

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-densities (B,) of codes `z` (B, Z), in nats."""
        return -0.5 * (z.square() + LOG_2_PI).sum(1)

    def log_ratio(self, posterior: GaussianPosterior, z: Tensor, eps: Tensor) -> Tensor:
        """Return log(p(z) / q(z | x)) (B,), in nats. The constants of the two densities cancel."""
        return 0.5 * (eps.square() + 2 * posterior.log_std - z.square()).sum(1)

    def transform(self, noise: Tensor, choice: Tensor) -> Tensor:
        """Return `noise`, which is a sample of this density."""
        return noise

    def center(self, choice: Tensor) -> Tensor:
        """Return the mean (1, 1), which is 0 for all latents."""
        return torch.zeros(1, 1, device=choice.device)

    def rows(self, index: slice) -> StandardGaussian:
        """Return this density, which is the same for all images."""
        return self

    def repeat(self, samples: int) -> StandardGaussian:
        """Return this density, which is the same for all images."""
        return self


class DiagonalGaussian(NamedTuple):
    """A diagonal Gaussian for each image of a batch.

    Attributes:
        mean: (B, Z) means.
        log_variance: (B, Z) logarithms of the variances.
    """

    mean: Tensor
    log_variance: Tensor

    def kl(self, posterior: Posterior) -> Tensor:
        """Return KL(q(z | x) || p(z | y)) per latent (B, Z) in nats, for a Gaussian posterior."""
        squares = (posterior.mean - self.mean).square() + posterior.log_variance.exp()
        return 0.5 * (squares * (-self.log_variance).exp() - 1 + self.log_variance - posterior.log_variance)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-densities (B,) of codes `z` (B, Z), in nats."""
        squares = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squares + self.log_variance + LOG_2_PI).sum(1)

    def log_ratio(self, posterior: GaussianPosterior, z: Tensor, eps: Tensor) -> Tensor:
        """Return log(p(z | y) / q(z | x)) (B,), in nats, for z = posterior.sample(eps)."""
        return self.log_prob(z) - posterior.log_prob(eps)

    def transform(self, noise: Tensor, choice: Tensor) -> Tensor:
        """Return samples mean + std * noise (B, Z)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def center(self, choice: Tensor) -> Tensor:
        """Return the means (B, Z)."""
        return self.mean

    def rows(self, index: slice) -> DiagonalGaussian:
        """Return the density of the images in a slice of the batch."""
        return DiagonalGaussian(self.mean[index], self.log_variance[index])

    def repeat(self, samples: int) -> DiagonalGaussian:
        """Return the density in which each image is repeated `samples` times consecutively."""
        return DiagonalGaussian(*(values.repeat_interleave(samples, 0) for values in self))


class DiagonalMixture(NamedTuple):
    """A mixture of K diagonal Gaussians, the same for all images.

    Attributes:
        log_weights: (K,) logarithms of the weights, which add up to 1.
        mean: (K, Z) means of the components.
        log_variance: (K, Z) logarithms of the variances of the components.
    """

    log_weights: Tensor
    mean: Tensor
    log_variance: Tensor

    def kl(self, posterior: Posterior) -> None:
        """Return None, because the KL divergence from a mixture has no closed form."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-densities (B,) of codes `z` (B, Z), in nats."""
        rows = max(1, ELEMENTS // self.mean.numel())
        return torch.cat([self._log_prob(chunk) for chunk in z.split(rows)])

    def _log_prob(self, z: Tensor) -> Tensor:
        deviation = (z[:, None] - self.mean) * (-0.5 * self.log_variance).exp()  # (B, K, Z)
        constant = self.log_weights - 0.5 * (self.log_variance + LOG_2_PI).sum(1)
        return (constant - 0.5 * deviation.square().sum(2)).logsumexp(1)

    def log_ratio(self, posterior: GaussianPosterior, z: Tensor, eps: Tensor) -> Tensor:
        """Return log(p(z) / q(z | x)) (B,), in nats, for z = posterior.sample(eps)."""
        return self.log_prob(z) - posterior.log_prob(eps)

    def transform(self, noise: Tensor, choice: Tensor) -> Tensor:
        """Return samples mean + std * noise (B, Z) of the components that `choice` (B,) selects."""
        chosen = self._components(choice)
        return self.mean[chosen] + (0.5 * self.log_variance[chosen]).exp() * noise

    def center(self, choice: Tensor) -> Tensor:
        """Return the means (B, Z) of the components that `choice` (B,) selects."""
        return self.mean[self._components(choice)]

    def _components(self, choice: Tensor) -> Tensor:
        """Return the component (B,) for each uniform random number: component k with probability w_k."""
        last = len(self.log_weights) - 1
        edges = self.log_weights.detach().exp().cumsum(0)
        return torch.searchsorted(edges, choice.to(edges), right=True).clamp(max=last)

    def rows(self, index: slice) -> DiagonalMixture:
        """Return this density, which is the same for all images."""
        return self

    def repeat(self, samples: int) -> DiagonalMixture:
        """Return this density, which is the same for all images."""
        return self
