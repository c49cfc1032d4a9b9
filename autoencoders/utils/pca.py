"""Principal component analysis (PCA) of stored images, for the residual net, the PCA model and the PCA baseline."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pixels import white_level

if TYPE_CHECKING:

    class Images(Protocol):
        """uint8 or uint16 images (N, C, H, W): a tensor, or an array on disk that is read when it is indexed."""

        @property
        def shape(self) -> torch.Size:
            """Return the shape (N, C, H, W)."""
            ...

        @property
        def dtype(self) -> torch.dtype:
            """Return the type of the pixels, uint8 or uint16."""
            ...

        @property
        def device(self) -> torch.device:
            """Return the device of the images."""
            ...

        def __hash__(self) -> int: ...

        def __len__(self) -> int: ...

        def __getitem__(self, key: int | slice | Tensor, /) -> Tensor: ...


DENSE_LIMIT = 4096
"""Maximum number of pixels for a decomposition of the covariance matrix. Larger images use Krylov iteration."""
TOLERANCE, ROUNDS = 1e-6, 30
"""Relative tolerance of the eigenvalues, and maximum number of rounds, for Krylov iteration."""
_CHUNK = 2048
"""Maximum number of images that are read at a time, so that a memory-mapped array is never copied completely."""
_MIDDLE = 128
"""Gray level that is subtracted from uint8 pixels before they are multiplied. The covariance does not depend on it."""
_EXACT = 2**24 // _MIDDLE**2
"""Maximum number of uint8 images per sum of products. A product is at most 128^2: the sum is exact in float32."""


@functools.lru_cache(maxsize=1)  # the net, the model and the baseline use the same images
def principal_components(images: Images, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the leading principal components of images, for pixels in [0, 1].

    The result equals scikit-learn's PCA, up to the signs of the components. It is approximate for images with more than
    DENSE_LIMIT pixels.

    Args:
        images: (N, C, H, W) uint8 or uint16 images with D = C H W pixels.
        count: number of components, at most min(N - 1, D).

    Returns:
        Mean image (D,), orthonormal components (count, D), and variances (count,) along the components, in descending
        order. All are float64. The entry with the largest absolute value in each component is positive.

    Raises:
        UserError: if `count` is larger than min(N - 1, D).
    """
    number, pixels = len(images), images[0].numel()
    if count > min(number - 1, pixels):
        raise UserError(
            f"latent_dim must be <= {min(number - 1, pixels)} because {number} training images of {pixels} pixels have "
            f"at most {min(number - 1, pixels)} principal components, got {count}. Lower latent_dim."
        )
    white = white_level(images.dtype)
    total = torch.zeros(pixels, dtype=torch.int64, device=images.device)
    for rows in chunk_slices(number, 8 * pixels, _CHUNK):
        total += images[rows].flatten(1).sum(0, dtype=torch.int64)
    mean = total.double() / (white * number)
    if pixels <= DENSE_LIMIT:
        variances, vectors = torch.linalg.eigh(_covariance(images, total.double()))
        variances, components = variances.flip(0)[:count], vectors.T.flip(0)[:count]
    else:
        variances, components = _krylov(images, mean, count)
    peak = components.gather(1, components.abs().argmax(1, keepdim=True))  # (count, 1)
    return mean, components * peak.sign(), variances


def _covariance(images: Images, total: Tensor) -> Tensor:
    """Return the covariance matrix (D, D) float64 of pixels in [0, 1].

    The products of uint8 pixels, minus `_MIDDLE`, are summed in float32, which is several times faster than float64.
    All sums are integers that float32 represents exactly. The products of uint16 pixels are summed in float64.

    Args:
        images: (N, C, H, W) uint8 or uint16 images.
        total: (D,) float64 sum of the images.
    """
    number, products = len(images), torch.zeros(len(total), len(total), dtype=torch.float64, device=total.device)
    kind, middle = (torch.float32, _MIDDLE) if images.dtype == torch.uint8 else (torch.float64, 0)
    for start in range(0, number, _EXACT):
        rows = images[start : start + _EXACT].flatten(1).to(kind).sub_(middle)
        products += rows.T @ rows
    total = total - middle * number
    return (products - torch.outer(total, total) / number) / (white_level(images.dtype) ** 2 * (number - 1))


