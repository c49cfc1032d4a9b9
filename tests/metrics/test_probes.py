import numpy as np
import torch
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from autoencoders.metrics.probes import LinearProbe, auroc, knn_predictions, tune_probe


def blobs(count=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=generator)
    return torch.randn(count, 6, generator=generator) * 3 + 2 * torch.eye(3, 6)[y] * 3 + 5, y


def test_a_probe_is_scikit_learns_logistic_regression():
    x, y = blobs()
    scaled = ((x - x.mean(0)) / x.std(0)).numpy()
    expected = LogisticRegression(C=1 / (len(x) * 0.01), max_iter=1000, tol=1e-8).fit(scaled, y)
    np.testing.assert_allclose(
        LinearProbe(0.01).fit(x, y).logits(x).softmax(1), expected.predict_proba(scaled), atol=1e-3
    )


def test_attributes_are_fitted_separately_and_unknown_values_are_ignored():
    x, y = blobs()
    both = torch.stack([(y == 0).float(), (y == 1).float()], 1)
    both[100:, 1] = torch.nan
    scaled = ((x - x.mean(0)) / x.std(0)).numpy()
    expected = LogisticRegression(C=1 / (len(x) * 0.01), max_iter=1000, tol=1e-8).fit(scaled, y == 0)
    probe = LinearProbe(0.01).fit(x, both[:, :1])
    np.testing.assert_allclose(probe.logits(x)[:, 0], expected.decision_function(scaled), atol=1e-2)
    assert LinearProbe(0.01).fit(x, both).logits(x).isfinite().all()


def test_validation_chooses_a_strong_penalty_for_noise():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 50, generator=generator), torch.randint(0, 2, (200,), generator=generator)
    probe = tune_probe((x[:100], y[:100]), (x[100:], y[100:]))
    assert probe.l2 == 1.0
    np.testing.assert_allclose(probe.logits(x), LinearProbe(1.0).fit(x[:100], y[:100]).logits(x), atol=1e-3)


def test_auroc_equals_the_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 20, 200), rng.random(200) > 0.7
    expected = mannwhitneyu(scores[positive], scores[~positive]).statistic / (positive.sum() * (~positive).sum())
    np.testing.assert_allclose(auroc(scores, positive), expected)
    assert np.isnan(auroc(scores, np.ones(200, dtype=bool)))


def test_neighbors_vote_as_in_scikit_learn():
    x, y = blobs(400)
    expected = KNeighborsClassifier(7).fit(x[:300], y[:300]).predict(x[300:])
    found = knn_predictions(x[:300], y[:300], x[300:], 7).numpy()
    assert (found == expected).mean() > 0.95  # only ties are resolved differently
    assert (knn_predictions(x, y, k=1) == y).float().mean() < 1  # no example is its own neighbor
