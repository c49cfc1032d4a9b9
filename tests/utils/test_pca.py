import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.types import UserError
from autoencoders.utils import pca


@pytest.fixture(autouse=True)
def _empty_cache():
    """Compute the components in each test, because the cache does not know DENSE_LIMIT, which one test changes."""
    pca.principal_components.cache_clear()
    yield
    pca.principal_components.cache_clear()


def test_principal_components_equal_those_of_scikit_learn(digits):
    images = digits.images("train")
    mean, components, variances = pca.principal_components(images, 20)
    reference = PCA(20, svd_solver="full").fit(images.flatten(1).double().numpy() / 255)
    np.testing.assert_allclose(mean, reference.mean_, atol=1e-9)
    np.testing.assert_allclose(variances, reference.explained_variance_, rtol=1e-7)
    cosines = (components.numpy() * reference.components_).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-6)


def test_components_of_large_images_explain_the_same_variance(digits, monkeypatch):
    monkeypatch.setattr(pca, "DENSE_LIMIT", 0)
    mean, components, variances = pca.principal_components(digits.images("train"), 20)
    train, test = (digits.images(s).flatten(1).double().numpy() / 255 for s in ("train", "test"))
    reference = PCA(20, svd_solver="full").fit(train)
    np.testing.assert_allclose(variances, reference.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(components @ components.T, np.eye(20), atol=1e-5)
    centered = test - mean.numpy()
    ours = ((centered - centered @ components.numpy().T @ components.numpy()) ** 2).mean()
    theirs = ((test - reference.inverse_transform(reference.transform(test))) ** 2).mean()
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_whitened_codes_equal_those_of_scikit_learn(digits):
    x = digits.take("test", 100).x
    baseline = pca.PCABaseline.of(digits.images("train"), 20, whiten=True)
    reference = PCA(20, svd_solver="full", whiten=True).fit(digits.images("train").flatten(1).double().numpy() / 255)
    expected = reference.transform(x.flatten(1).double().numpy())
    signs = np.sign((baseline.components.numpy() * reference.components_).sum(1))
    np.testing.assert_allclose(baseline.encode(x), expected * signs, atol=1e-4)
    assert baseline.name == "whitened PCA-20"
    projected = reference.inverse_transform(expected).clip(0, 1)
    np.testing.assert_allclose(baseline.reconstruct(x).flatten(1), projected, atol=1e-5)


def test_whitened_codes_of_equal_images_are_only_rounding_errors():
    images = torch.full((5, 1, 4, 4), 200, dtype=torch.uint8)
    codes = pca.PCABaseline.of(images, 3, whiten=True).encode(images.float() / 255)
    np.testing.assert_allclose(codes, 0, atol=0.2)


def test_reconstructions_are_clipped_to_the_range_of_pixels():
    """By hand: the code of (0, 1.5) on the component (0, 1) is 1, and 0.5 + 1 = 1.5 is clipped to 1."""
    baseline = pca.PCABaseline(torch.tensor([0.5, 0.5]).double(), torch.tensor([[0.0, 1.0]]).double(), (1, 1, 2))
    x = torch.tensor([[[[0.0, 1.5]]], [[[0.0, -0.5]]]])
    np.testing.assert_allclose(baseline.decode(baseline.encode(x)).flatten(1), [[0.5, 1.5], [0.5, -0.5]])
    np.testing.assert_allclose(baseline.reconstruct(x).flatten(1), [[0.5, 1.0], [0.5, 0.0]])


def test_too_many_components_are_an_error():
    images = torch.randint(0, 255, (5, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(UserError, match="at most 4 principal components"):
        pca.principal_components(images, 5)
