"""Disentanglement scores on codes with known scores, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score

from autoencoders.metrics.disentanglement.dci import MIN_LEAF, TREES, completeness, dci, disentanglement
from autoencoders.metrics.disentanglement.explicitness import explicitness, mean_roc_area
from autoencoders.metrics.disentanglement.fixed_factors import (
    FactorGroups,
    Votes,
    beta_vae_score,
    factor_vae_score,
    usable_factors,
)
from autoencoders.metrics.disentanglement.mutual_information import (
    discretize,
    entropies,
    modularity,
    mutual_information_gap,
    mutual_information_matrix,
)
from autoencoders.metrics.disentanglement.sap import active_latents, predictability, sap_score
from autoencoders.metrics.disentanglement.scores import ScoreProtocol, score_codes

SIZES = (3, 6, 8, 10)
ORDERED = (False, True, True, True)
COUNT = 4000
PROTOCOL = ScoreProtocol(votes=Votes(500, 1000, 64), resamples=0)
NEAR_ZERO = ("MIG", "disentanglement", "completeness", "SAP")


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, COUNT) for size in SIZES], axis=1)


def rotate(codes, degrees):
    """Rotate standardized codes in the planes of the latents 0 and 1, and 2 and 3."""
    angle = np.deg2rad(degrees)
    rotation = np.kron(np.eye(2), [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (codes - codes.mean(0)) / codes.std(0) @ rotation


def test_true_factors_reach_the_largest_scores(factors):
    found = score_codes(factors.astype(float), factors, ORDERED, PROTOCOL).values
    for name in ("disentanglement", "completeness", "informativeness", "FactorVAE", "BetaVAE"):
        assert found[name] == pytest.approx(1, abs=0.003), name
    assert found["MIG"] == pytest.approx(1, abs=0.01)  # 20 bins keep all values apart
    assert found["modularity"] > 0.99
    assert found["explicitness"] > 0.97
    # The balanced accuracy of thresholds on an independent latent is 1/3 for a factor with 3 categories.
    assert found["SAP"] == pytest.approx((3 + 2 / 3) / 4, abs=0.02)


def test_the_order_and_the_sign_of_latents_do_not_matter(factors):
    codes = -3.0 * factors[:, [2, 0, 3, 1]] + 7
    found = score_codes(codes, factors, ORDERED, PROTOCOL).values
    assert min(found[name] for name in ("MIG", "disentanglement", "completeness", "FactorVAE")) > 0.98


def test_independent_noise_scores_as_by_chance(factors):
    codes = np.random.default_rng(1).normal(size=(COUNT, 6))
    found = score_codes(codes, factors, ORDERED, PROTOCOL).values
    assert max(found[name] for name in NEAR_ZERO) < 0.02
    assert found["informativeness"] == pytest.approx(np.mean(1 / np.array(SIZES)), abs=0.03)
    assert found["explicitness"] == pytest.approx(0.5, abs=0.02)
    assert found["FactorVAE"] == pytest.approx(1 / 4, abs=0.06)
    assert found["BetaVAE"] == pytest.approx(1 / 4, abs=0.06)


def test_a_rotation_by_45_degrees_lowers_the_scores(factors):
    codes = factors.astype(float)
    straight, rotated = (score_codes(rotate(codes, a), factors, ORDERED, PROTOCOL).values for a in (0, 45))
    for name in NEAR_ZERO:
        assert rotated[name] < 0.75 * straight[name], name
    assert rotated["modularity"] < 0.9 < 0.99 < straight["modularity"]
    # Both latents of a rotated pair have the same variance if one of the two factors is fixed: a guess between two.
    assert straight["FactorVAE"] == 1
    assert rotated["FactorVAE"] == pytest.approx(0.5, abs=0.05)
    assert rotated["BetaVAE"] <= straight["BetaVAE"]


def test_mutual_information_equals_scikit_learn(factors):
    rng = np.random.default_rng(2)
    codes = factors @ rng.normal(size=(4, 5)) + rng.normal(size=(COUNT, 5))
    bins = discretize(codes, 20)
    found = mutual_information_matrix(bins, factors)
    expected = np.array([[mutual_info_score(b, f) for f in factors.T] for b in bins.T])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(entropies(factors), [mutual_info_score(f, f) for f in factors.T], atol=1e-12)
    gaps = [(np.sort(expected[:, j])[-1] - np.sort(expected[:, j])[-2]) / entropies(factors)[j] for j in range(4)]
    assert mutual_information_gap(found, entropies(factors)) == pytest.approx(np.mean(gaps), abs=1e-12)


def test_bins_are_those_of_a_histogram(factors):
    codes = np.random.default_rng(3).normal(size=(500, 2))
    for column, bins in zip(codes.T, discretize(codes, 20).T, strict=True):
        np.testing.assert_array_equal(np.bincount(bins, minlength=20), np.histogram(column, 20)[0])
    assert discretize(np.ones((5, 1)), 20).max() == 0


def test_random_codes_have_the_bias_of_miller():
    rng = np.random.default_rng(4)
    bins, factor = rng.integers(0, 20, (5000, 40)), rng.integers(0, 10, (5000, 1))
    assert mutual_information_matrix(bins, factor).mean() == pytest.approx(19 * 9 / (2 * 5000), rel=0.05)


def test_modularity_in_closed_form():
    assert modularity(np.array([[1.0, 0, 0], [0, 2, 0]])) == 1
    assert modularity(np.array([[1.0, 1, 1]])) == 0
    assert modularity(np.array([[2.0, 1, 0], [0, 0, 0]])) == pytest.approx((1 - 1 / (4 * 2)) / 2)
    assert np.isnan(modularity(np.ones((3, 1))))


def test_disentanglement_and_completeness_in_closed_form():
    importance = np.array([[1.0, 0], [0, 0.5], [0, 0.5]])
    assert disentanglement(importance) == pytest.approx(1)
    assert completeness(importance) == pytest.approx((1 + 1 - np.log(2) / np.log(3)) / 2)
    assert disentanglement(np.ones((3, 2))) == pytest.approx(0)
    # Weighted by the total importance: .8 for a latent of both factors, 1.2 for a latent of one factor.
    assert disentanglement(np.array([[0.4, 0.4], [0.0, 1.2]])) == pytest.approx(0.6)
    assert np.isnan(completeness(np.ones((1, 2))))


def test_predictors_are_those_of_scikit_learn(factors):
    rng = np.random.default_rng(5)
    codes = factors + rng.normal(size=factors.shape)
    train, test = PROTOCOL.divide(COUNT)
    found = dci(codes, factors, train, test, seed=3)
    trees = ExtraTreesClassifier(TREES, min_samples_leaf=MIN_LEAF, max_features=None, random_state=3)
    trees.fit(codes[train], factors[train, 1])
    np.testing.assert_allclose(found.importance[:, 1], trees.feature_importances_)
    one = dci(codes, factors[:, 1:2], train, test, seed=3)
    assert one.informativeness == pytest.approx((trees.predict(codes[test]) == factors[test, 1]).mean())
    scaled = (codes - codes[train].mean(0)) / codes[train].std(0)
    areas = []
    for factor in factors.T:
        classifier = LogisticRegression(max_iter=1000).fit(scaled[train], factor[train])
        scores = classifier.predict_proba(scaled[test])
        areas.append(np.mean([roc_auc_score(factor[test] == k, scores[:, k]) for k in range(scores.shape[1])]))
    assert explicitness(codes, factors, train, test) == pytest.approx(np.mean(areas), abs=1e-3)


def test_the_roc_area_of_equal_scores_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    scores, actual = rng.integers(0, 4, (300, 3)).astype(float), rng.integers(0, 3, 300)
    expected = np.mean([roc_auc_score(actual == k, scores[:, k]) for k in range(3)])
    assert mean_roc_area(scores, np.arange(3), actual) == pytest.approx(expected)


def test_predictability_of_ordered_factors_is_the_squared_correlation(factors):
    rng = np.random.default_rng(7)
    codes = factors + rng.normal(size=factors.shape)
    train, test = PROTOCOL.divide(COUNT)
    found = predictability(codes, factors, ORDERED, train, test)
    expected = np.corrcoef(codes.T, factors.T)[:4, 4:] ** 2
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=1e-12)
    # Thresholds of a categorical factor: the best ones between 0, 1 and 2 with normal noise are 0.5 and 1.5.
    correct = np.clip(np.floor(codes[test, 0] + 0.5), 0, 2) == factors[test, 0]
    accuracy = np.mean([correct[factors[test, 0] == k].mean() for k in range(3)])
    assert found[0, 0] == pytest.approx(accuracy, abs=0.03)
    assert sap_score(np.array([[0.9, 0.2], [0.5, 0.1]])) == pytest.approx((0.4 + 0.1) / 2)


def test_collapsed_latents_have_no_votes(factors):
    codes = np.column_stack([factors, 1e-3 * np.random.default_rng(8).normal(size=COUNT), np.zeros(COUNT)])
    assert active_latents(codes).tolist() == [True] * 4 + [False] * 2
    assert factor_vae_score(codes, factors, PROTOCOL.votes) == 1
    train, test = PROTOCOL.divide(COUNT)
    assert not predictability(codes, factors, ORDERED, train, test)[4:].any()


def test_groups_share_the_fixed_value_and_follow_its_frequency():
    rng = np.random.default_rng(9)
    factor = rng.choice(4, 2000, p=[0.6, 0.3, 0.099, 0.001])
    groups = FactorGroups(factor)
    values = groups.draw_values(rng, 20_000)
    rows = groups.draw_images(rng, values)
    np.testing.assert_array_equal(factor[rows], values)
    counts = np.bincount(factor, minlength=4)
    assert counts[3] < 8
    np.testing.assert_allclose(
        np.bincount(values, minlength=4) / 20_000, [*counts[:3] / counts[:3].sum(), 0], atol=0.01
    )
    assert len(np.unique(rows)) > 1500
    assert usable_factors(np.column_stack([factor, np.arange(2000)])).tolist() == [0]


def test_groups_of_one_usable_factor_have_no_score(factors):
    codes = factors[:, :2].astype(float)
    assert np.isnan(factor_vae_score(codes, factors[:, :1], PROTOCOL.votes))
    assert np.isnan(beta_vae_score(codes, factors[:, :1], PROTOCOL.votes))


@pytest.mark.slow
def test_the_bootstrap_error_is_that_of_repeated_data():
    """Compare the bootstrap standard error of MIG with its standard deviation over independent data."""
    rng, names = np.random.default_rng(10), ("MIG", "SAP", "informativeness")
    found, errors = [], []
    for _ in range(12):
        factors = np.stack([rng.integers(0, size, 400) for size in (3, 5)], axis=1)
        codes = factors + rng.normal(size=factors.shape)
        protocol = ScoreProtocol(votes=Votes(20, 20, 8), resamples=10)
        scores = score_codes(codes, factors, (False, True), protocol)
        found.append([scores.values[name] for name in names])
        errors.append([scores.errors[name] for name in names])
    ratio = np.mean(errors, axis=0) / np.std(found, axis=0, ddof=1)
    assert (ratio > 0.5).all(), ratio
    assert (ratio < 2).all(), ratio


def test_standard_errors_are_reproducible_and_need_resamples(factors):
    few = factors[:300, :2]
    codes = few + np.random.default_rng(11).normal(size=few.shape)
    protocol = ScoreProtocol(votes=Votes(50, 50, 8), resamples=2)
    first, again = (score_codes(codes, few, ORDERED[:2], protocol) for _ in range(2))
    assert (first.values, first.errors) == (again.values, again.errors)
    assert all(0 < error < 0.3 for error in first.errors.values())
    assert np.isnan(list(score_codes(codes, few, ORDERED[:2], PROTOCOL).errors.values())).all()
