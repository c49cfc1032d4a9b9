import torch
from torch.distributions import Normal, kl_divergence

from autoencoders.objectives.posteriors import LOG_VARIANCE_BOUND, GaussianPosterior, PointPosterior


def test_kl_is_that_of_torch_distributions():
    numbers = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)) * 2
    q = GaussianPosterior.from_numbers(numbers)
    expected = kl_divergence(Normal(q.mean, (0.5 * q.log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(q.kl(), expected, rtol=1e-5, atol=1e-5)


def test_samples_have_the_posterior_moments():
    q = GaussianPosterior(torch.tensor([[1.5, -2.0]]), torch.tensor([[0.5, -3.0]]))
    z = q.sample(torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(z.mean(0), q.mean[0], atol=0.01, rtol=0)
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), atol=0.01, rtol=0.01)


def test_the_two_heads_are_apart():  # defect D1: one layer for both
    q = GaussianPosterior.from_numbers(torch.arange(6.0)[None])
    assert q.mean.tolist() == [[0, 1, 2]]
    assert q.log_variance.tolist() == [[3, 4, 5]]


def test_extreme_log_variances_stay_finite():
    q = GaussianPosterior.from_numbers(torch.tensor([[0.0, 1e4], [0.0, -1e4]]))
    assert q.log_variance.abs().max() == LOG_VARIANCE_BOUND
    assert torch.isfinite(q.kl()).all()


def test_a_point_has_no_rate_and_ignores_noise():
    q = PointPosterior.from_numbers(torch.randn(3, 4))
    assert q.kl().sum() == 0
    assert torch.equal(q.sample(None), q.mean)
