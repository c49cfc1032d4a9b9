"""Principal components of a uint8 store of images of any size: a net, a model and a baseline start from them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

DENSE_LIMIT = 4096
"""Up to this many pixels the covariance is decomposed whole; beyond it, by Krylov iteration."""
TOLERANCE, ROUNDS = 1e-6, 30
_CHUNK = 2048
"""Images that are read at once, unless they are large: a memory-mapped store is never copied whole."""
_EXACT = 2**24 // 255**2
"""Images whose products of pixels, at most 255^2 each, add up to a whole number that float32 still holds."""


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
    total = sum(images[part].flatten(1).sum(0) for part in chunk_slices(number, 8 * pixels, _CHUNK))  # int64
    mean = total.double() / (255 * number)
    if pixels <= DENSE_LIMIT:
        variances, vectors = torch.linalg.eigh(_covariance(images, total.double()))
        variances, components = variances.flip(0)[:count], vectors.T.flip(0)[:count]
    else:
        variances, components = _krylov(images, mean, count)
    peak = components.gather(1, components.abs().argmax(1, keepdim=True))  # (count, 1)
    return mean, components * peak.sign(), variances


def _covariance(images: Tensor, total: Tensor) -> Tensor:
    """The (D, D) float64 covariance of pixels in [0, 1], given their (D,) sums over the images.

    Products are summed in float32, several times as fast as float64, and none is rounded: they are whole numbers.
    """
    number, products = len(images), torch.zeros(len(total), len(total), dtype=torch.float64, device=total.device)
    for start in range(0, number, _EXACT):
        rows = images[start : start + _EXACT].flatten(1).float()
        products += rows.T @ rows
    return (products - torch.outer(total, total) / number) / (255**2 * (number - 1))


def _krylov(images: Tensor, mean: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenpairs of the covariance from products with the images alone.

    Randomized block Krylov iteration (Musco and Musco, 2015, "Randomized block Krylov methods for stronger and
    faster approximate singular value decomposition"), until the eigenvalues asked for agree to TOLERANCE from one
    round to the next: what the components leave unexplained is then exact to five digits, while single components
    of nearly equal variance may still be mixed with one another.
    """
    pixels = len(mean)
    size, mean = min(pixels, max(count // 2, 20)), mean.float()
    block = torch.randn(pixels, size, generator=torch.Generator().manual_seed(0))
    basis, product, before = torch.empty(pixels, 0), torch.empty(pixels, 0), torch.zeros(count, dtype=torch.float64)
    for _ in range(ROUNDS):
        for _ in range(2):  # twice is enough: what rounding leaves of the earlier blocks goes the second time
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


def _covariance_times(images: Tensor, mean: Tensor, block: Tensor) -> Tensor:
    """The training images' covariance matrix (D, D), never formed, times (D, B)."""
    product = torch.zeros_like(block)
    for part in chunk_slices(len(images), 4 * len(mean), _CHUNK):
        centered = images[part].flatten(1).float().div_(255).sub_(mean)
        product.addmm_(centered.T, centered @ block)
    return product / (len(images) - 1)


@dataclass
class PCABaseline:
    """Coordinates on principal components of the training images, and back.

    Attributes:
        mean: (D,) float64.
        components: (K, D) float64.
        shape: (C, H, W).
    """

    mean: Tensor
    components: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, images: Tensor, count: int) -> PCABaseline:
        """Fitted to uint8 images (N, C, H, W)."""
        mean, components, _ = principal_components(images, count)
        return cls(mean, components, tuple(images[0].shape))

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"PCA-{len(self.components)}"

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K) float32."""
        return ((x.flatten(1).double() - self.mean) @ self.components.T).float()

    def decode(self, z: Tensor) -> Tensor:
        """(N, K) -> (N, C, H, W) float32, not clipped."""
        return (self.mean + z.double() @ self.components).float().unflatten(1, self.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The projection of images, (N, C, H, W)."""
        return self.decode(self.encode(x))
