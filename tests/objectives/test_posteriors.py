import pytest
import torch
from torch.distributions import Normal, kl_divergence

from autoencoders.objectives.code_densities import StandardGaussian
from autoencoders.objectives.posteriors import (
    LOG_VARIANCE_BOUND,
    NOISES,
    STDS,
    GaussianPosterior,
    PointPosterior,
    Reparameterization,
)


def test_kl_equals_that_of_torch_distributions():
    numbers = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)) * 2
    q = GaussianPosterior.from_numbers(numbers)
    expected = kl_divergence(Normal(q.mean, (0.5 * q.log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(q.kl(), expected, rtol=1e-5, atol=1e-5)


def test_samples_have_the_posterior_moments():
    q = GaussianPosterior(torch.tensor([[1.5, -2.0]]), torch.tensor([[0.5, -3.0]]))
    z = q.sample(torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(z.mean(0), q.mean[0], atol=0.01, rtol=0)
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), atol=0.01, rtol=0.01)


def test_means_and_log_variances_are_different_outputs():  # defect D1: one layer for both
    q = GaussianPosterior.from_numbers(torch.arange(6.0)[None])
    assert q.mean.tolist() == [[0, 1, 2]]
    assert q.log_variance.tolist() == [[3, 4, 5]]


def test_extreme_log_variances_stay_finite():
    q = GaussianPosterior.from_numbers(torch.tensor([[0.0, 1e4], [0.0, -1e4]]))
    assert q.log_variance.abs().max() == LOG_VARIANCE_BOUND
    assert torch.isfinite(q.kl()).all()


def test_a_point_posterior_has_rate_zero_and_ignores_noise():
    q = PointPosterior.from_numbers(torch.randn(3, 4))
    assert q.kl().sum() == 0
    assert torch.equal(q.sample(None), q.mean)


@pytest.mark.parametrize(
    ("name", "mean", "variance"),
    [("normal", 0, 1), ("shared_normal", 0, 1), ("uniform", 1 / 2, 1 / 12), ("centered_uniform", 0, 1 / 3)],
)
def test_fresh_and_fixed_noise_have_the_moments_of_their_distribution(name, mean, variance):
    posteriors = Reparameterization(noise=name)
    index = torch.arange(20_000)
    fresh = posteriors.fresh(3, 20_000, generator=torch.Generator().manual_seed(0), device="cpu")
    by_row = posteriors.by_row(7, index, 3)
    for eps in (fresh[0], by_row):
        assert eps.mean().item() == pytest.approx(mean, abs=0.03)
        assert eps.var().item() == pytest.approx(variance, rel=0.03)
    assert torch.equal(fresh[0], fresh[1]) == (name == "shared_normal")  # images of one batch
    assert not torch.equal(by_row[0], by_row[1])
    assert torch.equal(by_row[100:200], posteriors.by_row(7, index[100:200], 3))


def test_std_options_compute_the_std_of_their_name():
    numbers = torch.randn(40, 10, generator=torch.Generator().manual_seed(0)) * 3
    mean, raw = numbers.chunk(2, dim=1)
    expected = {"exp_half": (raw / 2).exp(), "softplus": torch.nn.Softplus()(raw), "exp": raw.exp()}
    eps = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    for name, std in expected.items():
        q = Reparameterization(std=name).from_numbers(numbers)
        z = q.sample(eps)
        torch.testing.assert_close(z, mean + std * eps)
        ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mean, std).log_prob(z)
        torch.testing.assert_close(StandardGaussian().log_ratio(q, z, eps), ratio.sum(1), rtol=1e-4, atol=1e-2)
        own_density = Normal(mean, std).log_prob(z).sum(1)
        torch.testing.assert_close(q.log_prob(eps), own_density, rtol=1e-4, atol=1e-2)
        own = (raw / 2).exp() if name == "exp" else std  # the rate is that of N(mean, exp(log_variance))
        torch.testing.assert_close(q.kl(), kl_divergence(Normal(mean, own), Normal(0.0, 1.0)), rtol=1e-4, atol=1e-4)
        assert type(q.repeat(2)) is type(q.rows(slice(1))) is type(q)


def test_softplus_of_extreme_numbers_is_finite_and_has_gradients():
    numbers = torch.tensor([[0.0, 0.0, -1e4, 1e4]], requires_grad=True)
    q = Reparameterization(std="softplus").from_numbers(numbers)
    (q.kl().sum() + q.sample(torch.ones(1, 2)).sum()).backward()
    assert torch.isfinite(q.kl()).all()
    assert torch.isfinite(numbers.grad).all()


def test_all_options_that_are_mistakes_have_notes():
    for noise in NOISES:
        for std in STDS:
            posteriors = Reparameterization(noise, std)
            correct = noise == "normal" and std != "exp"
            assert posteriors.gaussian == (noise in ("normal", "shared_normal") and std != "exp")
            assert bool(posteriors.notes) != correct
            assert ("is not a bound" in " ".join(posteriors.notes)) != posteriors.gaussian
