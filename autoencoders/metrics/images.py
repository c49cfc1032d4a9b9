"""Similarity of two images: PSNR and SSIM."""

from __future__ import annotations

import math

from torch import Tensor


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio -10 log10(mse) in dB, for a mean squared error of pixels in [0, 1]."""
    return math.inf if mse <= 0 else -10 * math.log10(mse)


def psnr_per_image(mse: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio (N,) in dB, at most 100, from the MSE per pixel `mse` (N,) of each image.

    The MSE is computed from pixels in [0, 1].
    """
    return -10 * mse.clamp_min(1e-10).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity SSIM (N,) of images `a` and `b`, both (N, C, H, W) in [0, 1].

    The window is a Gaussian with 11 x 11 pixels and a standard deviation of 1.5 pixels. It is smaller for images with
    fewer pixels. The mean includes only windows that lie inside the image, as in the paper and in scikit-image, but not
    the padded border that torchmetrics includes. Source: Wang et al., 2004.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    side = min(11, *(s - 1 + s % 2 for s in a.shape[2:]))  # an odd window size that fits into the image
    sigma = 1.5 * side / 11
    _, everywhere = structural_similarity_index_measure(
        a, b, gaussian_kernel=True, sigma=sigma, kernel_size=side, reduction="none", data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    border = int(3.5 * sigma + 0.5)  # the radius of torchmetrics' window
    return everywhere[..., border:-border, border:-border].flatten(1).mean(1)
