"""Tests of application=latent_map with linear models that are known in closed form (PCA)."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

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
    train, test = digits_run.batch("train"), digits_run.batch("test")
    codes = PCA(16, whiten=True, svd_solver="full").fit(train.x.flatten(1).double().numpy())
    z, new = (codes.transform(batch.x.flatten(1).double().numpy()) for batch in (train, test))
    correct = KNeighborsClassifier(10).fit(z, train.y).predict(new) == test.y.numpy()
    assert table.loc["whitened PCA-16", "knn"] == pytest.approx(correct.mean(), abs=0.01)
    assert table.loc["whitened PCA-16", "linear"] == pytest.approx(table.loc["PCA-16", "linear"], abs=1e-6)
    assert "chosen on validation images" in table.loc["pca", "note"]
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


def test_labels_of_validation_images_are_not_classified(digits_run):
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the regularization"):
        latent_map(digits_run, split="val")


def test_an_unknown_attribute_is_refused(digits_run):
    with pytest.raises(UserError, match="no attribute or class 'nose'"):
        latent_map(digits_run, attribute="nose")
