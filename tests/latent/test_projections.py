import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.latent import projections
from autoencoders.latent.densities import GaussianFull, StandardNormal
from autoencoders.types import UserError


def test_principal_components_are_scikit_learns(digits):
    images = digits.images("train")
    mean, components, variances = projections.principal_components(images, 20)
    reference = PCA(20, svd_solver="full").fit(images.flatten(1).double().numpy() / 255)
    np.testing.assert_allclose(mean, reference.mean_, atol=1e-9)
    np.testing.assert_allclose(variances, reference.explained_variance_, rtol=1e-7)
    cosines = (components.numpy() * reference.components_).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-6)


def test_components_of_large_images_leave_the_same_unexplained(digits, monkeypatch):
    monkeypatch.setattr(projections, "DENSE_LIMIT", 0)
    mean, components, variances = projections.principal_components(digits.images("train"), 20)
    train, test = (digits.images(s).flatten(1).double().numpy() / 255 for s in ("train", "test"))
    reference = PCA(20, svd_solver="full").fit(train)
    np.testing.assert_allclose(variances, reference.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(components @ components.T, np.eye(20), atol=1e-5)
    centred = test - mean.numpy()
    ours = ((centred - centred @ components.numpy().T @ components.numpy()) ** 2).mean()
    theirs = ((test - reference.inverse_transform(reference.transform(test))) ** 2).mean()
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_more_components_than_images_hold_are_refused():
    images = torch.randint(0, 255, (5, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(UserError, match="at most 4 principal components"):
        projections.principal_components(images, 5)


def test_a_plane_of_two_is_itself():
    codes = np.random.default_rng(0).normal(size=(10, 2))
    assert np.array_equal(projections.plane(codes)[0], codes)


def test_tsne_separates_what_is_apart_and_repeats():
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


def test_a_gaussian_survives_dead_latents():
    z = torch.cat([torch.randn(100, 2), torch.zeros(100, 1)], dim=1)
    assert torch.isfinite(GaussianFull().fit(z).sample(5, torch.Generator())).all()


def test_the_standard_normal_density():
    z = torch.randn(7, 4)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(StandardNormal(4).fit(z).log_density(z).float(), expected)
