"""The examples in the docstrings of public modules run."""

import doctest
import importlib

import pytest

MODULES = {
    "autoencoders.data": 4,
    "autoencoders.models.ae": 3,
    "autoencoders.models.autoencoder": 5,
    "autoencoders.models.cvae": 3,
    "autoencoders.models.vae": 3,
    "autoencoders.latent.paths": 2,
    "autoencoders.types": 3,
}
"""Module -> least number of its examples."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted >= MODULES[name]
