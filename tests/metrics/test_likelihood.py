"""Compare the importance-weighted likelihood with the exact likelihood of a linear-Gaussian model."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from autoencoders.config import instantiate
from autoencoders.metrics.aggregate_posterior import gap_to_prior
from autoencoders.metrics.likelihood import importance_weighted
from autoencoders.models.vae import VAE
from autoencoders.objectives.beta_schedules import Constant
from autoencoders.objectives.likelihoods import Gaussian
from autoencoders.objectives.posteriors import Reparameterization
from autoencoders.types import Context, UserError
from autoencoders.utils import counter_rng

SHAPE, LATENTS, SCALE = (1, 2, 3), 2, 0.7
PIXELS = math.prod(SHAPE)


class Flat(nn.Module):
    """Encoder that returns the pixels as features."""

    features = PIXELS

    def forward(self, x, context=None):
        return x.flatten(1)


class Linear(nn.Module):
    """Linear decoder x = W z + b."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, z, context=None):
        return (z @ self.weight.T + self.bias).unflatten(1, SHAPE)


def orthogonal_columns(generator):
    """Return W with orthogonal columns. The covariance of the true posterior is then diagonal, as that of q."""
    q, _ = torch.linalg.qr(torch.randn(PIXELS, LATENTS, generator=generator))
    return q * torch.tensor([1.5, 0.6])


@pytest.fixture
def linear():
    """Return a function of `off` that returns a model, images and their exact log-likelihoods.

    For `off` = 0, the posterior q of the model is the true posterior.
    """
    generator = torch.Generator().manual_seed(0)
    weight, bias = orthogonal_columns(generator), torch.randn(PIXELS, generator=generator)
    exact = MultivariateNormal(bias.double(), weight.double() @ weight.double().T + SCALE**2 * torch.eye(PIXELS))
    x = exact.sample((40,)).float().unflatten(1, SHAPE)

    def made(off):
        model = VAE(
            shape=SHAPE, context=None, likelihood=Gaussian(SCALE, "linear"), beta_schedule=Constant(1.0),
            latent_dim=LATENTS,
            encoder=lambda shape, condition: Flat(), decoder=lambda inputs, shape, condition: Linear(weight, bias),
        )  # fmt: skip
        variance = 1 / (1 + weight.square().sum(0) / SCALE**2)  # variance of the true posterior
        gain = variance[:, None] * weight.T / SCALE**2  # the mean of the true posterior is gain (x - b)
        with torch.no_grad():
            model.head.weight.copy_(torch.cat([gain * (1 - off), torch.zeros(LATENTS, PIXELS)]))
            model.head.bias.copy_(torch.cat([-(1 - off) * gain @ bias, variance.log() + off]))
        return model.eval(), x, exact.log_prob(x.flatten(1).double())

    return made


def estimate(model, x, samples, **options):
    return importance_weighted(model, x, x, None, torch.arange(len(x)), samples=samples, **options)


def test_one_sample_of_the_true_posterior_is_exact(linear):
    model, x, exact = linear(0.0)
    found = estimate(model, x, 1)
    torch.testing.assert_close(-found.nll, exact, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.nll, found.negative_elbo)
    torch.testing.assert_close(estimate(model, x, 20).effective, torch.full((40,), 20.0).double(), rtol=1e-4, atol=0)


def test_the_bound_lies_between_elbo_and_likelihood_and_closes(linear):
    model, x, exact = linear(0.5)
    with torch.no_grad():
        posterior = model.posterior(x)
    q = Normal(posterior.mean.double(), (0.5 * posterior.log_variance).exp().double())
    rate = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    # E |x - W z - b|^2 = |x - W m - b|^2 + sum_i variance_i |W_i|^2, in closed form.
    weight = model.decoder.weight.double()
    residual = (x - model.decode(posterior.mean)).flatten(1).double().square().sum(1)
    spread = (q.variance * weight.square().sum(0)).sum(1)
    constant = PIXELS * math.log(SCALE * math.sqrt(2 * math.pi))
    elbo = -(residual + spread) / (2 * SCALE**2) - constant - rate
    singles = torch.stack([-estimate(model, x, 1, seed=seed).nll for seed in range(200)])
    error = float(singles.mean(1).std()) / 200**0.5
    assert float((singles.mean() - elbo.mean()).abs()) < 3 * error  # for K = 1, the bound is the ELBO
    bounds = [float(elbo.mean()), *(float(-estimate(model, x, k).nll.mean()) for k in (10, 100, 3000))]
    gaps = [float(exact.mean()) - bound for bound in bounds]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0
    assert abs(gaps[3]) < 0.01
    many = estimate(model, x, 3000)
    torch.testing.assert_close(-many.negative_elbo, elbo, atol=0.25, rtol=0)
    assert (many.nll < many.negative_elbo).all()  # Jensen's inequality for the same samples
    assert ((many.effective > 1) & (many.effective < 3000)).all()


