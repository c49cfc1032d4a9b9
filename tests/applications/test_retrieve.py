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


@pytest.fixture
def photos(digits_run, tmp_path):
    """Save three digits of each split as PNG files, and return the folder."""
    for split in ("train", "val", "test"):
        for i, digit in enumerate(digits_run.batch(split, 3).x):
            path = tmp_path / f"mine/{split}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digit[0] * 255).round().numpy().astype("uint8")).save(path)
    return tmp_path / "mine"


def test_neighbors_of_own_images_are_those_of_scikit_learn(digits_run, photos):
    result = retrieve(digits_run, images=str(photos), neighbors=4, count=2)
    table = result.tables["neighbors"]
    splits = ("train", "val", "test")
    codes = np.concatenate([digits_run.codes(split).z.numpy() for split in splits])
    places = [(split, i) for split in splits for i in range(len(digits_run.codes(split).z))]
    queries = digits_run.encode(digits_run.read_images(photos)[0]).numpy()
    distances, index = NearestNeighbors(n_neighbors=4).fit(codes).kneighbors(queries)
    assert table["query"].tolist()[::4] == [f"{s}/{i}.png" for s in ("test", "train", "val") for i in range(3)]
    assert table["rank"].tolist() == [1, 2, 3, 4] * 9
    assert list(zip(table["split"], table["index"], strict=True)) == [places[i] for i in index.flatten()]
    np.testing.assert_allclose(table["distance"], distances.flatten(), atol=2e-5)
    nearest = table[table["rank"] == 1]
    assert nearest["distance"].max() < 1e-5  # the image itself
    assert (nearest["query"] == nearest["split"] + "/" + nearest["index"].astype(str) + ".png").all()
    labels = {split: digits_run.annotations(split).classes.tolist() for split in splits}
    assert table["class"].tolist() == [str(labels[places[i][0]][places[i][1]]) for i in index.flatten()]
    own = result.tables["own"].set_index("method")
    assert own["nearest as by code"].tolist()[:4] == [1, 1, 1, 1]
    assert own.loc["chance", ["nearest as by code", "searched"]].tolist() == [pytest.approx(1 / 1797), 1797]
    baselines = result.tables["neighbors_baselines"]
    assert baselines["method"].unique().tolist() == ["PCA-16", "whitened PCA-16", "pixels"]
    assert len(baselines) == 3 * 36
    assert "retrieval" in result.tables


def test_one_split_is_searched_for_own_images(digits_run, photos):
    table = retrieve(digits_run, images=str(photos / "val/0.png"), database="test", metric="cosine").tables["neighbors"]
    assert set(table["split"]) == {"test"}
    assert set(table["query"]) == {"0.png"}
    assert table["distance"].is_monotonic_increasing


def test_own_images_have_no_labels_for_a_conditional_model(cvae_run, photos):
    with pytest.raises(UserError, match="your own images have no labels"):
        retrieve(cvae_run, images=str(photos))


def test_a_conditional_model_is_measured(cvae_run):
    assert "retrieval" in retrieve(cvae_run, count=2, queries=50).tables


@pytest.mark.parametrize("options", [{"metric": "hamming"}, {"database": "all"}, {"count": 0}])
def test_wrong_options_are_refused(digits_run, options):
    with pytest.raises(UserError):
        retrieve(digits_run, **options)
