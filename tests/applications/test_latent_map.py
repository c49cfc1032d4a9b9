"""Tests of application=latent_map with linear models that are known in closed form (PCA)."""

import numpy as np
import pytest

from autoencoders.applications.latent_map import latent_map
from autoencoders.data.cartoons import CartoonsDataModule
from autoencoders.types import UserError


def test_maps_and_accuracy_of_digits(digits_run):
    result = latent_map(digits_run, count=150)
    assert set(result.figures) == {"plane", "tsne"}
    table = result.tables["accuracy"].set_index("method")
    assert table.loc["pca", "linear"] > 0.85
    assert table.loc["pca", "knn"] > 0.9
    np.testing.assert_allclose(table.loc["pca", "knn"], table.loc["PCA-16", "knn"], atol=0.01)
    assert table.loc["commonest label", "linear"] < 0.15
    maps = result.tables["maps"].set_index("map")
    assert maps.loc["tsne", "trustworthiness"] > maps.loc["plane", "trustworthiness"]


def test_two_latents_have_no_tsne_map(cvae_run):
    result = latent_map(cvae_run, count=100)
    assert set(result.figures) == {"plane"}
    assert result.tables["maps"]["trustworthiness"][0] == 1


def test_a_named_attribute_is_classified(linear_run, tmp_path):
    data = CartoonsDataModule(name="cartoons", count=300, size=16, batch_size=8, cache=str(tmp_path))
    data.setup()
    table = latent_map(linear_run(data, 8), attribute="skin", count=60).tables["accuracy"].set_index("method")
    assert table.loc["pca", "linear"] > 0.8 > table.loc["commonest label", "linear"]


def test_an_unknown_attribute_is_refused(digits_run):
    with pytest.raises(UserError, match="no attribute or class 'nose'"):
        latent_map(digits_run, attribute="nose")
