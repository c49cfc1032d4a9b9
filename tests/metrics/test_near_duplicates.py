import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import f1_score, precision_recall_curve

from autoencoders.metrics.near_duplicates import (
    choose_threshold,
    close_pairs,
    difference_hash,
    duplicate_quality,
    pair_distances,
)
from autoencoders.metrics.retrieval import neighbor_distances
from autoencoders.types import UserError
from autoencoders.utils import chunks


@pytest.mark.parametrize("decimals", [9, 1])
def test_the_threshold_has_the_highest_f1_score_of_scikit_learn(decimals):
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 0.5, 90).round(decimals), rng.normal(2, 0.5, 150).round(decimals)
    truth, distances = np.repeat([1, 0], [90, 150]), np.concatenate([positive, negative])
    precision, recall, _ = precision_recall_curve(truth, -distances)
    best = (2 * precision * recall / (precision + recall)).max()
    threshold = choose_threshold(positive, negative)
    assert f1_score(truth, distances <= threshold) == pytest.approx(best)
    assert duplicate_quality(positive, negative, threshold)["f1"] == pytest.approx(best)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_close_pairs_equal_those_of_scipy(metric, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 32 * 120 * 17)  # 17 rows per chunk
    features = torch.randn(120, 5, generator=torch.Generator().manual_seed(0)) + 3
    features[40], features[90] = features[7], features[7]
    distances = squareform(pdist(features.double().numpy(), metric))
    threshold = float(np.quantile(distances, 0.05))
    expected = {(i, j) for i in range(120) for j in range(i + 1, 120) if distances[i, j] <= threshold}
    pairs, found, total = close_pairs(features, threshold, metric, 10_000)
    assert set(map(tuple, pairs.tolist())) == expected
    assert total == len(expected)
    np.testing.assert_allclose(found, np.sort([distances[pair] for pair in expected]), atol=1e-5)
    assert found[:3].tolist() == [0, 0, 0]
    few, _, total = close_pairs(features, threshold, metric, 3)
    assert set(map(tuple, few.tolist())) == {(7, 40), (7, 90), (40, 90)}
    assert total == len(expected)
    with pytest.raises(UserError, match="metric must be euclidean or cosine"):
        close_pairs(features, threshold, "hamming", 3)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_of_equal_features_are_zero(metric):
    features = 100 + torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    assert neighbor_distances(features, features, torch.arange(40)[:, None], metric).abs().max() == 0
    pairs = torch.tensor([[0, 1], [3, 2]])
    expected = squareform(pdist(features.double().numpy(), metric))[[0, 3], [1, 2]]
    np.testing.assert_allclose(
        pair_distances(features, pairs, metric), expected, rtol=1e-2 if metric == "cosine" else 1e-5
    )
    assert pair_distances(features, pairs[:0]).shape == (0,)


def test_difference_hash_compares_neighbors():
    across = torch.linspace(1, 0, 36).expand(1, 3, 32, 36)
    images = torch.cat([across, across.flip(3), across * 0.5 + 0.2])
    bits = difference_hash(images)
    assert bits.shape == (3, 64)
    assert bits[0].tolist() == [1] * 64
    assert bits[1].tolist() == [0] * 64
    assert torch.equal(bits[0], bits[2])  # brightness and contrast do not matter
