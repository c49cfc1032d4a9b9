"""Classical image restoration, as baselines. Images are (N, C, H, W) in [0, 1]."""

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
"""A method with one parameter, which is tuned on validation images."""


def non_local_means(x: Tensor, sigma: float, choice: tuple[float, bool, int]) -> Tensor:
    """Non-local means (Buades, Coll and Morel, 2005), with scikit-image's default patch distance.

    Args:
        x: noisy images.
        sigma: standard deviation of the noise, in units of [0, 1].
        choice: h in units of sigma; whether patch distances are corrected by sigma (not advisable if clamping has
            reduced the noise); patch size in pixels.
    """
    denoise, (strength, corrected, patch) = _scikit_image().denoise_nl_means, choice
    options = {"patch_size": patch, "h": strength * sigma, "fast_mode": True, "sigma": sigma if corrected else 0.0}

    def one(image: np.ndarray) -> np.ndarray:  # scikit-image treats an axis of one channel as a spatial axis
        return denoise(image, channel_axis=0, **options) if len(image) > 1 else denoise(image[0], **options)

    return _each(x, one)


def total_variation(x: Tensor, weight: float) -> Tensor:
    """Total-variation denoising (Chambolle, 2004). A larger weight gives smoother images."""
    denoise = _scikit_image().denoise_tv_chambolle
    return _each(x, lambda image: denoise(image, weight=weight, channel_axis=0))


def bm3d(x: Tensor, sigma: float) -> Tensor:
    """Block matching and 3-D filtering (Dabov et al., 2007) with the authors' package. Takes seconds per color image.

    Args:
        x: noisy images.
        sigma: standard deviation of the noise, in units of [0, 1].
    """
    try:
        import bm3d as package
    except ImportError as error:
        raise UserError("bm3d=true needs the package bm3d. Install it with pip install bm3d.") from error
    filtered = package.bm3d_rgb if x.shape[1] == 3 else package.bm3d

    def one(image: np.ndarray) -> np.ndarray:
        result = filtered(image.transpose(1, 2, 0).squeeze(), sigma)
        return result.reshape(*image.shape[1:], -1).transpose(2, 0, 1)

    return _each(x, one)


def median(x: Tensor, size: float) -> Tensor:
    """Median filter of `size` x `size` pixels, per channel."""
    from scipy.ndimage import median_filter

    return _each(x, lambda image: median_filter(image, size=(1, int(size), int(size)), mode="reflect"))


def biharmonic(x: Tensor, hidden: Tensor) -> Tensor:
    """Fill hidden pixels with a biharmonic surface (Damelin and Hoang, 2018).

    Args:
        x: images.
        hidden: (N, 1, H, W) bool, True for unknown pixels.
    """
    inpaint = _scikit_image().inpaint_biharmonic
    filled = [
        inpaint(image, mask, channel_axis=0) if mask.any() and not mask.all() else image
        for image, mask in zip(x.double().numpy(), hidden[:, 0].numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).float().clamp(0, 1)


def pca_fill(x: Tensor, hidden: Tensor, mean: Tensor, components: Tensor, variances: Tensor, noise: float) -> Tensor:
    """Fill hidden pixels from the principal components that fit the known pixels best.

    argmin_a |known (x - mean - a C)|^2 + noise * sum_k a_k^2 / variance_k. With noise > 0 this is the posterior mean of
    probabilistic PCA (Tipping and Bishop, 1999); noise = 0 is least squares, which is worse if many pixels are hidden.

    Args:
        x: (N, C, H, W) images.
        hidden: (N, 1, H, W) bool, True for unknown pixels.
        mean: (D,) float64.
        components: (K, D) float64, orthonormal.
        variances: (K,) variances of the components, for pixels in [0, 1].
        noise: variance of a pixel around its projection, in units of [0, 1] squared.

    Returns:
        (N, C, H, W), with known pixels unchanged.
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
    """Return the parameter with the lowest mean squared error on (validation) images."""
    errors = [float((method(x, value) - target).square().mean()) for value in values]
    return values[int(np.argmin(errors))]


def _each(x: Tensor, method: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply a method for one (C, H, W) float64 image to a batch, and clip to [0, 1]."""
    results = [method(image).reshape(image.shape) for image in x.double().numpy()]  # some methods drop a single channel
    return torch.from_numpy(np.stack(results)).float().clamp(0, 1)


def _scikit_image() -> ModuleType:
    return import_extra("skimage.restoration", "restore", "application=restore")
