import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.metrics.dimension import components_for, neighbor_ratios, participation_ratio, spectrum, two_nn


@pytest.mark.parametrize("shape", [(200, 6), (30, 80)])
def test_the_spectrum_is_scikit_learns(shape):
    x = torch.randn(*shape) @ torch.randn(shape[1], shape[1])
    expected = PCA().fit(x).explained_variance_
    np.testing.assert_allclose(spectrum(x)[: len(expected)], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("true", [1, 2, 5])
def test_two_nn_counts_dimensions_in_a_wider_space(true):
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(20, 20, generator=generator)).Q[:true]
    x = torch.rand(3000, true, generator=generator) @ turned
    assert two_nn(neighbor_ratios(torch.cat([x, x[:5]]))) == pytest.approx(true, rel=0.12)  # duplicates are ignored


def test_shares_and_ratios():
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert participation_ratio(np.array([3.0, 0, 0])) == pytest.approx(1)
    assert [components_for(np.array([8.0, 1, 1]), share) for share in (0.8, 0.9, 1.0)] == [1, 2, 3]
