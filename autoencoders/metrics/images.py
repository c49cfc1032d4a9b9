"""Similarity of two images."""

from __future__ import annotations

from torch import Tensor


def psnr_per_image(mse: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, at most 100, of the MSE per pixel of each image, (N,)."""
    return -10 * mse.clamp_min(1e-10).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al., 2004) of images (N, C, H, W) in [0, 1], (N,).

    Gaussian window of 11 pixels and standard deviation 1.5, smaller for small images. The mean is over windows inside
    the image, as in the paper and in scikit-image (torchmetrics includes the padded border).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    side = min(11, *(s - 1 + s % 2 for s in a.shape[2:]))  # an odd window inside the image
    sigma = 1.5 * side / 11
    _, everywhere = structural_similarity_index_measure(
        a, b, gaussian_kernel=True, sigma=sigma, kernel_size=side, reduction="none", data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    border = int(3.5 * sigma + 0.5)  # the radius of torchmetrics' window
    return everywhere[..., border:-border, border:-border].flatten(1).mean(1)
