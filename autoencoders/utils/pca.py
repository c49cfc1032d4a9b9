"""Principal components of uint8 images of any size, used by the residual net, the PCA model and the baselines."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

if TYPE_CHECKING:

    class Images(Protocol):
        """uint8 images (N, C, H, W): a tensor, or rows of an array on disk that are read when they are indexed."""

        @property
        def shape(self) -> torch.Size:
            """(N, C, H, W)."""
            ...

        @property
        def device(self) -> torch.device:
            """Device of the rows that are read."""
            ...

        def __hash__(self) -> int: ...

        def __len__(self) -> int: ...

        def __getitem__(self, key: int | slice | Tensor, /) -> Tensor: ...


DENSE_LIMIT = 4096
"""Number of pixels up to which the covariance matrix is decomposed. Larger images use Krylov iteration."""
TOLERANCE, ROUNDS = 1e-6, 30
_CHUNK = 2048
"""Number of small images read at a time, so that a memory-mapped array is never copied completely."""
_EXACT = 2**24 // 255**2
"""Number of images whose products of pixels, at most 255^2 each, have a sum that is exact in float32."""


@functools.lru_cache(maxsize=1)  # the net, the model and the baseline use the same images
def principal_components(images: Images, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the leading principal components, exact up to DENSE_LIMIT pixels, as scikit-learn's PCA computes them.

    Args:
        images: (N, C, H, W) uint8.
        count: number of components, at most min(N - 1, C H W).

    Returns:
        The mean (D,), the components (count, D), orthonormal, each with a positive largest entry, and their variances
        (count,), all float64, for pixels in [0, 1].

    Raises:
        UserError: if there are fewer components than requested.
    """
    number, pixels = len(images), images[0].numel()
    if count > min(number - 1, pixels):
        raise UserError(
            f"{number} training images of {pixels} pixels have at most {min(number - 1, pixels)} principal "
            f"components, got latent_dim={count}. Lower latent_dim."
        )
    total = torch.zeros(pixels, dtype=torch.int64, device=images.device)
    for rows in chunk_slices(number, 8 * pixels, _CHUNK):
        total += images[rows].flatten(1).sum(0)
    mean = total.double() / (255 * number)
    if pixels <= DENSE_LIMIT:
        variances, vectors = torch.linalg.eigh(_covariance(images, total.double()))
        variances, components = variances.flip(0)[:count], vectors.T.flip(0)[:count]
    else:
        variances, components = _krylov(images, mean, count)
    peak = components.gather(1, components.abs().argmax(1, keepdim=True))  # (count, 1)
    return mean, components * peak.sign(), variances


def _covariance(images: Images, total: Tensor) -> Tensor:
    """Return the (D, D) float64 covariance of pixels in [0, 1], given their (D,) sums over the images.

    Products are summed in float32, which is several times faster than float64. All sums are integers that float32
    represents exactly.
    """
    number, products = len(images), torch.zeros(len(total), len(total), dtype=torch.float64, device=total.device)
    for start in range(0, number, _EXACT):
        rows = images[start : start + _EXACT].flatten(1).float()
        products += rows.T @ rows
    return (products - torch.outer(total, total) / number) / (255**2 * (number - 1))


def _krylov(images: Images, mean: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the leading eigenpairs of the covariance, using only products with the images.

    Randomized block Krylov iteration (Musco and Musco, 2015, "Randomized block Krylov methods for stronger and faster
    approximate singular value decomposition") runs until the requested eigenvalues agree to TOLERANCE between two
    rounds. The unexplained variance is then exact to five digits; single components of nearly equal variance may still
    be mixed.
    """
    pixels = len(mean)
    size, mean = min(pixels, max(count // 2, 20)), mean.float()
    block = torch.randn(pixels, size, generator=torch.Generator().manual_seed(0))
    basis, product, before = torch.empty(pixels, 0), torch.empty(pixels, 0), torch.zeros(count, dtype=torch.float64)
    for _ in range(ROUNDS):
        for _ in range(2):  # the second pass removes the rounding errors of the first
            block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
        basis = torch.cat([basis, block], dim=1)
        block = _covariance_times(images, mean, block)
        product = torch.cat([product, block], dim=1)
        if basis.shape[1] < count:
            continue
        projected = (basis.T @ product).double()
        values, vectors = torch.linalg.eigh((projected + projected.T) / 2)
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        if ((values - before).abs() <= TOLERANCE * values).all() or basis.shape[1] + size > pixels:
            break
        before = values
    return values, torch.linalg.qr(basis.double() @ vectors).Q.T


def _covariance_times(images: Images, mean: Tensor, block: Tensor) -> Tensor:
    """Multiply the covariance matrix of the images (D, D), which is never formed, by (D, B)."""
    product = torch.zeros_like(block)
    for rows in chunk_slices(len(images), 4 * len(mean), _CHUNK):
        centered = images[rows].flatten(1).float().div_(255).sub_(mean)
        product.addmm_(centered.T, centered @ block)
    return product / (len(images) - 1)


@dataclass
class PCABaseline:
    """Projection onto principal components of the training images, and back.

    Attributes:
        mean: (D,) float64.
        components: (K, D) float64.
        shape: (C, H, W).
    """

    mean: Tensor
    components: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, images: Images, count: int) -> PCABaseline:
        """Fit to uint8 images (N, C, H, W)."""
        mean, components, _ = principal_components(images, count)
        channels, height, width = images[0].shape
        return cls(mean, components, (channels, height, width))

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"PCA-{len(self.components)}"

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K) float32."""
        return ((x.flatten(1).double() - self.mean) @ self.components.T).float()

    def decode(self, z: Tensor) -> Tensor:
        """(N, K) -> (N, C, H, W) float32, not clipped."""
        return (self.mean + z.double() @ self.components).float().unflatten(1, self.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Project images, (N, C, H, W)."""
        return self.decode(self.encode(x))
