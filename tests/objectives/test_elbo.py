"""Bounds, compared with the closed form of a linear-Gaussian model, torch.distributions and Burda's gradient."""

import json
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from autoencoders.config import instantiate
from autoencoders.metrics.likelihood import importance_weighted
from autoencoders.models.evaluation import evaluation_metrics, evaluation_noise, evaluation_terms
from autoencoders.objectives.elbo import ELBO, IWAE
from autoencoders.objectives.likelihoods import Gaussian
from autoencoders.objectives.posteriors import GaussianPosterior
from autoencoders.runs import loading
from autoencoders.train import train
from autoencoders.types import Batch, Context, UserError
from autoencoders.utils import counter_rng

LATENTS, PIXELS, SCALE, IMAGES = 2, 6, 0.7, 30
CONTEXT = Context("classes", tuple("0123456789"))


class Linear:
    """The linear-Gaussian model x = W z + b + noise, with its exact posterior and likelihood."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        q, _ = torch.linalg.qr(torch.randn(PIXELS, LATENTS, generator=generator))
        self.weight, self.bias = q * torch.tensor([1.5, 0.6]), torch.randn(PIXELS, generator=generator)
        covariance = self.weight.double() @ self.weight.double().T + SCALE**2 * torch.eye(PIXELS)
        exact = MultivariateNormal(self.bias.double(), covariance)
        x = exact.sample((IMAGES,))
        self.nll = -exact.log_prob(x)
        self.x = x.float()[:, None, None]
        self.batch = Batch(self.x, self.x, None, torch.arange(IMAGES))

    def likelihood(self, z, y):
        return Gaussian(SCALE, "linear")((z @ self.weight.T + self.bias)[:, None, None])

    def posterior(self, off=0.0):
        """Return the exact posterior for off=0; above it, the mean is too small and the variance too large."""
        variance = 1 / (1 + self.weight.square().sum(0) / SCALE**2)
        mean = (self.x.flatten(1) - self.bias) @ self.weight * variance / SCALE**2
        return GaussianPosterior((1 - off) * mean, (variance.log() + off).expand_as(mean))

    def terms(self, objective, off=0.0, seed=0):
        shape = IMAGES, objective.samples, LATENTS
        eps = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        eps = eps[:, 0] if objective.samples == 1 else eps
        return objective.terms(self.posterior(off), self.likelihood, self.batch, eps), eps


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    return Linear()


@pytest.mark.parametrize("samples", [1, 5, 50])
def test_the_weighted_bound_is_exact_with_the_exact_posterior(linear, samples):
    terms, _ = linear.terms(IWAE(samples))
    torch.testing.assert_close(terms.bound.double(), linear.nll, atol=1e-4, rtol=0)


def test_the_weighted_bound_equals_the_log_mean_of_weights_from_torch_distributions(linear):
    terms, eps = linear.terms(IWAE(7), off=0.4)
    q = linear.posterior(0.4)
    q = Normal(q.mean.double()[:, None], (0.5 * q.log_variance.double()).exp()[:, None])
    z = q.mean + q.stddev * eps
    p = Normal(z @ linear.weight.double().T + linear.bias, SCALE)
    logs = p.log_prob(linear.x.flatten(1).double()[:, None]).sum(2)
    nll = -logs.mean(1)
    logs = logs + Normal(0.0, 1.0).log_prob(z).sum(2) - q.log_prob(z).sum(2)
    torch.testing.assert_close(terms.bound.double(), -(logs.exp().mean(1)).log(), atol=1e-4, rtol=0)
    torch.testing.assert_close(terms.distortion.double(), nll, atol=1e-4, rtol=0)


def test_more_samples_tighten_the_weighted_bound_but_not_the_elbo(linear):
    def mean(objective):
        runs = [linear.terms(objective, off=0.5, seed=seed)[0] for seed in range(100)]
        values = [(t.distortion + t.rate if t.bound is None else t.bound).mean() for t in runs]
        return torch.stack(values).double().mean(), torch.stack(values).double().std() / 10

    exact = linear.nll.mean()
    (one, error), (five, _), (fifty, _) = (mean(IWAE(k)) for k in (1, 5, 50))
    assert one - exact > 2 * (five - exact) > 4 * (fifty - exact) > 0
    for samples in (1, 5):  # the bound of one sample is the ELBO with an estimated KL; the ELBO averages samples
        elbo, other = mean(ELBO(samples))
        assert abs(elbo - one) < 3 * (error.square() + other.square()).sqrt()


def test_the_gradient_is_the_weighted_sum_of_the_gradients_of_the_samples(linear):
    """Burda et al., equation 14: sum_k w_k / sum w_j grad log w_k."""
    off = torch.tensor(0.5, requires_grad=True)
    objective = IWAE(5)
    terms, eps = linear.terms(objective, off)
    (ours,) = torch.autograd.grad(terms.bound.sum(), off)
    logs = torch.stack([-IWAE(1).terms(linear.posterior(off), linear.likelihood, linear.batch, e).bound
                        for e in eps.unbind(1)], 1)  # fmt: skip
    weights = logs.detach().softmax(1)
    (theirs,) = torch.autograd.grad(-(weights * logs).sum(), off)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_the_bound_is_finite_for_weights_of_any_size(linear):
    far = linear.batch._replace(target=linear.x + 1e4)
    bound = IWAE(5).terms(linear.posterior(), linear.likelihood, far, torch.randn(IMAGES, 5, LATENTS)).bound
    assert torch.isfinite(bound).all()
    assert bound.min() > 1e6


def build(compose, *overrides, model="vae"):
    overrides = [f"model={model}", "net.widths=[32]", "latent_dim=3", *overrides]
    return instantiate.build_model(compose(*overrides), (1, 8, 8), CONTEXT).eval()


def images(count):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 1, 8, 8, generator=generator).round()
    return Batch(x, x, torch.arange(count) % 10, torch.arange(count))


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_all_samples_of_an_image_have_its_label_and_target(compose, model):
    elbo = build(compose, "objective.samples=4", model=model)
    batch, eps = images(12), torch.randn(12, 4, 3)
    terms, singles = elbo.terms(batch, eps), [elbo.terms(batch, e) for e in eps.unbind(1)]
    torch.testing.assert_close(terms.distortion, torch.stack([s.distortion for s in singles]).mean(0))
    torch.testing.assert_close(terms.rate, singles[0].rate)
    assert terms.bound is None


def test_the_bound_equals_the_likelihood_estimate_from_the_same_samples(compose):
    model, batch = build(compose, "objective=iwae", "objective.samples=6", model="cvae"), images(9)
    pairs = counter_rng.pair_indices(batch.index, torch.arange(6))
    eps = counter_rng.normal(counter_rng.derive_seed(0, "importance"), pairs, 3).unflatten(0, (-1, 6))
    estimate = importance_weighted(model, batch.x, batch.target, batch.y, batch.index, samples=6)
    torch.testing.assert_close(model.terms(batch, eps).bound.double(), estimate.nll, rtol=1e-5, atol=1e-4)


def test_validation_is_the_bound_for_any_batch_size_and_decodes_at_most_a_batch(compose, monkeypatch):
    model, batch = build(compose, "objective=iwae", "objective.samples=5"), images(30)
    sizes, decoder = [], model.decoder.forward
    monkeypatch.setattr(model.decoder, "forward", lambda z, *rest: sizes.append(len(z)) or decoder(z, *rest))
    with torch.no_grad():
        means = evaluation_terms(model, batch, "val")
        assert max(sizes) == 30
        parts = [evaluation_terms(model, chunk, "val") * len(chunk.x) / 30 for chunk in batch.chunks(7)]
        torch.testing.assert_close(means, sum(parts))
        terms = model.terms(batch, evaluation_noise(model, batch.index, "val", 5))
    metrics = evaluation_metrics(model, "val", means)
    assert metrics["val/loss"] == metrics["val/objective"] == pytest.approx(terms.bound.mean().item(), rel=1e-5)
    assert metrics["val/neg_elbo"] == pytest.approx((terms.distortion + terms.rate).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=ae", "objective=iwae"], "one code per image and no prior"),
        (["model=ae", "objective.samples=5"], "nothing to sample"),
        (["model=pca", "objective=iwae"], "one code per image and no prior"),
        (["model=vae", "objective=iwae", "beta=4"], "got Constant with value 4"),
        (["model=vae", "objective=iwae", "beta=warmup"], "got Warmup with value 1"),
        (
            ["model=vae", "objective=iwae", "posterior.noise=uniform"],
            "noise uniform, std exp_half are not Gaussian",
        ),
        (["model=vae", "objective.samples=0"], "objective.samples must be an integer"),
        (["model=vae", "objective.samples=2.5"], "objective.samples must be an integer"),
        (["model=vae", "posterior.noise=cauchy"], "posterior.noise must be one of"),
    ],
)
def test_invalid_combinations_raise_a_user_error_before_data_are_read(compose, overrides, message):
    with pytest.raises(UserError, match=message):
        train(compose(*overrides, "data=folder", "data.path=/nowhere", "logger=none"))


def test_training_by_the_weighted_bound_resumes_within_a_ladder_schedule(compose, tmp_path):
    overrides = ["model=cvae", "objective=iwae", "objective.samples=3", "schedule=ladder", "schedule.rungs=2"]
    overrides += ["trainer=cpu", "logger=none", "callbacks=checkpoint", "trainer.max_epochs=2", "data.batch_size=64"]
    overrides += ["+callbacks.every={_target_: lightning.pytorch.callbacks.ModelCheckpoint}", "net.widths=[64]"]
    overrides += ["+callbacks.every.filename='{step}'", "+callbacks.every.every_n_train_steps=15"]
    overrides += [f"+callbacks.every.dirpath='{tmp_path}/every'", "+callbacks.every.save_top_k=-1"]
    metrics = train(compose(*overrides, folder=tmp_path / "uninterrupted"))
    assert metrics["test/loss"] == metrics["test/objective"] < metrics["test/neg_elbo"] < 784 * math.log(2)
    train(compose(*overrides, f"resume='{tmp_path}/every/step=15.ckpt'", folder=tmp_path / "resumed"))
    states = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("uninterrupted", "resumed")
    ]
    for key, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][key])
    run = loading.open_run(tmp_path / "uninterrupted")
    assert "IWAE of 3 samples" in run.title
    assert isinstance(run.model.objective, IWAE)


def test_a_run_with_wrong_noise_has_notes_in_its_record(compose, tmp_path, capsys):
    overrides = [
        "model=vae",
        "posterior.noise=centered_uniform",
        "posterior.std=exp",
        "trainer=debug",
        "net.widths=[16]",
    ]
    train(compose(*overrides, "logger=none", "callbacks=none", "test=false"))
    notes = json.loads((tmp_path / "run/run.json").read_text())["notes"]
    assert len(notes) == 3
    assert "posterior.noise=centered_uniform is a known mistake, available only in order to study it: U(-1" in notes[0]
    assert "is not a bound" in notes[2]
    assert notes[0] in " ".join(capsys.readouterr().out.split())
    assert "noise centered_uniform, std exp" in loading.open_run(tmp_path / "run").title