def test_the_bound_is_tight_for_models_trained_with_wrong_noise(linear):
    model, x, exact = linear(0.0)
    model.posteriors = Reparameterization(noise="uniform", std="exp")
    gaps = [float((exact + estimate(model, x, k).nll).mean()) for k in (1, 30, 3000)]
    assert gaps[0] > gaps[1] > gaps[2] > -0.01
    assert gaps[2] < 0.1  # the gap closes slowly because the proposal is too narrow


def test_the_likelihood_equals_log_sum_exp_over_torch_distributions(linear):
    model, x, _ = linear(0.3)
    rows = torch.arange(len(x))
    posterior = model.posterior(x)
    q = Normal(posterior.mean.double(), (0.5 * posterior.log_variance).exp().double())
    logs = []
    for k in range(50):
        z = posterior.sample(counter_rng.normal(counter_rng.derive_seed(3, "importance"), (rows << 32) + k, LATENTS))
        decoded = Normal(model.decode(z).flatten(1).double(), SCALE)
        log_prior = Normal(0.0, 1.0).log_prob(z.double()).sum(1)
        logs.append(decoded.log_prob(x.flatten(1)).sum(1) + log_prior - q.log_prob(z.double()).sum(1))
    logs = torch.stack(logs, 1).detach()
    found = estimate(model, x, 50, seed=3, together=7)
    torch.testing.assert_close(-found.nll, logs.logsumexp(1) - math.log(50), atol=1e-4, rtol=0)
    torch.testing.assert_close(-found.negative_elbo, logs.mean(1), atol=1e-4, rtol=0)
    weights = logs.softmax(1)
    torch.testing.assert_close(found.effective, 1 / weights.square().sum(1), atol=0, rtol=1e-3)


@pytest.mark.parametrize("together", [1, 7, 64, 10_000])
def test_batching_changes_nothing(linear, together):
    model, x, _ = linear(0.5)
    whole, parts = estimate(model, x, 30), estimate(model, x, 30, together=together)
    some = importance_weighted(model, x[11:13], x[11:13], None, torch.tensor([11, 12]), samples=30, together=together)
    for a, b, c in zip(whole, parts, some, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(a[11:13], c, atol=1e-4, rtol=1e-4)


def test_at_most_the_given_number_of_pairs_pass_the_decoder(linear, monkeypatch):
    model, x, _ = linear(0.5)
    seen, forward = [], model.likelihood
    monkeypatch.setattr(model, "likelihood", lambda z, y: seen.append(len(z)) or forward(z, y))
    for samples in (1, 3, 100):
        estimate(model, x, samples, together=8)
    assert max(seen) == 8
    assert sum(seen) == len(x) * 104


@pytest.mark.parametrize("context", [Context("classes", tuple("abcd")), Context("attributes", ("Male", "Smiling"))])
def test_labels_go_with_their_images(compose, context):
    model = instantiate.build_model(compose("model=cvae", "net=mlp", "latent_dim=3"), (1, 8, 8), context).eval()
    x, rows = torch.rand(6, 1, 8, 8), torch.arange(6)
    y = torch.arange(6) % 4 if context.kind == "classes" else torch.randn(6, 2)
    whole = importance_weighted(model, x, x, y, rows, samples=5)
    for i in range(6):
        one = slice(i, i + 1)
        alone = importance_weighted(model, x[one], x[one], y[one], rows[one], samples=5, together=2)
        torch.testing.assert_close(alone.nll, whole.nll[one], atol=1e-3, rtol=1e-5)
    other = importance_weighted(model, x, x, y.flip(0), rows, samples=5)
    assert (other.nll != whole.nll).any()


def test_a_model_without_a_prior_and_numbers_of_no_sense_are_refused(compose, linear):
    ae = instantiate.build_model(compose("model=ae", "net=mlp", "latent_dim=3"), (1, 8, 8), None)
    with pytest.raises(UserError, match="no prior"):
        estimate(ae, torch.rand(2, 1, 8, 8), 5)
    for options in ({"samples": 0}, {"samples": 5, "together": 0}):
        with pytest.raises(UserError, match="must be an integer >= 1, got 0"):
            estimate(*linear(0.0)[:2], **options)


def test_the_gap_to_the_prior_is_the_kl_of_torch_distributions():
    z = torch.randn(500, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64) + 0.5
    fitted = MultivariateNormal(z.mean(0), torch.from_numpy(np.cov(z.T.numpy(), bias=True)))
    expected = kl_divergence(fitted, MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double()))
    assert gap_to_prior(z) == pytest.approx(float(expected))
    null = np.mean([gap_to_prior(torch.randn(2000, 10)) for _ in range(50)])
    assert null == pytest.approx(10 * 13 / (4 * 2000), rel=0.1)
    assert math.isnan(gap_to_prior(torch.randn(4, 4)))
