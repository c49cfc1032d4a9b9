"""Compare the densities of codes with SciPy and scikit-learn, and check the properties that every density must have."""

import numpy as np
import pytest
import torch
from scipy import stats

from autoencoders.latent.densities import GaussianDiagonal, GaussianFull, GaussianMixture, StandardNormal, Uniform
from autoencoders.latent.kde import PCAKDE
from autoencoders.types import UserError

MIXING = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0], [0.3, 0.0, 0.2]])
ALL = [StandardNormal, Uniform, GaussianDiagonal, GaussianFull, PCAKDE, GaussianMixture]


def codes(count, seed):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) @ MIXING + 0.5


@pytest.mark.parametrize("density", [*ALL, lambda: PCAKDE(2), lambda: PCAKDE(0.9, "scott")])
def test_every_density_integrates_to_one_over_all_dimensions(density):
    density = density().fit(codes(400, 0), codes(100, 1))
    proposal = torch.distributions.MultivariateNormal(torch.full((3,), 0.5), 2.5 * MIXING.T @ MIXING + torch.eye(3))
    z = proposal.sample((40_000,))
    weights = (density.log_density(z) - proposal.log_prob(z)).exp()
    assert weights.mean() == pytest.approx(1, abs=5 * float(weights.std()) / 200)


@pytest.mark.parametrize("density", ALL)
def test_samples_have_the_densitys_mean_and_repeat(density):
    density = density().fit(codes(1000, 0), codes(100, 1))
    first, again = (density.sample(20_000, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first.double().mean(0), density.mean, atol=0.08, rtol=0)


@pytest.mark.parametrize("density", [GaussianDiagonal, GaussianFull, lambda: PCAKDE(2), GaussianMixture])
def test_constant_latents_do_not_change_the_result(density):
    z = torch.cat([codes(200, 0), torch.zeros(200, 2)], dim=1)
    density = density().fit(z, z[:50])
    assert density.sample(5, torch.Generator()).isfinite().all()
    assert density.log_density(z).isfinite().all()


def test_scotts_kde_is_scipys():
    from scipy.stats import gaussian_kde

    z, new = codes(500, 0), codes(40, 1)
    expected = gaussian_kde(z.double().numpy().T)
    density = PCAKDE(3, "scott").fit(z)
    assert density.bandwidth == pytest.approx(expected.factor)
    np.testing.assert_allclose(density.log_density(new), expected.logpdf(new.double().numpy().T), atol=1e-3)
    ratio = density.sample(100_000, torch.Generator().manual_seed(0)).var(0) / z.var(0)
    np.testing.assert_allclose(ratio, density.inflation, rtol=0.03)


def test_scott_in_55_dimensions_inflates_the_variance_as_computed():
    density = PCAKDE(55, "scott").fit(torch.randn(11_828, 60))
    assert density.inflation == pytest.approx(1.73, abs=0.005)


def test_a_bandwidth_chosen_on_held_out_codes_is_no_worse_there():
    train, val = codes(500, 0), codes(200, 1)
    chosen = PCAKDE(3).fit(train, val).log_density(val).mean()
    assert all(chosen >= PCAKDE(3, h).fit(train).log_density(val).mean() - 1e-6 for h in (0.1, "scott", 1.0))


def test_a_share_of_variance_keeps_as_many_components_as_scikit_learn():
    from sklearn.decomposition import PCA

    z = torch.randn(300, 20) * torch.linspace(3, 0.1, 20)
    assert PCAKDE(0.9, 0.5).fit(z).kept == PCA(0.9, svd_solver="full").fit(z.numpy()).n_components_


def test_a_mixture_finds_planted_clusters():
    z = torch.cat([torch.randn(300, 2) + shift for shift in (-10, 0, 10)])
    density = GaussianMixture([1, 3]).fit(z, z[::7])
    assert len(density.weights) == 3
    np.testing.assert_allclose(density.means[:, 0].sort().values, [-10, 0, 10], atol=0.3)
    assert density.log_density(z).mean() > GaussianFull().fit(z).log_density(z).mean() + 1


@pytest.mark.parametrize("bad", [lambda: PCAKDE(0), lambda: PCAKDE(1.5), lambda: PCAKDE(5, "silverman")])
def test_bad_options_are_refused(bad):
    with pytest.raises(UserError):
        bad()


def test_uniform_is_scipys_on_every_latent():
    z = torch.rand(50, 3, dtype=torch.float64) * 1.2 - 0.6
    density = Uniform(-0.5, 0.7).fit(z)
    expected = stats.uniform(-0.5, 1.2).logpdf(z.numpy()).sum(1)
    np.testing.assert_allclose(density.log_density(z), expected)
    assert 0 < np.isinf(expected).sum() < 50
    drawn = density.sample(4000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 3)
    assert stats.kstest(drawn.numpy().ravel(), stats.uniform(-0.5, 1.2).cdf).pvalue > 1e-3
    torch.testing.assert_close(drawn.double().mean(0), density.mean, atol=0.03, rtol=0)
    with pytest.raises(UserError, match="low < high"):
        Uniform(1, 1)
