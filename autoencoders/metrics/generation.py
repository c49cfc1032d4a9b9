"""Distances between two sets of images, given as features: FID, KID, density and coverage, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoders.utils.chunks import chunk_slices


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2) for the means and covariances of two sets of features.

    For features of a network this is the FID (Heusel et al., 2017, "GANs trained by a two time-scale update rule"). It
    is biased upwards, more so for small sets: compare sets of equal size.

    Args:
        a: (N, F) features.
        b: (M, F) features.
    """
    (mean_a, root, trace_a), (mean_b, other, trace_b) = _gaussian(a), _gaussian(b)
    # tr (S_a S_b)^1/2 is the sum of the singular values of S_a^1/2 S_b^1/2.
    shared = torch.linalg.svdvals(root @ other).sum()
    return float((mean_a - mean_b).square().sum() + trace_a + trace_b - 2 * shared)


def _gaussian(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (F,), the symmetric root of the covariance (F, F), and the trace of the covariance."""
    x = x.double()
    covariance = torch.atleast_2d(torch.cov(x.T))
    values, vectors = torch.linalg.eigh(covariance)
    return x.mean(0), (vectors * values.clamp_min(0).sqrt()) @ vectors.T, covariance.trace()


def kernel_distance(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3, and its standard error.

    For features of a network this is the KID (Binkowski et al., 2018, "Demystifying MMD GANs"), here over all pairs
    instead of random subsets. It may be negative for similar sets. The error is a jackknife estimate.

    Args:
        a: (N, F) features, N > 2.
        b: (M, F) features, M > 2.
    """
    (n, m), (own_a, own_b) = (len(a), len(b)), (_kernel_sums(a, a, True), _kernel_sums(b, b, True))
    to_b, to_a = _kernel_sums(a, b), _kernel_sums(b, a)
    within_a, within_b, between = own_a.sum() / (n * (n - 1)), own_b.sum() / (m * (m - 1)), to_b.sum() / (n * m)
    variance = torch.zeros((), dtype=torch.float64)
    for own, others, count, size, rest in ((own_a, to_b, n, m, within_b), (own_b, to_a, m, n, within_a)):
        left = (own.sum() - 2 * own) / ((count - 1) * (count - 2))  # within one set, leaving out each row in turn
        values = left + rest - 2 * (others.sum() - others) / ((count - 1) * size)
        variance = variance + (count - 1) / count * (values - values.mean()).square().sum()
    return float(within_a + within_b - 2 * between), float(variance.sqrt())


def _kernel_sums(a: Tensor, b: Tensor, same: bool = False) -> Tensor:
    """Return (N,) sums of the kernel of each row of a (N, F) with all other rows of b (M, F)."""
    a, b = a.double(), b.double()
    sums = torch.cat([(a[rows] @ b.T / a.shape[1] + 1).pow_(3).sum(1) for rows in chunk_slices(len(a), 8 * len(b))])
    return sums - (a.square().sum(1) / a.shape[1] + 1).pow(3) if same else sums


def density_and_coverage(real: Tensor, drawn: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Return density and coverage per image (Naeem et al., 2020, "Reliable fidelity and diversity metrics").

    The neighborhood of a real image is the ball to its k-th nearest real image. Density is the number of neighborhoods
    that contain a generated image, divided by k: about 1 for equal distributions, larger if generated images
    concentrate in dense regions. Coverage is the share of real images with a generated image in their neighborhood:
    about 1 - 2^-k for two large sets of equal distribution.

    Args:
        real: (N, F) features, N > k.
        drawn: (M, F) features.
        k: number of neighbors.

    Returns:
        (M,) the contribution of each generated image to the mean density, and (N,) 1 for each covered real image, else
        0.
    """
    real, drawn = real.double(), drawn.double()
    inside, covered = torch.zeros(len(drawn), dtype=torch.float64), []
    for rows in chunk_slices(len(real), 8 * max(len(real), len(drawn))):
        part = real[rows]
        radius = torch.cdist(part, real).kthvalue(k + 1).values[:, None]  # the nearest image is the image itself
        within = torch.cdist(part, drawn) < radius
        inside += within.sum(0)
        covered.append(within.any(1))
    return inside / k, torch.cat(covered).double()
