"""Compare SSIM and PSNR with scikit-image."""

import numpy as np
import pytest
import torch

from autoencoders.metrics.images import psnr_per_image, ssim

measure = pytest.importorskip("skimage.metrics")


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 40, 31)])
def test_ssim_is_scikit_images(shape):
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(4, *shape, generator=generator)
    clean = torch.nn.functional.avg_pool2d(clean, 3, 1, 1)
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [
        measure.structural_similarity(*(x.double().numpy() for x in pair), channel_axis=0, **options)
        for pair in zip(clean, noisy, strict=True)
    ]
    np.testing.assert_allclose(ssim(clean, noisy), expected, atol=1e-3)
    np.testing.assert_allclose(ssim(clean, clean), 1, atol=1e-6)


def test_psnr_is_scikit_images():
    a, b = torch.rand(2, 5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = [measure.peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr_per_image((a - b).square().flatten(1).mean(1)), expected, rtol=1e-5)


def test_ssim_takes_images_smaller_than_its_window():
    x = torch.rand(3, 1, 8, 9, generator=torch.Generator().manual_seed(0))
    assert ssim(x, x).tolist() == pytest.approx([1, 1, 1])
    assert (ssim(x, 1 - x) < 0.5).all()
