"""Regularizers of the codes: total correlation, the moments of DIP-VAE, and the maximum mean discrepancy (MMD).

A regularizer is a term of a whole batch. The loss contains `weight` * regularizer in addition to
distortion + beta * rate. With several processes, it is computed from the images of each process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.objectives.aggregate import log_densities
from autoencoders.objectives.posteriors import GaussianPosterior, Posterior, PosteriorFamily
from autoencoders.types import UserError
from autoencoders.utils.checks import check_not_negative, check_positive, require
from autoencoders.utils.recorded import Recorded


class CodeBatch(NamedTuple):
    """Codes of a batch of B images, the arguments of a regularizer.

    Attributes:
        posterior: posteriors q(z | x) of the images.
        z: (B, Z) one sample of each posterior.
        prior: (B, Z) samples of the prior.
        images: N, the number of training images, of which the batch is a random part.
    """

    posterior: Posterior
    z: Tensor
    prior: Tensor
    images: int


class Regularizer(Recorded):
    """Base class of the regularizers.

    Args:
        weight: weight of the regularizer in the loss.

    Attributes:
        active: whether the loss has a regularizer.
    """

    active = True

    def __init__(self, weight: float = 1.0) -> None:
        check_not_negative("regularizer.weight", weight)
        self.weight = float(weight)

    @property
    def name(self) -> str:
        """Display name of the regularizer in figure titles; empty without one."""
        return ""

    def check(self, posteriors: PosteriorFamily, weighted: bool, prior: str = "standard_normal") -> None:
        """Check that the regularizer can be used with a posterior family, an objective and a prior.

        Args:
            posteriors: family of the posteriors.
            weighted: whether the objective weights samples by importance (IWAE).
            prior: name of the prior.

        Raises:
            UserError: if they cannot be combined.
        """
        if weighted:
            raise UserError(
                "regularizer must be none with objective=iwae, because the weighted samples are not samples of the "
                f"posterior, got {self.name}. Set regularizer=none, or choose objective=elbo."
            )

    def __call__(self, codes: CodeBatch) -> Tensor:
        """Return the regularizer (), before it is multiplied by its weight."""
        raise NotImplementedError


class NoRegularizer(Regularizer):
    """No regularizer: the loss is distortion + beta * rate."""

    active = False

    def __init__(self) -> None:
        super().__init__(0.0)

    def check(self, posteriors: PosteriorFamily, weighted: bool, prior: str = "standard_normal") -> None:
        """Accept every posterior family, objective and prior."""


def _require_gaussian(posteriors: PosteriorFamily, name: str) -> None:
    """Raise UserError if a regularizer needs the densities of the posterior and the posterior has none."""
    if not posteriors.stochastic:
        raise UserError(
            f"regularizer={name} needs a model that samples codes, but this model has one code per image. Choose "
            "regularizer=mmd or regularizer=none, or model=vae."
        )
    if not posteriors.gaussian:
        raise UserError(
            f"regularizer={name} needs Gaussian samples of the posterior, but the samples with {posteriors.name} are "
            "not Gaussian. Choose posterior=gaussian with its default noise and std, or regularizer=none."
        )


class TotalCorrelation(Regularizer):
    """Total correlation of the code, KL(q(z) || prod_d q(z_d)), in nats (beta-TCVAE).

    The loss distortion + rate + weight * total correlation is that of beta-TCVAE with the factor 1 + weight of the
    total correlation, because the rate contains the total correlation once: rate = mutual information + total
    correlation + dimension-wise KL.

    q(z) is estimated from the posteriors of the batch:

    - `weighted`: every posterior has the weight 1 / (N B). The estimate is too large by a constant, about
      (Z - 1) log N, which does not change gradients.
    - `stratified`: the posterior of the image itself has the weight 1 / N, and the others share the rest.

    Source: Chen, Li, Grosse and Duvenaud, "Isolating sources of disentanglement in VAEs", 2018.

    Args:
        weight: weight of the total correlation in addition to its weight in beta * rate.
        sampling: `stratified` or `weighted`.
    """

    def __init__(self, weight: float = 5.0, sampling: str = "stratified") -> None:
        super().__init__(weight)
        require(sampling in SAMPLINGS, "regularizer.sampling", sampling, f"one of {list(SAMPLINGS)}")
        self.sampling = sampling

    @property
    def name(self) -> str:
        """Display name of the regularizer in figure titles."""
        return f"total correlation {self.weight:g}"

    def check(self, posteriors: PosteriorFamily, weighted: bool, prior: str = "standard_normal") -> None:
        """Check that the posteriors have Gaussian densities. See `Regularizer.check`."""
        super().check(posteriors, weighted, prior)
        _require_gaussian(posteriors, "tc")

    def __call__(self, codes: CodeBatch) -> Tensor:
        """Return the estimate () of the total correlation, in nats. It is 0 for a single image."""
        posterior, size = codes.posterior, len(codes.z)
        if not isinstance(posterior, GaussianPosterior):
            raise TypeError("The total correlation needs a GaussianPosterior.")
        weights = SAMPLINGS[self.sampling](size, max(codes.images, size), codes.z.device)
        estimate = log_densities(codes.z, posterior, weights)
        total = (estimate.joint - estimate.marginals).mean()
        return total if size > 1 else 0 * total


def _weighted_sampling(size: int, images: int, device: torch.device) -> Tensor:
    """Return the logarithms of the weights (B, B) of minibatch-weighted sampling (Chen et al., 2018)."""
    return torch.full((size, size), -math.log(size * images), device=device)


def _stratified_sampling(size: int, images: int, device: torch.device) -> Tensor:
    """Return the logarithms of the weights (B, B) of minibatch stratified sampling (Chen et al., 2018).

    Row i has the weight 1 / N for image i, (N - M) / (N M) for the next image, and 1 / M for the others, where
    M = B - 1. A row adds up to 1.
    """
    others = max(size - 1, 1)
    weights = torch.full((size, size), 1 / others, device=device)
    rows = torch.arange(size, device=device)
    weights[rows, (rows + 1) % size] = (images - others) / (images * others)
    weights[rows, rows] = 1 / images
    return weights.log()


SAMPLINGS: dict[str, Callable[[int, int, torch.device], Tensor]] = {
    "stratified": _stratified_sampling,
    "weighted": _weighted_sampling,
}
"""Name of an estimator -> function of (B, N, device) that returns the logarithms of its weights (B, B)."""


class DIP(Regularizer):
    """Difference between a covariance matrix of the code and the identity matrix (DIP-VAE).

    The regularizer is lambda_od * sum of squares off the diagonal + lambda_d * sum of (diagonal - 1)^2. Its weight in
    the loss is 1.

    Source: Kumar, Sattigeri and Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled
    observations", 2018.

    Args:
        lambda_od: weight of the elements off the diagonal.
        lambda_d: weight of the elements on the diagonal.
    """

    kind = ""

    def __init__(self, lambda_od: float, lambda_d: float) -> None:
        super().__init__(1.0)
        for name, value in {"lambda_od": lambda_od, "lambda_d": lambda_d}.items():
            check_not_negative(f"regularizer.{name}", value)
        self.lambda_od, self.lambda_d = float(lambda_od), float(lambda_d)

    @property
    def name(self) -> str:
        """Display name of the regularizer in figure titles."""
        return f"DIP-VAE-{self.kind} {self.lambda_od:g}, {self.lambda_d:g}"

    def check(self, posteriors: PosteriorFamily, weighted: bool, prior: str = "standard_normal") -> None:
        """Check that the posteriors are Gaussian. See `Regularizer.check`."""
        super().check(posteriors, weighted, prior)
        _require_gaussian(posteriors, f"dip_{self.kind.lower()}")
        if prior != "standard_normal":
            raise UserError(
                f"prior must be standard_normal with regularizer=dip_{self.kind.lower()}, which draws the covariance "
                f"matrix of the codes to that of N(0, I), got {prior}. Set prior=standard_normal, or choose another "
                "regularizer."
            )

    def covariance(self, codes: CodeBatch) -> Tensor:
        """Return the covariance matrix (Z, Z) of the posterior means of the batch."""
        centered = codes.posterior.mean - codes.posterior.mean.mean(0)
        return centered.T @ centered / len(centered)

    def __call__(self, codes: CodeBatch) -> Tensor:
        """Return the weighted squared difference () from the identity matrix."""
        covariance = self.covariance(codes)
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        return self.lambda_od * off + self.lambda_d * (diagonal - 1).square().sum()


class DIPI(DIP):
    """DIP-VAE-I: the covariance matrix of the posterior means. See `DIP`.

    Args:
        lambda_od: weight of the elements off the diagonal.
        lambda_d: weight of the elements on the diagonal; the paper uses 10 * lambda_od.
    """

    kind = "I"

    def __init__(self, lambda_od: float = 10.0, lambda_d: float = 100.0) -> None:
        super().__init__(lambda_od, lambda_d)


class DIPII(DIP):
    """DIP-VAE-II: the covariance matrix of the samples z, which includes the mean posterior variance. See `DIP`.

    Args:
        lambda_od: weight of the elements off the diagonal.
        lambda_d: weight of the elements on the diagonal; the paper uses lambda_od.
    """

    kind = "II"

    def __init__(self, lambda_od: float = 10.0, lambda_d: float = 10.0) -> None:
        super().__init__(lambda_od, lambda_d)

    def covariance(self, codes: CodeBatch) -> Tensor:
        """Return the covariance matrix (Z, Z) of z: that of the posterior means, plus the mean posterior variance."""
        return super().covariance(codes) + codes.posterior.log_variance.exp().mean(0).diag()


class MMD(Regularizer):
    """Squared maximum mean discrepancy between samples z of the aggregate posterior and samples of the prior.

    It is the unbiased estimate of E k(z, z') + E k(p, p') - 2 E k(z, p) for codes z and samples p of the prior (Gretton
    et al., 2012, lemma 6), without unit. It can be below 0. With C = 2 Z bandwidth^2 and the squared distance d^2,
    the kernel is

    - `imq`: C / (C + d^2), the inverse multiquadratic kernel of WAE-MMD (Tolstikhin et al., "Wasserstein
      auto-encoders", 2018).
    - `rbf`: exp(-d^2 / C), the Gaussian kernel of InfoVAE (Zhao, Song and Ermon, "InfoVAE", 2019).

    Two samples of N(0, I) have the mean squared distance C if the bandwidth is 1.

    Args:
        weight: weight of the squared MMD in the loss.
        kernel: `imq` or `rbf`.
        bandwidth: bandwidth relative to the standard deviation of the prior.
    """

    def __init__(self, weight: float = 1000.0, kernel: str = "imq", bandwidth: float = 1.0) -> None:
        super().__init__(weight)
        require(kernel in KERNELS, "regularizer.kernel", kernel, f"one of {list(KERNELS)}")
        check_positive("regularizer.bandwidth", bandwidth)
        self.kernel, self.bandwidth = kernel, float(bandwidth)

    @property
    def name(self) -> str:
        """Display name of the regularizer in figure titles."""
        return f"MMD ({self.kernel}) {self.weight:g}"

    def __call__(self, codes: CodeBatch) -> Tensor:
        """Return the estimate () of the squared MMD. It is 0 for a single image."""
        z, prior, count = codes.z, codes.prior, len(codes.z)
        if count < 2:
            return 0 * z.sum()
        scale = 2 * z.shape[1] * self.bandwidth**2

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
            return KERNELS[self.kernel](squares.clamp_min(0), scale)

        # The kernel of a point with itself is 1.
        within = (kernel(z, z).sum() + kernel(prior, prior).sum() - 2 * count) / (count * (count - 1))
        return within - 2 * kernel(z, prior).mean()


KERNELS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "imq": lambda squares, scale: scale / (scale + squares),
    "rbf": lambda squares, scale: (-squares / scale).exp(),
}
"""Name of a kernel -> function of squared distances and the scale C."""
