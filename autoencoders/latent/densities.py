"""Densities over codes, with `fit(z)`, `sample(n, generator)` and `log_density(z)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from autoencoders.types import UserError


class Density(Protocol):
    """Protocol of a density over codes."""

    @property
    def name(self) -> str:
        """Name in titles."""

    @property
    def mean(self) -> Tensor:
        """(Z,) mean, available after the fit."""

    def fit(self, z: Tensor, validation: Tensor | None = None) -> Density:
        """Fit to codes (N, Z). Hyperparameters (a bandwidth, a count) are chosen on validation codes (M, Z)."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) float64 nats for (N, Z) codes, of the density over all Z dimensions."""


FLOOR = 1e-6
"""Minimum variance in any direction, in units of the mean variance of the codes, for inactive latents."""


class StandardNormal:
    """N(0, I), the prior of a VAE."""

    name = "the prior N(0, I)"

    def __init__(self, latent_dim: int = 0) -> None:
        self.latent_dim = latent_dim  # set by fit if 0

    @property
    def mean(self) -> Tensor:
        """(Z,) zeros."""
        return torch.zeros(self.latent_dim, dtype=torch.float64)

    def fit(self, z: Tensor, validation: Tensor | None = None) -> StandardNormal:
        """Set the number of latents."""
        self.latent_dim = z.shape[1]
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""
        return torch.randn(count, self.latent_dim, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes."""
        return -0.5 * (z.double().square() + math.log(2 * math.pi)).sum(1)


class Uniform:
    """A uniform density with the same interval for every latent, for codes with uniform noise.

    Args:
        low: lower end of the interval.
        high: upper end of the interval.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        if not -math.inf < low < high < math.inf:
            raise UserError(f"A uniform density needs low < high, got {low} and {high}.")
        self.low, self.high, self.latent_dim = float(low), float(high), 0
        self.name = f"U({low:g}, {high:g})"

    @property
    def mean(self) -> Tensor:
        """(Z,) center of the interval."""
        return torch.full((self.latent_dim,), (self.low + self.high) / 2, dtype=torch.float64)

    def fit(self, z: Tensor, validation: Tensor | None = None) -> Uniform:
        """Set the number of latents."""
        self.latent_dim = z.shape[1]
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""
        return self.low + (self.high - self.low) * torch.rand(count, self.latent_dim, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes; -inf outside the interval."""
        inside = ((z >= self.low) & (z <= self.high)).all(1).double()
        return inside.log() - z.shape[1] * math.log(self.high - self.low)


class GaussianDiagonal:
    """Independent Gaussians with the mean and variance of each latent."""

    name = "independent Gaussians fitted to the codes"

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianDiagonal:
        """Estimate mean and variance of each latent from (N, Z) codes, in float64."""
        z = z.double().cpu()
        variance = z.var(0)
        self.mean = z.mean(0)
        self.scale = variance.clamp(min=FLOOR * float(variance.mean().clamp(min=1e-12))).sqrt()
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + eps * self.scale).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes."""
        return torch.distributions.Normal(self.mean, self.scale).log_prob(z.double().cpu()).sum(1)


class GaussianFull:
    """A Gaussian with the mean and covariance of the codes."""

    name = "a Gaussian fitted to the codes"

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianFull:
        """Estimate mean and covariance from (N, Z) codes, in float64."""
        z = z.double().cpu()
        self.mean = z.mean(0)
        covariance = torch.atleast_2d(torch.cov(z.T))
        floor = FLOOR * covariance.diagonal().mean().clamp(min=1e-12)
        self.root = torch.linalg.cholesky(covariance + floor * torch.eye(len(self.mean)))
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + eps @ self.root.T).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes."""
        normal = torch.distributions.MultivariateNormal(self.mean, scale_tril=self.root)
        return normal.log_prob(z.double().cpu())


class GaussianMixture:
    """A mixture of Gaussians with full covariances, fitted by expectation maximization.

    Args:
        components: number of components, or several: the one with the highest mean log-density on validation codes is
            used.
        rows: maximum number of codes to fit to, evenly spaced.
        iterations: maximum number of iterations.
        seed: seed of the initialization.
    """

    name = "a mixture of Gaussians"

    def __init__(
        self, components: int | Sequence[int] = (2, 5, 10), rows: int = 20_000, iterations: int = 50, seed: int = 0
    ) -> None:
        self.components = (components,) if isinstance(components, int) else tuple(components)
        if not self.components or min(self.components) < 1:
            raise UserError(f"components must be integers of at least 1, got {components}.")
        self.rows, self.iterations, self.seed = rows, iterations, seed

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianMixture:
        """Fit to (N, Z) codes. Without validation codes, every tenth row is held out."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Mixture
        from threadpoolctl import threadpool_limits

        z, validation = split_codes(z, validation) if len(self.components) > 1 else (z, z)
        scored = validation.double().cpu().numpy()
        codes = z.double().cpu()[:: max(1, math.ceil(len(z) / self.rows))].numpy()
        floor = FLOOR * max(float(codes.var(0).mean()), 1e-12)
        fitted = []
        # One thread, because k-means and BLAS would compete for the cores, and the order of sums would vary.
        with threadpool_limits(1), warnings.catch_warnings():
            # A fit that has not converged is weaker and is measured as it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for count in self.components:
                mixture = Mixture(
                    min(count, len(codes)), reg_covar=floor, max_iter=self.iterations, random_state=self.seed
                ).fit(codes)
                fitted.append((mixture.score(scored), mixture))
        best = max(fitted, key=lambda pair: pair[0])[1]
        self.weights = torch.from_numpy(best.weights_)
        self.means = torch.from_numpy(best.means_)  # (K, Z)
        self.roots = torch.linalg.cholesky(torch.from_numpy(best.covariances_))  # (K, Z, Z)
        self.mean = self.weights @ self.means
        self.name = f"a mixture of {len(self.weights)} Gaussians"
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count, Z) float32 samples on the CPU."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        draws = self.means[chosen]
        for k in chosen.unique():
            rows = chosen == k
            draws[rows] += eps[rows] @ self.roots[k].T
        return draws.float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes."""
        parts = torch.distributions.MultivariateNormal(self.means[:, None], scale_tril=self.roots[:, None])
        return (parts.log_prob(z.double().cpu()) + self.weights.log()[:, None]).logsumexp(0)


def split_codes(z: Tensor, validation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return codes to fit to and codes to choose on: the given validation codes, else every tenth row."""
    if validation is not None:
        return z, validation
    kept = torch.arange(len(z)) % 10 != 9
    return z[kept], z[~kept] if len(z) > 9 else z
