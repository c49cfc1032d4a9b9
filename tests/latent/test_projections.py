import numpy as np
import torch

from autoencoders.latent import projections
from autoencoders.latent.densities import GaussianFull, StandardNormal


def test_a_plane_of_two_is_itself():
    codes = np.random.default_rng(0).normal(size=(10, 2))
    assert np.array_equal(projections.plane(codes)[0], codes)


def test_tsne_separates_clusters_and_is_reproducible():
    codes = np.concatenate([np.random.default_rng(0).normal(c, 0.1, (30, 5)) for c in (0, 10)])
    points = projections.tsne(codes)
    first, second = points[:30], points[30:]
    spread = max(first.std(), second.std())
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > 2 * spread
    assert np.array_equal(points, projections.tsne(codes))


def test_a_gaussian_matches_moments_and_scipys_density():
    from scipy.stats import multivariate_normal

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5000, 3, generator=generator) @ torch.tensor([[1.0, 0.5, 0], [0, 2, 0], [0, 0, 0.1]]) + 3
    density = GaussianFull().fit(z)
    sample = density.sample(50_000, generator)
    torch.testing.assert_close(torch.cov(sample.T), torch.cov(z.T), atol=0.1, rtol=0.05)
    expected = multivariate_normal(z.double().mean(0), torch.cov(z.double().T)).logpdf(z[:50].double())
    np.testing.assert_allclose(density.log_density(z[:50]), expected, rtol=1e-3, atol=1e-3)


def test_a_gaussian_of_constant_latents_is_finite():
    z = torch.cat([torch.randn(100, 2), torch.zeros(100, 1)], dim=1)
    assert torch.isfinite(GaussianFull().fit(z).sample(5, torch.Generator())).all()


def test_the_standard_normal_density():
    z = torch.randn(7, 4)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(StandardNormal(4).fit(z).log_density(z).float(), expected)
