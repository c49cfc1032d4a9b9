import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from autoencoders.metrics.retrieval import chance_quality, feature_distances, nearest_neighbors, ranking_quality


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_are_scipys(metric):
    a, b = torch.randn(7, 4), torch.randn(9, 4)
    np.testing.assert_allclose(feature_distances(a, b, metric), cdist(a, b, metric), atol=1e-5)


def test_no_image_is_its_own_neighbor():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    index, distance = nearest_neighbors(x, x, 1, itself=True)
    assert index.flatten().tolist() == [1, 0, 1]
    assert distance.flatten().tolist() == [1, 1, 2]


def test_average_precision_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(60, 3, generator=generator), torch.arange(60) % 5
    found = ranking_quality(x, labels, x, labels, torch.arange(60), "euclidean")
    for i in range(60):
        rest = [j for j in range(60) if j != i]
        near = -torch.cdist(x[i : i + 1], x)[0, rest]
        expected = average_precision_score(labels[rest] == labels[i], near)
        np.testing.assert_allclose(found["map"][i], expected, atol=1e-6)


def test_chance_is_what_random_orders_give():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 4 + [1] * 16)
    draws = [
        ranking_quality(
            torch.rand(20, 1, generator=generator), labels, torch.zeros(1, 1), labels[:1], None, "euclidean"
        )
        for _ in range(4000)
    ]
    expected = chance_quality(torch.tensor([4]), 20)
    for key, value in expected.items():
        np.testing.assert_allclose(np.mean([d[key].item() for d in draws]), value.item(), atol=0.02)
