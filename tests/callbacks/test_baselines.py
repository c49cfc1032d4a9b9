import numpy as np
import pytest
from sklearn.decomposition import PCA

from autoencoders.callbacks.baselines import pca_mse
from autoencoders.data.digits import DigitsDataModule
from autoencoders.data.transforms import GaussianNoise


@pytest.mark.parametrize("corruption", [None, GaussianNoise(0.3, clamp=False)])
def test_pca_projects_what_the_model_sees_and_errors_are_of_clipped_pixels(corruption):
    data = DigitsDataModule(name="digits", corruption=corruption)
    data.setup()
    train, test = data.images("train").flatten(1).numpy() / 255, data.take("test", 10_000)
    reference = PCA(12, svd_solver="full").fit(train)
    x, target = (t.flatten(1).numpy() for t in (test.x, test.target))
    expected = ((reference.inverse_transform(reference.transform(x)).clip(0, 1) - target) ** 2).mean()
    assert pca_mse(data, "test", 12) == pytest.approx(expected, rel=1e-4)
    assert pca_mse(data, "test", 784) == pytest.approx(np.mean((x.clip(0, 1) - target) ** 2), rel=1e-5, abs=1e-9)
