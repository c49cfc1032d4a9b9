"""Tests of application=retrieve with linear models that are known in closed form (PCA)."""

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from autoencoders.applications.retrieve import retrieve
from autoencoders.types import UserError


@pytest.mark.parametrize(("database", "metric"), [(None, "euclidean"), ("train", "cosine")])
def test_codes_of_digits_are_better_than_chance_and_pca_equals_its_baseline(digits_run, database, metric):
    result = retrieve(digits_run, database=database, metric=metric, count=3, neighbors=4)
    table = result.tables["retrieval"].set_index("method")
    assert list(table.index) == ["pca", "PCA-16", "whitened PCA-16", "pixels", "chance"]
    np.testing.assert_allclose(table.loc["pca", "map"], table.loc["PCA-16", "map"], atol=2e-3)
    assert table.loc["pca", "precision at 1"] > 0.9
    assert table.loc["chance", "precision at 1"] == pytest.approx(0.1, abs=0.01)
    assert "neighbors" in result.figures


def test_whitened_pca_is_measured_as_scikit_learn_ranks_it(digits_run):
    result = retrieve(digits_run, count=1)
    train, test = (digits_run.batch(split) for split in ("train", "test"))
    codes = PCA(16, whiten=True, svd_solver="full").fit(train.x.flatten(1).double().numpy())
    z = codes.transform(test.x.flatten(1).double().numpy())
    nearest = NearestNeighbors(n_neighbors=2).fit(z).kneighbors(z, return_distance=False)[:, 1]
    precision = float((test.y[nearest] == test.y).float().mean())
    assert result.metrics["precision at 1/whitened PCA-16"] == pytest.approx(precision, abs=0.003)
    assert abs(result.metrics["map/whitened PCA-16"] - result.metrics["map/PCA-16"]) > 0.02  # the neighbors change


def test_own_images_are_queries(digits_run, tmp_path):
    digit = digits_run.batch("test", 1).x[0, 0].numpy()
    Image.fromarray((digit * 255).astype("uint8")).save(tmp_path / "mine.png")
    assert "neighbors" in retrieve(digits_run, images=str(tmp_path / "mine.png"), neighbors=3).figures


def test_a_conditional_model_is_measured(cvae_run):
    assert "retrieval" in retrieve(cvae_run, count=2, queries=50).tables


@pytest.mark.parametrize("options", [{"metric": "hamming"}, {"database": "all"}, {"count": 0}])
def test_wrong_options_are_refused(digits_run, options):
    with pytest.raises(UserError):
        retrieve(digits_run, **options)
