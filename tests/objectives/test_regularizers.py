"""Regularizers, compared with closed forms, torch.distributions, NumPy and loops over the published formulas."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from autoencoders.config import instantiate
from autoencoders.models.evaluation import evaluation_metrics, evaluation_terms
from autoencoders.models.prior_codes import PriorNoise
from autoencoders.objectives.aggregate import decompose_rate, log_densities
from autoencoders.objectives.code_densities import StandardGaussian
from autoencoders.objectives.posteriors import GaussianPosterior, PointPosterior
from autoencoders.objectives.regularizers import DIPI, DIPII, MMD, CodeBatch, TotalCorrelation
from autoencoders.train import train
from autoencoders.types import Batch, Context, UserError

CONTEXT = Context("classes", tuple("0123456789"))
IMAGES = 1000


def correlated_posteriors(count, variance=0.3):
    """Return posteriors whose aggregate is a Gaussian with correlated latents, its covariance, and samples."""
    factor = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.5, 0.0], [-0.4, 0.3, 0.8]])
    mean = torch.randn(count, 3) @ factor.T
    posterior = GaussianPosterior(mean, torch.full((count, 3), math.log(variance)))
    return posterior, factor @ factor.T + variance * torch.eye(3), posterior.sample(torch.randn(count, 3))


def small_batch(count=7, size=3):
    posterior = GaussianPosterior(torch.randn(count, size), torch.randn(count, size))
    return CodeBatch(posterior, posterior.sample(torch.randn(count, size)), torch.randn(count, size), IMAGES)


def test_total_correlation_is_the_closed_form_of_a_correlated_gaussian():
    posterior, covariance, z = correlated_posteriors(3000)
    exact = 0.5 * (covariance.diagonal().log().sum() - covariance.logdet())  # KL(N(0, S) || N(0, diag S))
    found = decompose_rate(posterior, z, torch.zeros(len(z))).total_correlation
    assert found == pytest.approx(exact.item(), abs=0.05)
    assert exact > 0.3
    full = CodeBatch(posterior, z, z, len(z))
    assert TotalCorrelation()(full).item() == pytest.approx(exact.item(), abs=0.05)
    independent = GaussianPosterior(torch.randn(3000, 3), posterior.log_variance)
    z = independent.sample(torch.randn(3000, 3))
    assert abs(decompose_rate(independent, z, torch.zeros(3000)).total_correlation) < 0.05


def test_the_terms_of_the_rate_add_up_to_the_rate_of_torch_distributions():
    posterior, covariance, z = correlated_posteriors(1500)
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    q = Independent(Normal(posterior.mean, posterior.log_std.exp()), 1)
    terms = decompose_rate(posterior, z, prior.log_prob(z))
    assert sum(terms) == pytest.approx((q.log_prob(z) - prior.log_prob(z)).double().mean().item(), abs=1e-4)
    joint = MultivariateNormal(torch.zeros(3), covariance)  # the exact aggregate posterior
    assert terms.mutual_information == pytest.approx(joint.entropy().item() - q.entropy().mean().item(), abs=0.1)
    marginals = Independent(Normal(torch.zeros(3), covariance.diagonal().sqrt()), 1)
    kl = torch.distributions.kl_divergence(marginals, prior)
    assert terms.dimension_wise_kl == pytest.approx(kl.item(), abs=0.1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(1500)), q)
    densities = log_densities(z[:50], posterior, torch.full((1500,), -math.log(1500)))
    torch.testing.assert_close(densities.joint, mixture.log_prob(z[:50]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampling", ["weighted", "stratified"])
def test_minibatch_estimates_equal_a_loop_over_the_formulas_of_the_paper(sampling):
    codes = small_batch()
    q = Normal(codes.posterior.mean, codes.posterior.log_std.exp())
    count, others, total = 7, 6, 0.0
    for i in range(count):
        if sampling == "weighted":
            weights = torch.full((count,), 1 / (IMAGES * count))
        else:
            weights = torch.full((count,), 1 / others)
            weights[i], weights[(i + 1) % count] = 1 / IMAGES, (IMAGES - others) / (IMAGES * others)
            assert weights.sum().item() == pytest.approx(1)
        densities = q.log_prob(codes.z[i]).exp()  # (B, Z)
        joint = (weights * densities.prod(1)).sum().log()
        total += joint - (weights[:, None] * densities).sum(0).log().sum()
    torch.testing.assert_close(TotalCorrelation(sampling=sampling)(codes), total / count, rtol=1e-4, atol=1e-4)


def test_dip_is_the_squared_difference_of_numpy_covariances():
    codes = small_batch(50, 4)
    mean, variance = codes.posterior.mean.numpy(), codes.posterior.log_variance.exp().numpy()
    for regularizer, covariance in (
        (DIPI(3, 7), np.cov(mean.T, bias=True)),
        (DIPII(3, 7), np.cov(mean.T, bias=True) + np.diag(variance.mean(0))),
    ):
        difference = (covariance - np.eye(4)) ** 2
        expected = 3 * (difference.sum() - np.trace(difference)) + 7 * np.trace(difference)
        assert regularizer(codes).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("kernel", "function"), [("imq", lambda d: 12 / (12 + d)), ("rbf", lambda d: np.exp(-d / 12))])
def test_mmd_is_its_definition(kernel, function):
    codes = small_batch(6, 3)  # C = 2 * 3 * 2 = 12 for a bandwidth of sqrt(2)
    z, p = codes.z.double().numpy(), codes.prior.double().numpy()

    def mean(a, b, same):
        pairs = [(i, j) for i in range(6) for j in range(6) if not (same and i == j)]
        return np.mean([function(((a[i] - b[j]) ** 2).sum()) for i, j in pairs])

    expected = mean(z, z, True) + mean(p, p, True) - 2 * mean(z, p, False)
    assert MMD(1.0, kernel, math.sqrt(2))(codes).item() == pytest.approx(expected, abs=1e-6)


def test_mmd_is_zero_for_samples_of_the_prior_and_the_closed_form_for_others():
    def rbf(mean, variance):
        """Return E k for a difference of two codes with this mean and variance per latent, with C = 2 Z = 4."""
        return ((1 + 2 * variance / 4) ** -0.5 * math.exp(-(mean**2) / (4 + 2 * variance))) ** 2

    def mmd(z):
        return MMD(1.0, "rbf")(CodeBatch(PointPosterior(z), z, torch.randn(4000, 2), IMAGES)).item()

    assert abs(mmd(torch.randn(4000, 2))) < 0.003
    exact = rbf(0, 2) + rbf(0, 0.5) - 2 * rbf(1, 1.25)
    assert mmd(1 + 0.5 * torch.randn(4000, 2)) == pytest.approx(exact, abs=0.01)
    assert exact > 0.1


@pytest.mark.parametrize("regularizer", [TotalCorrelation(), DIPI(), DIPII(), MMD()], ids=lambda r: r.name)
def test_a_batch_of_one_image_gives_a_finite_value_and_gradient(regularizer):
    mean = torch.ones(1, 3, requires_grad=True)
    posterior = GaussianPosterior(mean, 0 * mean)
    value = regularizer(CodeBatch(posterior, posterior.sample(torch.randn(1, 3)), torch.randn(1, 3), IMAGES))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(mean.grad).all()


@pytest.mark.parametrize("name", ["tc", "dip_i", "dip_ii", "mmd"])
@pytest.mark.parametrize("overrides", [[], ["model=cvae", "objective.samples=3", "likelihood=laplace"]], ids=len)
def test_validation_adds_the_weighted_regularizer_to_the_objective_and_not_to_the_elbo(compose, name, overrides):
    words = ["model=vae", f"regularizer={name}", "beta=2", "net.widths=[16]", "latent_dim=3", *overrides]
    model = instantiate.build_model(compose(*words), (1, 8, 8), CONTEXT).eval()
    x = torch.rand(12, 1, 8, 8)
    batch = Batch(x, x, torch.arange(12) % 10, torch.arange(12))
    with torch.no_grad():
        means = evaluation_terms(model, batch, "val")
    metrics = evaluation_metrics(model, "val", means)
    bound = metrics["val/distortion"] + 2 * metrics["val/rate"]
    added = model.regularizer.weight * metrics["val/regularizer"]
    assert abs(added) > 1e-3
    assert metrics["val/objective"] == metrics["val/loss"] == pytest.approx(bound + added, rel=1e-5)
    assert metrics["val/neg_elbo"] == pytest.approx(metrics["val/distortion"] + metrics["val/rate"], rel=1e-5)
    assert model.regularizer.name in model.traits


@pytest.mark.parametrize("name", ["tc", "dip_i", "mmd"])
def test_autocast_does_not_change_the_regularizer(compose, name):
    words = ["model=vae", f"regularizer={name}", "net.widths=[16]", "latent_dim=3"]
    model, codes = instantiate.build_model(compose(*words), (1, 8, 8), CONTEXT), small_batch(20)
    noise = PriorNoise(codes.prior, torch.zeros(20))
    expected = model.regularization(codes.posterior, codes.z, StandardGaussian(), noise)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.regularization(codes.posterior, codes.z, StandardGaussian(), noise), expected)


QUICK = ["model=vae", "trainer=cpu", "logger=none", "callbacks=checkpoint", "trainer.max_epochs=2", "data.size=8"]
QUICK += ["net.widths=[32]", "latent_dim=4", "data.batch_size=64"]


@pytest.mark.parametrize("name", ["tc", "mmd"])
def test_a_run_does_not_depend_on_groups_and_resumes_exactly(compose, tmp_path, name):
    words = [*QUICK, f"regularizer={name}", "callbacks.last_checkpoint.every_n_steps=15"]
    metrics = train(compose(*words, folder=tmp_path / "one"))
    assert {"test/regularizer", "test/objective"} < metrics.keys()
    train(compose(*words, "steps_per_execution=1", folder=tmp_path / "single"))
    train(compose(*words, f"resume='{tmp_path}/one/checkpoints/previous.ckpt'", folder=tmp_path / "resumed"))
    states = [torch.load(tmp_path / folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
              for folder in ("one", "single", "resumed")]  # fmt: skip
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])
        assert torch.equal(value, states[2][key])
    header = (tmp_path / "one/metrics.csv").read_text().splitlines()[0]
    assert {"train/regularizer", "val/regularizer"} < set(header.split(","))


def test_wae_mmd_trains_the_codes_of_an_autoencoder_towards_the_prior(compose, tmp_path):
    words = [*QUICK[1:], "model=ae", "trainer.max_epochs=8"]
    values = {}
    for weight in (0, 3000):
        options = ["regularizer=mmd", f"regularizer.weight={weight}"]
        values[weight] = train(compose(*words, *options, folder=tmp_path / str(weight)))["test/regularizer"]
    assert values[3000] < 0.3 * values[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=ae", "regularizer=tc"], "regularizer=tc needs a model that samples codes"),
        (["model=ae", "regularizer=dip_ii"], "regularizer=dip_ii needs a model that samples codes"),
        (["model=pca", "regularizer=mmd"], "regularizer must be none with model=pca"),
        (["model=vae", "regularizer=mmd", "objective=iwae"], "regularizer must be none with objective=iwae"),
        (["model=vae", "regularizer=tc", "posterior.noise=uniform"], "noise uniform, std exp_half are not Gaussian"),
        (["model=vae", "regularizer=tc", "regularizer.weight=-1"], "regularizer.weight must be a finite number >= 0"),
        (["model=vae", "regularizer=tc", "regularizer.sampling=all"], "regularizer.sampling must be one of"),
        (["model=vae", "regularizer=dip_i", "regularizer.lambda_d=-2"], "regularizer.lambda_d must be a finite"),
        (["model=vae", "regularizer=mmd", "regularizer.kernel=x"], "regularizer.kernel must be one of"),
        (["model=vae", "regularizer=mmd", "regularizer.bandwidth=0"], "regularizer.bandwidth must be a finite"),
    ],
)
def test_invalid_combinations_raise_a_user_error_before_data_are_read(compose, overrides, message):
    with pytest.raises(UserError, match=message):
        train(compose(*overrides, "data=folder", "data.path=/nowhere", "logger=none"))
