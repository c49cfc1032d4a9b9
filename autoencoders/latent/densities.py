"""Probability densities of codes: fixed densities, Gaussians and Gaussian mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from autoencoders.types import UserError


class Density(Protocol):
    """Protocol of a probability density of codes with Z latents."""

    @property
    def name(self) -> str:
        """Return the display name of the density in figure titles."""

    @property
    def mean(self) -> Tensor:
        """Return the mean (Z,) of the density. Call `fit` first."""

    def fit(self, z: Tensor, validation: Tensor | None = None) -> Density:
        """Fit the density to codes `z` (N, Z).

        Hyperparameters, such as a bandwidth or a number of components, are chosen on `validation` codes (M, Z).
        """

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats, as float64. It includes all Z dimensions."""


FLOOR = 1e-6
"""Lower bound on the variance in every direction, as a fraction of the mean variance of the codes.

It keeps log-densities finite if a latent is inactive.
"""


class StandardNormal:
    """The standard normal density N(0, I), which is the prior of a VAE."""

    name = "the prior N(0, I)"

    def __init__(self, latent_dim: int = 0) -> None:
        self.latent_dim = latent_dim  # set by fit if 0

    @property
    def mean(self) -> Tensor:
        """Return the mean (Z,), which is 0."""
        return torch.zeros(self.latent_dim, dtype=torch.float64)

    def fit(self, z: Tensor, validation: Tensor | None = None) -> StandardNormal:
        """Set the number of latents to that of the codes `z` (N, Z). `validation` is ignored."""
        self.latent_dim = z.shape[1]
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        return torch.randn(count, self.latent_dim, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats."""
        return -0.5 * (z.double().square() + math.log(2 * math.pi)).sum(1)


class Uniform:
    """A uniform density with the same interval for every latent.

    Use it for models that are trained with uniform noise in the posterior (`posterior.noise=uniform`).

    Args:
        low: lower end of the interval.
        high: upper end of the interval.

    Raises:
        UserError: if `low` is not less than `high`, or if one of them is not finite.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        if not -math.inf < low < high < math.inf:
            raise UserError(
                f"low and high of a uniform density must be finite numbers with low < high, got {low} and {high}."
            )
        self.low, self.high, self.latent_dim = float(low), float(high), 0
        self.name = f"U({low:g}, {high:g})"

    @property
    def mean(self) -> Tensor:
        """Return the mean (Z,), which is the center of the interval."""
        return torch.full((self.latent_dim,), (self.low + self.high) / 2, dtype=torch.float64)

    def fit(self, z: Tensor, validation: Tensor | None = None) -> Uniform:
        """Set the number of latents to that of the codes `z` (N, Z). `validation` is ignored."""
        self.latent_dim = z.shape[1]
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        return self.low + (self.high - self.low) * torch.rand(count, self.latent_dim, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats. It is -inf if a latent is outside the interval."""
        inside = ((z >= self.low) & (z <= self.high)).all(1).double()
        return inside.log() - z.shape[1] * math.log(self.high - self.low)


class GaussianDiagonal:
    """One independent Gaussian per latent, with the mean and variance of this latent in the codes."""

    name = "independent Gaussians fitted to the codes"

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianDiagonal:
        """Estimate the mean and variance of each latent from codes `z` (N, Z), in float64. `validation` is ignored."""
        z = z.double().cpu()
        variance = z.var(0, correction=min(1, len(z) - 1))  # one code has no variance
        self.mean = z.mean(0)
        self.scale = variance.clamp(min=FLOOR * float(variance.mean().clamp(min=1e-12))).sqrt()
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + eps * self.scale).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats."""
        return torch.distributions.Normal(self.mean, self.scale).log_prob(z.double().cpu()).sum(1)


class GaussianFull:
    """A multivariate Gaussian with the mean and covariance matrix of the codes."""

    name = "a Gaussian fitted to the codes"

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianFull:
        """Estimate the mean and covariance matrix of codes `z` (N, Z), in float64. `validation` is ignored."""
        z = z.double().cpu()
        self.mean = z.mean(0)
        covariance = torch.atleast_2d(torch.cov(z.T, correction=min(1, len(z) - 1)))  # one code has no variance
        floor = FLOOR * covariance.diagonal().mean().clamp(min=1e-12)
        self.root = torch.linalg.cholesky(covariance + floor * torch.eye(len(self.mean)))
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + eps @ self.root.T).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats."""
        normal = torch.distributions.MultivariateNormal(self.mean, scale_tril=self.root)
        return normal.log_prob(z.double().cpu())


class GaussianMixture:
    """A mixture of Gaussians with full covariances, fitted by expectation maximization.

    Args:
        components: number of Gaussians in the mixture, or a list of candidates. From a list, `fit` chooses the number
            with the highest mean log-density of the validation codes.
        rows: maximum number of codes for the fit. From a larger set, evenly spaced codes are used.
        iterations: maximum number of iterations of expectation maximization.
        seed: random seed for the initialization.

    Raises:
        UserError: if `components` is empty or contains a number below 1.
    """

    name = "a mixture of Gaussians"

    def __init__(
        self, components: int | Sequence[int] = (2, 5, 10), rows: int = 20_000, iterations: int = 50, seed: int = 0
    ) -> None:
        self.components = (components,) if isinstance(components, int) else tuple(components)
        if not self.components or min(self.components) < 1:
            raise UserError(f"components of a Gaussian mixture must be one or more integers >= 1, got {components}.")
        self.rows, self.iterations, self.seed = rows, iterations, seed

    def fit(self, z: Tensor, validation: Tensor | None = None) -> GaussianMixture:
        """Fit the mixture to codes `z` (N, Z).

        The number of components is chosen on `validation` codes (M, Z). If `validation` is None and there is more than
        one candidate number, every tenth code of `z` is held out for this choice.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Mixture
        from threadpoolctl import threadpool_limits

        z, validation = split_codes(z, validation) if len(self.components) > 1 else (z, z)
        scored = validation.double().cpu().numpy()
        codes = z.double().cpu()[:: max(1, math.ceil(len(z) / self.rows))].numpy()
        floor = FLOOR * max(float(codes.var(0).mean()), 1e-12)
        fitted = []
        # Use one thread. With more threads, k-means and BLAS compete for the cores, and the results can differ between
        # runs because floating-point numbers are summed in another order.
        with threadpool_limits(1), warnings.catch_warnings():
            # A mixture that has not converged is still a valid candidate. Its validation score shows how good it is.
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
        """Return samples (count, Z) as float32 on the CPU."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        draws = self.means[chosen]
        for k in chosen.unique():
            rows = chosen == k
            draws[rows] += eps[rows] @ self.roots[k].T
        return draws.float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats."""
        parts = torch.distributions.MultivariateNormal(self.means[:, None], scale_tril=self.roots[:, None])
        return (parts.log_prob(z.double().cpu()) + self.weights.log()[:, None]).logsumexp(0)


def split_codes(z: Tensor, validation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the codes for a fit and the codes for the choice of hyperparameters.

    The latter are the validation codes (M, Z) if they are given. Otherwise every tenth code of `z` (N, Z) is held out.
    If N < 10, all codes are used for both purposes.
    """
    if validation is not None:
        return z, validation
    kept = torch.arange(len(z)) % 10 != 9
    return z[kept], z[~kept] if len(z) > 9 else z
