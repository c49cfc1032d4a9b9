"""Fixtures: untrained runs. The linear runs are PCA models, whose codes are known in closed form."""

import pytest
import torch

from autoencoders.config import instantiate
from autoencoders.runs.run import Run


@pytest.fixture
def linear_run(compose, tmp_path):
    """Return a function `(data, latents)` that creates the run of a `model=pca`, fitted to prepared data."""

    def made(data, latents=16):
        config = compose("model=pca", "data=digits", f"latent_dim={latents}", "likelihood=gaussian")
        model = instantiate.build_model(config, data.shape, data.context).eval()
        with torch.no_grad():
            model.initialize(data.images("train"))
        return Run(tmp_path, config, model, data).prepare()

    return made


@pytest.fixture
def digits_run(linear_run, digits):
    return linear_run(digits)


@pytest.fixture
def cvae_run(compose, tmp_path, digits):
    """Return the run of an untrained conditional model on digits."""
    config = compose("model=cvae", "data=digits", "latent_dim=2", "net=mlp")
    torch.manual_seed(0)
    return Run(tmp_path, config, instantiate.build_model(config, digits.shape, digits.context).eval(), digits).prepare()
