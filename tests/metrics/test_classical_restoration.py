"""Check that the classical denoising methods, which are baselines for a model, reduce noise."""

import pytest
import torch

pytest.importorskip("skimage")

from autoencoders.metrics import classical_restoration


@pytest.mark.parametrize("channels", [1, 3])
def test_denoisers_take_noise_away_from_gray_and_color(channels):
    axis = torch.linspace(0, 1, 32)
    clean = (0.5 + 0.3 * torch.sin(6 * axis[:, None] + 4 * axis)).expand(4, channels, 32, 32)
    noisy = clean + 0.15 * torch.randn(clean.shape)
    before = (noisy - clean).square().mean()
    for restored in (
        classical_restoration.non_local_means(noisy, 0.15, (0.8, True, 5)),
        classical_restoration.non_local_means(noisy, 0.15, (0.8, False, 7)),
        classical_restoration.total_variation(noisy, 0.2),
    ):
        assert restored.shape == clean.shape
        assert (restored - clean).square().mean() < before / 4
