"""Estimates of the aggregate posterior q(z) = E q(z | x) and of its marginals, from the posteriors of some images."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.objectives.posteriors import GaussianPosterior

PAIRS = 2**20
"""Maximum number of pairs of images in memory at the same time: 4 MB in float32 for each array."""


class LogDensities(NamedTuple):
    """Log-densities of N codes under an estimate of the aggregate posterior, in nats.

    Attributes:
        joint: (N,) log q(z).
        marginals: (N,) sum over latents of log q(z_d).
    """

    joint: Tensor
    marginals: Tensor


def pair_log_densities(z: Tensor, posterior: GaussianPosterior) -> Tensor:
    """Return log q(z_d | x) (N, M, Z) in nats for N codes `z` (N, Z) and the posteriors of M images."""
    deviation = (z[:, None] - posterior.mean) * (-posterior.log_std).exp()
    return -0.5 * deviation.square() - posterior.log_std - 0.5 * math.log(2 * math.pi)


def log_densities(z: Tensor, posterior: GaussianPosterior, log_weights: Tensor) -> LogDensities:
    """Return the log-densities of codes under a weighted mixture of posteriors.

    q(z) = sum_j w_j q(z | x_j), and the same weights are used for q(z_d).

    Args:
        z: codes (N, Z).
        posterior: posteriors q(z | x_j) of M images.
        log_weights: log w_j (M,), or (N, M) for weights that differ between the codes.
    """
    pairs = pair_log_densities(z, posterior)  # (N, M, Z)
    joint = (log_weights + pairs.sum(2)).logsumexp(1)
    return LogDensities(joint, (log_weights[..., None] + pairs).logsumexp(1).sum(1))


class Decomposition(NamedTuple):
    """Terms of the rate E log q(z | x) / p(z), in nats per image (Hoffman and Johnson, 2016; Chen et al., 2018).

    Attributes:
        mutual_information: index-code mutual information, E log q(z | x) / q(z).
        total_correlation: E log q(z) / prod_d q(z_d), which is 0 if the latents are independent.
        dimension_wise_kl: E log prod_d q(z_d) / p(z).
    """

    mutual_information: float
    total_correlation: float
    dimension_wise_kl: float


@torch.no_grad()
def decompose_rate(posterior: GaussianPosterior, z: Tensor, log_prior: Tensor) -> Decomposition:
    """Return the terms of the rate, for the aggregate posterior of N images with one code each.

    q(z) is the mixture of the N posteriors with equal weights. The three terms add up to the mean of
    log q(z | x) - log p(z) over the codes. The mutual information is at most log N, so that it is too small, and the
    total correlation too large, if the codes contain more information than that.

    Time is proportional to N^2 Z. Memory is bounded; see `PAIRS`.

    Args:
        posterior: posteriors of the N images.
        z: (N, Z) one sample of each posterior.
        log_prior: (N,) log p(z) of the codes, in nats.
    """
    count, size = z.shape
    parts = [_sum_densities(chunk, posterior) for chunk in z.split(max(1, PAIRS // count))]
    joint, marginals = (torch.cat(column).double().mean() for column in zip(*parts, strict=True))
    constant = 0.5 * size * math.log(2 * math.pi)
    joint, marginals = joint - math.log(count) - constant, marginals - size * math.log(count) - constant
    own = (-0.5 * ((z - posterior.mean) * (-posterior.log_std).exp()).square() - posterior.log_std).sum(1)
    conditional = own.double().mean() - constant
    terms = conditional - joint, joint - marginals, marginals - log_prior.double().mean()
    return Decomposition(*(float(term) for term in terms))


def _sum_densities(z: Tensor, posterior: GaussianPosterior) -> LogDensities:
    """Return the logarithms of sums of posterior densities, without the factors 1 / sqrt(2 pi).

    The densities of a latent are divided by their maximum over all posteriors and codes. Their sum does not underflow,
    because the code is a sample of one of the posteriors, and log-variances are bounded.

    Args:
        z: codes (N, Z), each a sample of one of the posteriors.
        posterior: posteriors of M images.
    """
    precision = (-posterior.log_std).exp().T.contiguous() * math.sqrt(0.5)  # (Z, M)
    scaled, codes = posterior.mean.T * precision, z.T
    top = -posterior.log_std.amin(0)  # (Z,)
    offset = -posterior.log_std.T - top[:, None]
    logs, marginals = torch.zeros(len(z), len(posterior.mean), device=z.device), torch.zeros(len(z), device=z.device)
    for d in range(z.shape[1]):  # one latent at a time, so that the arrays stay in the cache
        deviation = torch.addcmul(-scaled[d], codes[d][:, None], precision[d])  # (N, M)
        latent = offset[d] - deviation.square_()
        logs += latent
        marginals += latent.exp_().sum(1).log() + top[d]
    return LogDensities(logs.logsumexp(1) + top.sum(), marginals)
