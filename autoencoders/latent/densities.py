"""Densities over codes, all with `fit(z)`, `sample(n, generator)` and `log_density(z)`."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class StandardNormal:
    """N(0, I): the prior of a VAE."""

    name = "the prior N(0, I)"

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = latent_dim

    def fit(self, z: Tensor) -> StandardNormal:
        """Nothing to fit."""
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, Z) float32 draws on the CPU."""
        return torch.randn(count, self.latent_dim, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) nats for (N, Z) codes."""
        return -0.5 * (z.double().square() + math.log(2 * math.pi)).sum(1)


class GaussianFull:
    """A Gaussian with the mean and covariance of the codes it is fitted to."""

    name = "a Gaussian fitted to the codes"
    jitter = 1e-6
    """Added to the covariance's diagonal, in units of the codes' mean variance: dead latents have none."""

    def fit(self, z: Tensor) -> GaussianFull:
        """Take mean and covariance from (N, Z) codes, in float64."""
        z = z.double().cpu()
        self.mean = z.mean(0)
        covariance = torch.atleast_2d(torch.cov(z.T))
        floor = self.jitter * covariance.diagonal().mean().clamp(min=1e-12)
        self.root = torch.linalg.cholesky(covariance + floor * torch.eye(len(self.mean)))
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, Z) float32 draws on the CPU."""
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + eps @ self.root.T).float()

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) nats for (N, Z) codes."""
        normal = torch.distributions.MultivariateNormal(self.mean, scale_tril=self.root)
        return normal.log_prob(z.double().cpu())
