"""Classical methods for image restoration, used as baselines. Images are tensors (N, C, H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import UserError
from autoencoders.utils.extras import import_extra

Method = Callable[[Tensor, Any], Tensor]
"""A function `method(images, parameter)` that returns restored images. The parameter is tuned on validation images."""


def non_local_means(x: Tensor, sigma: float, choice: tuple[float, bool, int]) -> Tensor:
    """Denoise images by non-local means (Buades, Coll and Morel, 2005), with scikit-image's default patch distance.

    Args:
        x: (N, C, H, W) noisy images.
        sigma: standard deviation of the noise, for pixels in [0, 1].
        choice: three parameters: the filter strength h divided by sigma, whether the noise variance is subtracted from
            patch distances, and the patch size in pixels. Do not subtract the noise variance if clipping to [0, 1] has
            reduced the noise.
    """
    denoise, (strength, corrected, patch) = _scikit_image().denoise_nl_means, choice
    options = {"patch_size": patch, "h": strength * sigma, "fast_mode": True, "sigma": sigma if corrected else 0.0}

    def one(image: np.ndarray) -> np.ndarray:  # scikit-image treats a channel axis of length 1 as spatial
        return denoise(image, channel_axis=0, **options) if len(image) > 1 else denoise(image[0], **options)

    return _each(x, one)


def total_variation(x: Tensor, weight: float) -> Tensor:
    """Denoise images (N, C, H, W) by total variation (Chambolle, 2004). A larger weight gives smoother images."""
    denoise = _scikit_image().denoise_tv_chambolle
    return _each(x, lambda image: denoise(image, weight=weight, channel_axis=0))


def bm3d(x: Tensor, sigma: float) -> Tensor:
    """Denoise images by BM3D (block matching and 3-D filtering; Dabov et al., 2007) with the package of its authors.

    A color image takes seconds.

    Args:
        x: (N, C, H, W) noisy images.
        sigma: standard deviation of the noise, for pixels in [0, 1].

    Raises:
        UserError: if the package `bm3d` is not installed.
    """
    try:
        import bm3d as package
    except ImportError as error:
        raise UserError("application.restore.bm3d=true needs the package bm3d. Run pip install bm3d.") from error
    filtered = package.bm3d_rgb if x.shape[1] == 3 else package.bm3d

    def one(image: np.ndarray) -> np.ndarray:
        result = filtered(image.transpose(1, 2, 0).squeeze(), sigma)
        return result.reshape(*image.shape[1:], -1).transpose(2, 0, 1)

    return _each(x, one)


def median(x: Tensor, size: float) -> Tensor:
    """Apply a median filter with `size` x `size` pixels to each channel of images (N, C, H, W)."""
    from scipy.ndimage import median_filter

    return _each(x, lambda image: median_filter(image, size=(1, int(size), int(size)), mode="reflect"))


def biharmonic(x: Tensor, hidden: Tensor) -> Tensor:
    """Fill hidden pixels with a biharmonic surface (Damelin and Hoang, 2018).

    Args:
        x: (N, C, H, W) images.
        hidden: (N, 1, H, W) bool mask, True for unknown pixels.
    """
    inpaint = _scikit_image().inpaint_biharmonic
    filled = [
        inpaint(image, mask, channel_axis=0) if mask.any() and not mask.all() else image
        for image, mask in zip(x.double().numpy(), hidden[:, 0].numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).float().clamp(0, 1)


def pca_fill(x: Tensor, hidden: Tensor, mean: Tensor, components: Tensor, variances: Tensor, noise: float) -> Tensor:
    """Fill hidden pixels with a PCA reconstruction whose coefficients are fitted to the known pixels.

    The coefficients a (K,) minimize |known * (x - mean - a C)|^2 + noise * sum_k a_k^2 / variance_k, where the rows of
    C are the components and `known` is 1 for known pixels and 0 for hidden pixels. With noise > 0, the filled pixels
    are the posterior mean of probabilistic PCA (Tipping and Bishop, 1999). With noise = 0, the fit is least squares,
    which is worse if many pixels are hidden.

    Args:
        x: (N, C, H, W) images.
        hidden: (N, 1, H, W) bool mask, True for unknown pixels.
        mean: (D,) float64 mean image, where D = C H W.
        components: (K, D) float64 orthonormal principal components.
        variances: (K,) variances along the components, for pixels in [0, 1].
        noise: variance of the PCA residual per pixel, for pixels in [0, 1].

    Returns:
        Images (N, C, H, W). Known pixels are unchanged.
    """
    known = (~hidden).expand_as(x).flatten(1).double()  # (N, D)
    ridge = torch.diag(noise / variances.clamp(min=1e-12) + 1e-9)
    filled = []
    for image, known_pixels in zip(x.flatten(1).double() - mean, known, strict=True):
        basis = components * known_pixels  # (K, D)
        code = torch.linalg.solve(basis @ components.T + ridge, basis @ image)
        filled.append(mean + code @ components)
    return torch.where(hidden, torch.stack(filled).float().unflatten(1, x.shape[1:]).clamp(0, 1), x)


def tune_parameter(method: Method, values: Sequence[Any], x: Tensor, target: Tensor) -> Any:
    """Return the parameter value with which a restoration method has the lowest mean squared error.

    Args:
        method: restoration method with one parameter.
        values: candidate values of the parameter.
        x: (N, C, H, W) degraded validation images.
        target: (N, C, H, W) original images.
    """
    errors = [float((method(x, value) - target).square().mean()) for value in values]
    return values[int(np.argmin(errors))]


def _each(x: Tensor, method: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply a method for single float64 images (C, H, W) to every image of a batch, and clip the results to [0, 1]."""
    # The reshape restores the channel axis, which some methods remove from grayscale images.
    results = [method(image).reshape(image.shape) for image in x.double().numpy()]
    return torch.from_numpy(np.stack(results)).float().clamp(0, 1)


def _scikit_image() -> ModuleType:
    return import_extra("skimage.restoration", "restore", "application=restore")
