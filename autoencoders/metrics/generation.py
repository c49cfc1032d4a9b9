"""Comparison of two sets of images by their features: FID, KID, density and coverage, all computed in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoders.utils.chunks import chunk_slices


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet distance between two Gaussians, fitted to two sets of features.

    It is |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2), where m are the means and S the covariances. For features
    from a network this is the FID (Heusel et al., 2017, "GANs trained by a two time-scale update rule"). The estimate
    is too high, especially for small sets. Therefore compare only values from sets of equal size.

    Args:
        a: (N, F) features.
        b: (M, F) features.
    """
    (mean_a, root, trace_a), (mean_b, other, trace_b) = _gaussian(a), _gaussian(b)
    # tr (S_a S_b)^1/2 is the sum of the singular values of S_a^1/2 S_b^1/2.
    shared = torch.linalg.svdvals(root @ other).sum()
    return float((mean_a - mean_b).square().sum() + trace_a + trace_b - 2 * shared)


def _gaussian(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (F,), the symmetric square root (F, F) of the covariance, and the trace of the covariance.

    `x` (N, F) are features.
    """
    x = x.double()
    covariance = torch.atleast_2d(torch.cov(x.T))
    values, vectors = torch.linalg.eigh(covariance)
    return x.mean(0), (vectors * values.clamp_min(0).sqrt()) @ vectors.T, covariance.trace()


def kernel_distance(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3, and its standard error.

    For features from a network this is the KID (Binkowski et al., 2018, "Demystifying MMD GANs"), computed from all
    pairs of images instead of random subsets. It can be negative if the sets are similar. The standard error is a
    jackknife estimate.

    Args:
        a: (N, F) features, N > 2.
        b: (M, F) features, M > 2.
    """
    (n, m), (own_a, own_b) = (len(a), len(b)), (_kernel_sums(a, a, True), _kernel_sums(b, b, True))
    to_b, to_a = _kernel_sums(a, b), _kernel_sums(b, a)
    within_a, within_b, between = own_a.sum() / (n * (n - 1)), own_b.sum() / (m * (m - 1)), to_b.sum() / (n * m)
    variance = torch.zeros((), dtype=torch.float64)
    for own, others, count, size, rest in ((own_a, to_b, n, m, within_b), (own_b, to_a, m, n, within_a)):
        left = (own.sum() - 2 * own) / ((count - 1) * (count - 2))  # mean within the set without row i
        values = left + rest - 2 * (others.sum() - others) / ((count - 1) * size)
        variance = variance + (count - 1) / count * (values - values.mean()).square().sum()
    return float(within_a + within_b - 2 * between), float(variance.sqrt())


def _kernel_sums(a: Tensor, b: Tensor, same: bool = False) -> Tensor:
    """Return the sum (N,) of the kernel between each row of `a` (N, F) and all rows of `b` (M, F).

    With `same`, a and b are the same set, and the kernel between a row and itself is left out.
    """
    a, b = a.double(), b.double()
    sums = torch.cat([(a[rows] @ b.T / a.shape[1] + 1).pow_(3).sum(1) for rows in chunk_slices(len(a), 8 * len(b))])
    return sums - (a.square().sum(1) / a.shape[1] + 1).pow(3) if same else sums


def density_and_coverage(real: Tensor, drawn: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Return density and coverage per image (Naeem et al., 2020, "Reliable fidelity and diversity metrics").

    The neighborhood of a real image is a ball whose radius is the distance to the k-th nearest real image. The density
    of a generated image is the number of neighborhoods that contain this image, divided by k. The mean density is about
    1 if both sets have the same distribution, and larger if generated images concentrate where real images are dense.
    The coverage is the fraction of real images with a generated image in their neighborhood. It is about 1 - 2^-k for
    two large sets with the same distribution.

    Args:
        real: (N, F) features of real images, N > k.
        drawn: (M, F) features of generated images.
        k: number of neighbors that defines the neighborhood.

    Returns:
        The density (M,) of each generated image, and a vector (N,) that is 1 for real images with a generated image in
        their neighborhood and 0 for other real images. The means of these vectors are density and coverage.
    """
    real, drawn = real.double(), drawn.double()
    inside, covered = torch.zeros(len(drawn), dtype=torch.float64), []
    for rows in chunk_slices(len(real), 8 * max(len(real), len(drawn))):
        part = real[rows]
        radius = torch.cdist(part, real).kthvalue(k + 1).values[:, None]  # k + 1: the nearest is the image itself
        within = torch.cdist(part, drawn) < radius
        inside += within.sum(0)
        covered.append(within.any(1))
    return inside / k, torch.cat(covered).double()
