"""Principal components of a uint8 store of images of any size: a net, a model and a baseline start from them."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from autoencoders.types import UserError

DENSE_LIMIT = 4096
"""Up to this many pixels the covariance is decomposed whole; beyond it, by subspace iteration."""
TOLERANCE, ITERATIONS = 1e-6, 50
_CHUNK = 2048


def _rows(images: Tensor, start: int) -> Tensor:
    """(<= _CHUNK, D) float64 rows in [0, 1] of a uint8 store; a memory-mapped one is never copied whole."""
    return images[start : start + _CHUNK].flatten(1).double() / 255


@functools.lru_cache(maxsize=1)  # the same images serve a net, a model and a baseline
def principal_components(images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The leading principal components, exact up to DENSE_LIMIT pixels, as scikit-learn's PCA gives them.

    Args:
        images: (N, C, H, W) uint8.
        count: number of components, at most min(N - 1, C H W).

    Returns:
        The mean (D,), the components (count, D), orthonormal, each with its largest entry positive, and
        their variances (count,), all float64, for pixels in [0, 1].

    Raises:
        UserError: where the images do not hold that many components.
    """
    number, pixels = len(images), images[0].numel()
    if count > min(number - 1, pixels):
        raise UserError(
            f"{number} training images of {pixels} pixels have at most {min(number - 1, pixels)} principal "
            f"components, and latent_dim is {count}. Lower latent_dim."
        )
    starts = range(0, number, _CHUNK)
    mean = sum(_rows(images, s).sum(0) for s in starts) / number
    if pixels <= DENSE_LIMIT:
        covariance = torch.zeros(pixels, pixels, dtype=torch.float64)
        for s in starts:
            centred = _rows(images, s) - mean
            covariance.addmm_(centred.T, centred)
        variances, vectors = torch.linalg.eigh(covariance / (number - 1))
        variances, components = variances.flip(0)[:count], vectors.T.flip(0)[:count]
    else:
        variances, components = _subspace(images, mean, count)
    peak = components.gather(1, components.abs().argmax(1, keepdim=True))  # (count, 1)
    return mean, components * peak.sign(), variances


def _subspace(images: Tensor, mean: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenpairs of the covariance by subspace iteration, from products with the images alone.

    Half as many vectors again as are asked for, multiplied until the eigenvalues asked for agree to TOLERANCE
    from one round to the next: what the components leave unexplained is then exact to five digits, while single
    components of nearly equal variance may still be mixed with one another.
    """
    size = min(len(mean), count + max(count // 2, 20))
    basis = torch.randn(len(mean), size, generator=torch.Generator().manual_seed(0))
    basis, before = torch.linalg.qr(basis).Q, torch.zeros(count, dtype=torch.float64)
    for _ in range(ITERATIONS):
        product, projected = torch.zeros_like(basis), torch.zeros(size, size, dtype=torch.float64)
        for start in range(0, len(images), _CHUNK):
            centred = (_rows(images, start) - mean).float()
            codes = centred @ basis  # (<= _CHUNK, size)
            product += centred.T @ codes
            projected += codes.double().T @ codes.double()
        values, vectors = torch.linalg.eigh(projected / (len(images) - 1))
        values, vectors = values.flip(0)[:count], vectors.flip(1)
        if ((values - before).abs() <= TOLERANCE * values).all():
            break
        before = values
        basis = torch.linalg.qr(product @ vectors.float()).Q
    return values, (basis.double() @ vectors[:, :count]).T
