"""Priors, compared with torch.distributions, and their use in training, evaluation, sampling and applications."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from autoencoders import CVAE, VAE, load
from autoencoders import train as train_command
from autoencoders.config import instantiate
from autoencoders.metrics.likelihood import importance_weighted
from autoencoders.models.evaluation import evaluation_metrics, evaluation_terms
from autoencoders.models.prior_codes import PriorDensity, PriorNoise, draw_noise, prior_codes
from autoencoders.objectives import code_densities
from autoencoders.objectives.code_densities import DiagonalGaussian, DiagonalMixture, StandardGaussian
from autoencoders.objectives.posteriors import GaussianPosterior
from autoencoders.objectives.priors import ConditionalPrior, MixturePrior, VampPrior
from autoencoders.train import train
from autoencoders.types import Batch, UserError

SHAPE = (1, 8, 8)
"""Image shape of the models in this file."""


def exact_mixture(density):
    """Return a `DiagonalMixture` as a distribution of torch, in float64."""
    mean, scale = density.mean.double(), (0.5 * density.log_variance.double()).exp()
    return MixtureSameFamily(Categorical(logits=density.log_weights.double()), Independent(Normal(mean, scale), 1))


def mixture(components=7, size=3):
    return DiagonalMixture(
        torch.randn(components).log_softmax(0), 2 * torch.randn(components, size), torch.randn(components, size)
    )


def gaussian_posterior(count=9, size=3):
    return GaussianPosterior(torch.randn(count, size), torch.randn(count, size))


def batch_of(count=12, classes=None):
    x = torch.rand(count, *SHAPE)
    y = None if classes is None else torch.arange(count) % classes
    return Batch(x, x, y, torch.arange(count))


def test_the_density_of_a_mixture_is_that_of_torch_distributions(monkeypatch):
    density, z = mixture(), torch.randn(50, 3)
    torch.testing.assert_close(density.log_prob(z).double(), exact_mixture(density).log_prob(z.double()))
    found = density.log_prob(z)
    monkeypatch.setattr(code_densities, "ELEMENTS", 60)  # two codes at a time
    torch.testing.assert_close(density.log_prob(z), found)


def test_the_ratio_of_densities_is_that_of_torch_distributions():
    posterior, eps = gaussian_posterior(), torch.randn(9, 3)
    z = posterior.sample(eps)
    q = Independent(Normal(posterior.mean, posterior.log_std.exp()), 1).log_prob(z)
    priors = {
        StandardGaussian(): Independent(Normal(torch.zeros(3), torch.ones(3)), 1),
        (shared := mixture()): exact_mixture(shared),
        (own := DiagonalGaussian(torch.randn(9, 3), torch.randn(9, 3))): Independent(
            Normal(own.mean, (0.5 * own.log_variance).exp()), 1
        ),
    }
    for density, exact in priors.items():
        expected = exact.log_prob(z).float() - q
        torch.testing.assert_close(density.log_ratio(posterior, z, eps), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(density.log_prob(z), exact.log_prob(z).float(), rtol=1e-4, atol=1e-4)


def test_the_closed_form_of_a_gaussian_per_image_is_that_of_torch_distributions():
    posterior, density = gaussian_posterior(), DiagonalGaussian(torch.randn(9, 3), torch.randn(9, 3))
    q = Normal(posterior.mean, posterior.log_std.exp())
    p = Normal(density.mean, (0.5 * density.log_variance).exp())
    torch.testing.assert_close(density.kl(posterior), kl_divergence(q, p), rtol=1e-4, atol=1e-4)
    second = DiagonalGaussian(density.mean.repeat_interleave(2, 0), density.log_variance.repeat_interleave(2, 0))
    for found, expected in zip(density.repeat(2), second, strict=True):
        torch.testing.assert_close(found, expected)
    assert mixture().kl(posterior) is None


def test_samples_of_a_mixture_have_its_weights_and_moments():
    weights = torch.tensor([0.6, 0.3, 0.1])
    density = DiagonalMixture(
        weights.log(), torch.tensor([[0.0], [10.0], [-20.0]]), torch.tensor([[0.0], [-1.0], [-2.0]])
    )
    count = 200_000
    z = density.transform(torch.randn(count, 1), torch.rand(count))
    exact = exact_mixture(density)
    assert z.mean().item() == pytest.approx(exact.mean.item(), abs=0.1)
    assert z.std().item() == pytest.approx(exact.stddev.item(), rel=0.01)
    nearest = (z - density.mean.T).abs().argmin(1)
    torch.testing.assert_close(nearest.bincount() / count, weights, atol=5e-3, rtol=0)
    ends = density.center(torch.tensor([0.0, 1 - 1e-7]))[:, 0]
    assert ends.tolist() == [0.0, -20.0]


def test_the_rate_of_a_mixture_is_estimated_from_the_samples():
    prior = MixturePrior(components=1)
    model = VAE(shape=SHAPE, latent_dim=4, prior=prior).eval()
    with torch.no_grad():
        prior.mean.zero_()  # the only component is N(0, I)
    batch = batch_of(6)
    eps = torch.randn(6, 4000, 4)
    with torch.no_grad():
        terms = model.terms(batch, eps)
        expected = model.posterior(batch.x).kl().sum(1)
    assert terms.kl is None
    torch.testing.assert_close(terms.rate, expected, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("prior", ["mixture", "vamp", "conditional"])
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_the_bounds_are_those_of_torch_distributions(prior, objective):
    model = CVAE(shape=SHAPE, latent_dim=3, classes=3, prior=prior, objective=objective).eval()
    if prior == "conditional":
        torch.nn.init.normal_(model.prior.net[-1].weight, std=0.5)
    batch, eps = batch_of(12, 3), torch.randn(12, 5, 3)
    with torch.no_grad():
        terms = model.terms(batch, eps)
        q = model.posterior(batch.x, batch.y)
        q = Independent(Normal(q.mean[:, None], q.log_std.exp()[:, None]), 1)
        z = q.base_dist.loc + q.base_dist.scale * eps
        density = model.code_density(batch.y)
        if prior == "conditional":
            p = Independent(Normal(density.mean[:, None], (0.5 * density.log_variance[:, None]).exp()), 1)
            expected = kl_divergence(q, p)[:, 0]
        else:
            p = exact_mixture(density)
            expected = (q.log_prob(z) - p.log_prob(z)).mean(1)
        y = batch.y.repeat_interleave(5)
        nll = model.likelihood(z.flatten(0, 1), y).nll(batch.target.repeat_interleave(5, 0)).unflatten(0, (12, 5))
        logs = p.log_prob(z) - q.log_prob(z) - nll
    torch.testing.assert_close(terms.rate.double(), expected.double(), rtol=1e-4, atol=1e-4)
    if objective == "iwae":
        bound = math.log(5) - logs.logsumexp(1)
        torch.testing.assert_close(terms.bound.double(), bound.double(), rtol=1e-5, atol=1e-4)


def test_the_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    model = VAE(shape=SHAPE, latent_dim=3, prior=VampPrior(5)).eval()
    z = torch.randn(20, 3)
    with torch.no_grad():
        posterior = model.posterior(model.prior.inputs.clamp(0, 1))
        q = Independent(Normal(posterior.mean, posterior.log_std.exp()), 1)
        expected = q.log_prob(z[:, None]).exp().mean(1).log()
        torch.testing.assert_close(model.code_density().log_prob(z), expected)


def test_images_and_pseudo_inputs_have_the_same_statistics_of_batch_normalization():
    model = VAE(shape=SHAPE, latent_dim=3, prior=VampPrior(5))
    x = torch.rand(8, *SHAPE)
    norm = next(module for module in model.encoder.modules() if isinstance(module, torch.nn.BatchNorm1d))
    seen = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    terms = model.terms(Batch(x, x, None, torch.arange(8)), torch.randn(8, 3))
    assert [len(values) for values in seen] == [13]  # one pass for 8 images and 5 pseudo-inputs
    torch.testing.assert_close(norm.running_mean, 0.1 * seen[0].mean(0))  # momentum 0.1
    terms.rate.sum().backward()
    assert model.prior.inputs.grad.abs().sum() > 0


def test_the_terms_of_training_are_those_of_the_posterior_and_the_prior():
    model = VAE(shape=SHAPE, latent_dim=3, prior=VampPrior(5)).eval()
    x, eps = torch.rand(8, *SHAPE), torch.randn(8, 3)
    terms = model.terms(Batch(x, x, None, torch.arange(8)), eps)
    expected = model.objective.terms(
        model.posterior(x), model.likelihood, Batch(x, x, None, torch.arange(8)), eps, model.code_density()
    )
    torch.testing.assert_close(terms.rate, expected.rate)
    torch.testing.assert_close(terms.distortion, expected.distortion)


def test_the_conditional_prior_starts_as_the_standard_normal_and_has_one_gaussian_per_class():
    standard = CVAE(shape=SHAPE, latent_dim=3, classes=3).eval()
    model = CVAE(shape=SHAPE, latent_dim=3, classes=3, prior=ConditionalPrior(hidden=4)).eval()
    model.load_state_dict(standard.state_dict(), strict=False)
    batch = batch_of(12, 3)
    eps = torch.randn(12, 3)
    with torch.no_grad():
        torch.testing.assert_close(model.terms(batch, eps).rate, standard.terms(batch, eps).rate)
        torch.nn.init.normal_(model.prior.net[-1].weight)
        density = model.code_density(torch.arange(3))
    assert (density.mean[0] - density.mean[1]).abs().min() > 0
    same = model.code_density(torch.tensor([1, 1]))
    torch.testing.assert_close(same.mean[0], same.mean[1])


def test_evaluation_has_no_value_per_latent_without_a_closed_form():
    model = VAE(shape=SHAPE, latent_dim=3, prior="mixture").eval()
    with torch.no_grad():
        metrics = evaluation_metrics(model, "val", evaluation_terms(model, batch_of(), "val"))
    assert not any(name.startswith("val_kl/") for name in metrics)
    assert metrics["val/neg_elbo"] == pytest.approx(metrics["val/distortion"] + metrics["val/rate"])


@pytest.mark.parametrize("prior", ["mixture", "vamp", "conditional"])
def test_the_likelihood_by_importance_sampling_uses_the_prior(prior):
    model = CVAE(shape=SHAPE, latent_dim=2, classes=3, prior=prior).eval()
    if prior == "conditional":
        torch.nn.init.normal_(model.prior.net[-1].weight, std=0.5)
    batch = batch_of(2, 3)
    found = importance_weighted(model, *batch[:3], batch.index, samples=4000)
    # The integral of p(x | z) p(z) over a grid of codes.
    axis = torch.linspace(-6, 6, 121)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        for i in range(2):
            y = batch.y[i].expand(len(grid))
            nll = model.likelihood(grid, y).nll(batch.target[i].expand(len(grid), *SHAPE))
            log_area = 2 * math.log(float(axis[1] - axis[0]))
            exact = -(model.code_density(y).log_prob(grid) - nll).double().logsumexp(0) - log_area
            assert found.nll[i].item() == pytest.approx(exact.item(), abs=0.05)


def test_a_prior_as_a_density_has_its_mean_log_density_and_samples():
    model = CVAE(shape=SHAPE, latent_dim=2, classes=2, prior="conditional").eval()
    with torch.no_grad():
        model.prior.net[-1].weight.copy_(torch.tensor([[4.0, -4.0], [0.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    density = PriorDensity(model, torch.tensor([0, 0, 0, 1]))
    assert density.mean.tolist() == pytest.approx([2.0, 0.0])
    z = torch.randn(10, 2)
    parts = [Normal(torch.tensor([m, 0.0]), torch.tensor([s, 1.0])).log_prob(z).sum(1) for m, s in
             ((4.0, math.exp(-0.5)), (-4.0, 1.0))]  # fmt: skip
    expected = (0.75 * parts[0].exp() + 0.25 * parts[1].exp()).log()
    torch.testing.assert_close(density.log_density(z).float(), expected, rtol=1e-4, atol=1e-4)
    draws = density.sample(20_000, torch.Generator().manual_seed(0))
    assert (draws[:, 0] > 0).float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_samples_of_the_model_come_from_its_prior():
    model = VAE(shape=SHAPE, latent_dim=2, prior=MixturePrior(2))
    with torch.no_grad():
        model.prior.mean.copy_(torch.tensor([[5.0, 0.0], [-5.0, 0.0]]))
    generator = torch.Generator().manual_seed(0)
    noise = draw_noise(model, 1000, generator)
    codes = prior_codes(model, noise)
    assert codes[:, 0].abs().mean().item() == pytest.approx(5, abs=0.1)
    centers = prior_codes(model, noise, temperature=0.0)
    assert sorted(centers[:, 0].unique().tolist()) == [-5.0, 5.0]
    model.eval()
    expected = model.decode(codes[:4]).detach()
    found = model.sample(1000, generator=torch.Generator().manual_seed(0))[:4]
    torch.testing.assert_close(found, expected)
    standard = VAE(shape=SHAPE, latent_dim=2).eval()
    torch.manual_seed(3)
    found = standard.sample(5, temperature=0.5)
    torch.manual_seed(3)
    with torch.no_grad():
        torch.testing.assert_close(found, standard.decode(0.5 * torch.randn(5, 2)))


def test_prior_noise_repeats_samples():
    noise = PriorNoise(torch.arange(4.0).view(2, 2), torch.tensor([0.1, 0.9])).repeat_interleave(2)
    assert noise.choice.tolist() == pytest.approx([0.1, 0.1, 0.9, 0.9])
    assert noise.noise[:, 0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"prior": "conditional"}, "prior=conditional needs a model that is conditioned on labels"),
        ({"prior": "unknown"}, "prior must be one of standard_normal, mixture, vamp, conditional"),
        ({"prior": "vamp", "regularizer": "dip_i"}, "prior must be standard_normal with regularizer=dip_i"),
    ],
)
def test_combinations_that_are_refused(words, expected):
    with pytest.raises(UserError, match=expected):
        VAE(shape=SHAPE, **words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model=ae", "prior=vamp"], "prior must be standard_normal for a model with one code per image, got vamp"),
        (["model=cvae", "prior=mixture", "model.guide=1"], "model.guide must be 0 with prior=mixture, got 1"),
        (["model=vae", "prior=mixture", "posterior.noise=uniform"], "prior=mixture needs Gaussian samples"),
        (["model=vae", "prior=vamp", "prior.components=0"], "prior.components must be an integer >= 1, got 0"),
        (["model=vae", "prior=conditional"], "prior=conditional needs a model that is conditioned on labels"),
    ],
)
def test_a_command_refuses_before_reading_data(run_command, tmp_path, words, expected):
    done = run_command(train_command, *words, "data=digits", cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr


QUICK = ["trainer=cpu", "logger=none", "callbacks=[checkpoint,health]", "trainer.max_epochs=2", "data.size=8"]
QUICK += ["net.widths=[32]", "latent_dim=4", "data.batch_size=64", "callbacks.health.every_n_epochs=0"]


@pytest.mark.parametrize(
    "words", [["model=vae", "prior=vamp"], ["model=cvae", "prior=vamp", "regularizer=mmd"],
              ["model=vae", "prior=mixture"], ["model=cvae", "prior=conditional", "model.guide=1"]]
)  # fmt: skip
def test_a_prior_is_trained_and_a_run_resumes_exactly(compose, tmp_path, words):
    words = [*QUICK, *words, "callbacks.last_checkpoint.every_n_steps=15"]
    metrics = train(compose(*words, folder=tmp_path / "one"))
    assert metrics["test/neg_elbo"] == pytest.approx(metrics["test/distortion"] + metrics["test/rate"])
    train(compose(*words, f"resume='{tmp_path}/one/checkpoints/previous.ckpt'", folder=tmp_path / "resumed"))
    first, resumed = (
        torch.load(tmp_path / folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in ("one", "resumed")
    )
    assert all(torch.equal(value, resumed[key]) for key, value in first.items())
    run = load(tmp_path / "one")
    fresh = instantiate.build_model(run.config, run.model.shape, run.model.labels)
    trained = [key for key in first if key.startswith("prior.")]
    assert trained
    assert not any(torch.equal(first[key], fresh.state_dict()[key]) for key in trained)
    header = (tmp_path / "one/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val/mi", "val/tc", "val/dwkl"} < set(header)
    assert "val/gap_to_prior" not in header


def test_the_pseudo_inputs_start_as_training_images(compose, tmp_path):
    words = [*QUICK, "model=vae", "prior=vamp", "prior.components=7", "optimizer.lr=1e-30"]
    train(compose(*words, folder=tmp_path / "run"))
    run = load(tmp_path / "run")
    images = run.data.evaluation_batches("train").batch(torch.arange(len(run.data.images("train")))).x
    distances = (run.model.prior.inputs.detach()[:, None] - images).flatten(2).abs().amax(2)
    assert distances.min(1).values.max() == 0
    assert distances.argmin(1).unique().numel() == 7
