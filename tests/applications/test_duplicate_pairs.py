"""Tests of application=duplicates with a linear model (PCA), and of the known pairs."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import precision_score, recall_score

from autoencoders.applications.duplicates import duplicates
from autoencoders.applications.known_pairs import CHANGES, KnownPairs, change_images, measure_thresholds
from autoencoders.types import UserError


def save(image, path, **options):
    Image.fromarray((image * 255).round().astype("uint8")).save(path, **options)


@pytest.fixture
def folder(digits_run, tmp_path):
    """Save 60 digits as PNG files, and near-duplicates of five of them as JPEG files."""
    images = digits_run.batch("train", 60).x[:, 0].numpy()
    (tmp_path / "mine").mkdir()
    for i, image in enumerate(images):
        save(image, tmp_path / f"mine/{i:02d}.png")
    for i in range(5):
        save(images[i], tmp_path / f"mine/copy{i}.jpg", quality=60)
    save(images[5], tmp_path / "mine/copy5.png")
    return tmp_path / "mine"


def test_copies_are_the_closest_pairs(digits_run, folder):
    result = duplicates(digits_run, images=str(folder))
    pairs = result.tables["pairs"]
    expected = {(f"0{i}.png", f"copy{i}.jpg") for i in range(5)} | {("05.png", "copy5.png")}
    assert set(zip(pairs["file"], pairs["duplicate"], strict=True)) >= expected
    assert set(zip(pairs["file"][:6], pairs["duplicate"][:6], strict=True)) == expected
    assert tuple(pairs.iloc[0][["duplicate", "distance", "baselines that agree"]]) == ("copy5.png", 0, 4)
    assert pairs["distance"].is_monotonic_increasing
    assert result.metrics["pairs"] == len(pairs) < 25  # of 2,145 pairs
    table = result.tables["known"].set_index("method")
    assert list(table.index) == ["pca", "PCA-16", "whitened PCA-16", "pixels", "difference hash", "chance"]
    assert (pairs["distance"] <= table.loc["pca", "threshold"]).all()
    assert table.loc["pca", "f1"] == pytest.approx(table.loc["PCA-16", "f1"], abs=0.02)
    assert table.loc["pca", "f1"] > table.loc["chance", "f1"]
    assert set(result.figures) == {"closest", "doubtful"}


def test_pairs_of_splits_are_named_by_split_and_index(digits_run):
    pairs = duplicates(digits_run, split="all", known=64, limit=7, metric="cosine").tables["pairs"]
    assert list(pairs.columns[:4]) == ["split", "index", "split of duplicate", "index of duplicate"]
    assert len(pairs) == 7
    first = pairs.iloc[0]
    codes = [digits_run.codes(first[f"split{s}"]).z[int(first[f"index{s}"])].double() for s in ("", " of duplicate")]
    cosine = 1 - float(codes[0] @ codes[1] / (codes[0].norm() * codes[1].norm()))
    assert first["distance"] == pytest.approx(cosine, abs=1e-6)


def test_thresholds_are_chosen_on_one_half_and_measured_on_the_other():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 0.3, 400), rng.normal(2, 0.3, 400)
    measured = (np.arange(400) // 4) % 2 == 1
    positive[measured] += 0.2  # the halves differ
    thresholds, table = measure_thresholds({"codes": KnownPairs(positive, negative)})
    row = table.set_index("method").loc["codes"]
    truth = np.repeat([1, 0], [200, 200])
    called = np.concatenate([positive[measured], negative[measured]]) <= thresholds["codes"]
    assert row["precision"] == pytest.approx(precision_score(truth, called))
    assert row["recall"] == pytest.approx(recall_score(truth, called))
    assert row[list(CHANGES)].mean() == pytest.approx(row["recall"])
    assert row["pairs"] == 200


def test_changed_images_are_similar_but_not_equal():
    x = torch.rand(8, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    changed = change_images(x)
    assert (changed != x).flatten(1).any(1).all()
    difference = changed - x
    assert difference[2].std() == pytest.approx(0.03, rel=0.05)  # noise
    ratio = (changed[1] / x[1]).mean()  # brightness
    assert min(abs(ratio - 0.9), abs(ratio - 1.1)) < 0.01
    shifts = [torch.roll(x[0], (dy, dx), (1, 2)) for dy in (-1, 1) for dx in (-2, -1, 1, 2)]
    inner = min(float((changed[0] - shifted)[:, 4:-4, 4:-4].abs().max()) for shifted in shifts)
    assert inner < 0.5 / 255 + 1e-6
    assert torch.equal(change_images(x), changed)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metric": "hamming"}, "metric must be one of"),
        ({"split": "every"}, "split must be train, val, test or all"),
        ({"known": 3}, "known must be an integer >= 16"),
    ],
)
def test_wrong_options_are_refused(digits_run, options, sentence):
    with pytest.raises(UserError, match=sentence):
        duplicates(digits_run, **options)


def test_few_images_are_refused(digits_run, tmp_path):
    save(np.zeros((8, 8)), tmp_path / "one.png")
    with pytest.raises(UserError, match="needs at least 16 images to choose a threshold, got 1"):
        duplicates(digits_run, images=str(tmp_path))