def _krylov(images: Images, mean: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the leading eigenvalues (count,) and eigenvectors (count, D) of the covariance matrix of images.

    The covariance matrix is never computed; only its products with blocks of vectors are. The method is randomized
    block Krylov iteration (Musco and Musco, 2015, "Randomized block Krylov methods for stronger and faster approximate
    singular value decomposition"). It stops when the relative change of each requested eigenvalue between two rounds is
    at most TOLERANCE. The unexplained variance is then exact to five digits, but single components with nearly equal
    variances may be mixed.

    Args:
        images: (N, C, H, W) uint8 or uint16 images.
        mean: (D,) mean image for pixels in [0, 1].
        count: number of eigenvalues.
    """
    pixels = len(mean)
    size, mean = min(pixels, max(count // 2, 20)), mean.float()
    block = torch.randn(pixels, size, generator=torch.Generator().manual_seed(0))
    basis, product, before = torch.empty(pixels, 0), torch.empty(pixels, 0), torch.zeros(count, dtype=torch.float64)
    for _ in range(ROUNDS):
        for _ in range(2):  # the second orthogonalization removes rounding errors of the first
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
    """Return the product (D, B) of the covariance matrix of images and `block` (D, B), without computing the matrix."""
    product = torch.zeros_like(block)
    for rows in chunk_slices(len(images), 4 * len(mean), _CHUNK):
        centered = images[rows].flatten(1).float().div_(white_level(images.dtype)).sub_(mean)
        product.addmm_(centered.T, centered @ block)
    return product / (len(images) - 1)


@dataclass
class PCABaseline:
    """Baseline that encodes images as K principal components of the training images, and decodes them linearly.

    Attributes:
        mean: (D,) float64 mean image, with D = C H W pixels.
        components: (K, D) float64 orthonormal components.
        shape: shape (C, H, W) of one image.
        scale: (K,) float64 standard deviations of the training images along the components, by which the codes are
            divided (whitened PCA); None for codes that are not divided.
    """

    mean: Tensor
    components: Tensor
    shape: tuple[int, int, int]
    scale: Tensor | None = None

    @classmethod
    def of(cls, images: Images, count: int, whiten: bool = False) -> PCABaseline:
        """Return the baseline with `count` components, fitted to uint8 or uint16 images (N, C, H, W).

        With `whiten`, the codes of the images have variance 1, as with `whiten=True` in scikit-learn.
        """
        mean, components, variances = principal_components(images, count)
        channels, height, width = images[0].shape
        # The floor keeps rounding errors small along components without variance.
        scale = variances.clamp(min=1e-12).sqrt() if whiten else None
        return cls(mean, components, (channels, height, width), scale)

    @property
    def name(self) -> str:
        """Return the display name in tables, such as `PCA-20` or `whitened PCA-20`."""
        return f"{'' if self.scale is None else 'whitened '}PCA-{len(self.components)}"

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes (N, K) float32 of images `x` (N, C, H, W) in [0, 1]."""
        z = (x.flatten(1).double() - self.mean) @ self.components.T
        return (z if self.scale is None else z / self.scale).float()

    def decode(self, z: Tensor) -> Tensor:
        """Return the images (N, C, H, W) float32 of codes `z` (N, K). The pixels are not clipped to [0, 1]."""
        z = z.double() if self.scale is None else z.double() * self.scale
        return (self.mean + z @ self.components).float().unflatten(1, self.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstructions (N, C, H, W) of images `x` (N, C, H, W) from their codes, clipped to [0, 1].

        All errors of PCA are measured on clipped reconstructions. Whitening does not change the reconstructions.
        """
        return self.decode(self.encode(x)).clamp(0, 1)
