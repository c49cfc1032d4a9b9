"""The panel's numbers against their definitions, and what a run that goes wrong is told."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autoencoders.callbacks.diagnostics import TrainingHealth, advise
from autoencoders.callbacks.latent_health import LatentHealth, encode_validation
from autoencoders.config import instantiate
from autoencoders.figures.health import LatentHealthHistory, latent_health_panel
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs import loading
from autoencoders.train import train

TINY = ["net.widths=[16]", "trainer=cpu", "logger=none", "test=false", "callbacks=[checkpoint,health]"]
TINY += ["callbacks.health.every_n_epochs=0"]


def column(folder, name):
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


@pytest.fixture
def model(compose, digits):
    def built(*words):
        return instantiate.build_model(compose("net.widths=[16]", *words), digits.shape, digits.context)

    return built


@pytest.mark.parametrize("options", [["trainer.gradient_clip_val=0.1"], ["trainer.accumulate_grad_batches=2"]])
def test_the_gradient_norm_is_that_of_all_gradients_before_clipping(compose, tmp_path, monkeypatch, options):
    expected, log = [], LatentHealth.on_before_optimizer_step

    def measured(self, trainer, module, optimizer):
        gradients = [p.grad.double().flatten().numpy() for p in module.parameters()]
        expected.append(np.linalg.norm(np.concatenate(gradients)))
        log(self, trainer, module, optimizer)

    monkeypatch.setattr(LatentHealth, "on_before_optimizer_step", measured)
    words = ["trainer.max_steps=8", "trainer.log_every_n_steps=3", *options]
    train(compose("model=vae", *TINY, *words))
    np.testing.assert_allclose(column(tmp_path / "run", "step/gradient_norm"), expected[2::3], rtol=1e-5)


def test_the_gap_is_that_of_a_sample_of_the_aggregate_posterior(compose, tmp_path):
    train(compose("model=cvae", *TINY, "trainer.max_epochs=1"))
    run = loading.open_run(tmp_path / "run/checkpoints/last.ckpt")
    run.data.setup()
    batch = run.data.take("val", 1000)
    with torch.no_grad():
        posterior = run.model.posterior(batch.x, batch.y)
    # Moments of the mixture of all posteriors, in closed form; one draw of each image stands in for them.
    mean = posterior.mean.mean(0)
    covariance = np.cov(posterior.mean.T.numpy(), ddof=0) + np.diag(posterior.log_variance.exp().mean(0))
    normal = torch.distributions.MultivariateNormal
    fitted = normal(mean.double(), torch.tensor(covariance).double())
    prior = normal(torch.zeros(10).double(), torch.eye(10).double())
    expected = torch.distributions.kl_divergence(fitted, prior).item()
    assert column(tmp_path / "run", "val/gap_to_prior")[-1] == pytest.approx(expected, rel=0.15, abs=0.3)
    assert (tmp_path / "run/figures/health/000039.png").is_file()


def test_the_logged_terms_of_the_rate_add_up_to_the_rate_of_the_same_samples(compose, tmp_path):
    train(compose("model=vae", *TINY, "trainer.max_epochs=2"))
    run = loading.open_run(tmp_path / "run/checkpoints/last.ckpt")
    run.data.setup()
    batch = run.data.take("val", 1000)
    normal = torch.distributions.Normal
    with torch.no_grad():
        posterior = run.model.posterior(batch.x)
        z = posterior.sample(evaluation_noise(run.model, batch.index, "val")).double()
        q = normal(posterior.mean.double(), posterior.log_std.exp().double())
    mi, tc, dwkl = (column(tmp_path / "run", f"val/{name}")[-1] for name in ("mi", "tc", "dwkl"))
    rates = (q.log_prob(z) - normal(0.0, 1.0).log_prob(z)).sum(1)
    assert mi + tc + dwkl == pytest.approx(rates.mean().item(), rel=1e-4)
    error = rates.std().item() / len(z) ** 0.5
    assert mi + tc + dwkl == pytest.approx(column(tmp_path / "run", "val/rate")[-1], abs=4 * error)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(len(z))), torch.distributions.Independent(q, 1)
    )
    aggregate = mixture.log_prob(z)
    assert mi == pytest.approx((q.log_prob(z).sum(1) - aggregate).mean().item(), abs=1e-3)
    marginals = torch.stack(
        [normal(q.mean[:, d], q.scale[:, d]).log_prob(z[:, d : d + 1]).logsumexp(1) for d in range(10)]
    )
    assert tc == pytest.approx((aggregate - (marginals - np.log(len(z))).sum(0)).mean().item(), abs=1e-3)


@pytest.mark.parametrize("words", [["model=ae"], ["model=vae", "posterior.noise=uniform"]], ids=len)
def test_models_without_a_gaussian_posterior_have_no_terms_of_the_rate(compose, tmp_path, words):
    train(compose(*words, *TINY, "trainer.max_epochs=1"))
    header = (tmp_path / "run/metrics.csv").read_text().splitlines()[0].split(",")
    assert "val/mse" in header
    assert not {"val/mi", "val/tc", "val/dwkl"} & set(header)


def test_collapse_is_reported_once_on_terminal_in_record_and_loggers(compose, tmp_path, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ["model=vae", *TINY, "beta=1000", "schedule=constant", "logger=tensorboard", "trainer.max_epochs=8"]
    train(compose(*words))
    said = json.loads((tmp_path / "run/run.json").read_text())["warnings"]
    assert len(said) == 1
    assert "none of 10 latents is active" in said[0]
    assert "ower beta.value (it is 1000; 1 gives the evidence lower bound), or increase beta" in said[0]
    assert "gradually with beta=warmup" in said[0]
    assert capsys.readouterr().err.count(f"autoencoders: warning: {said[0]}\n") == 1
    events = accumulator.EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert "warnings/posterior_collapse/text_summary" in events.Tags()["tensors"]
    train(compose(*words[:-1], "trainer.max_epochs=9", f"resume='{tmp_path}/run'"))  # a run that goes on was told
    assert json.loads((tmp_path / "run/run.json").read_text())["warnings"] == said
    assert "warning" not in capsys.readouterr().err


def test_healthy_run_has_no_warnings(compose, tmp_path, capsys):
    train(compose("model=vae", *TINY, "trainer.max_epochs=8"))
    assert "warnings" not in json.loads((tmp_path / "run/run.json").read_text())
    assert "warning" not in capsys.readouterr().err
    assert column(tmp_path / "run", "val/active_units")[-1] > 5


@pytest.mark.parametrize(
    ("words", "health", "says"),
    [
        (["beta=4"], {"active": 0, "rate": 0.02}, "ower beta.value (it is 4"),
        (["likelihood=gaussian"], {"active": 0, "rate": 0.02}, "lower likelihood.scale (it is 0.1)"),
        (["beta=capacity"], {"active": 0, "rate": 0.02}, "ower beta.value (it is 10"),
        (["objective=iwae"], {"active": 0, "rate": 0.02}, "Choose objective=elbo and beta=warmup."),
        (["beta=warmup"], {"active": 0, "rate": 0.02, "progress": 0.2}, None),
        (["beta=cyclical"], {"active": 0, "rate": 0.02, "progress": 0.4}, None),
        ([], {"active": 0, "rate": 0.02, "step": 150}, None),
        ([], {"active": 0, "rate": 3.0}, None),
        ([], {"active": 1, "rate": 0.02}, None),
        ([], {"active": 3, "rate": 7.0, "over": True}, "Only 3 of 10 latents are active. Set latent_dim=3"),
        ([], {"active": 3, "rate": 7.0}, None),
        ([], {"active": 7, "rate": 9.0, "over": True}, None),
        (["beta=0.01"], {"active": 9, "rate": 90.0, "low": 4}, "4 of 10 latents at -20). Raise beta.value (it is"),
        (
            [],
            {"active": 9, "rate": 90.0, "low": 4, "high": 2},
            "4 of 10 latents at -20, 2 of 10 latents at 20). Lower optimizer.lr",
        ),
    ],
)
def test_advice_names_the_option_to_turn(model, words, health, says):
    defaults = {"step": 1000, "progress": 1.0, "over": False, "low": 0, "high": 0}
    vae = model("model=vae", *words)
    found = advise(TrainingHealth(**defaults | health), vae)
    assert len(found) == (says is not None)
    assert says is None or says in next(iter(found.values()))


def test_learned_scale_at_its_minimum_is_reported(model):
    vae = model("model=vae", "likelihood=gaussian_learned")
    health = TrainingHealth(step=1000, progress=1.0, over=False, rate=9.0, active=8)
    assert advise(health, vae) == {}
    vae.family.log_scale.data.fill_(-20)
    assert "likelihood.minimum=0.001" in advise(health, vae)["likelihood_scale"]


def test_latents_at_the_bound_of_their_log_variance_are_counted(model, digits):
    vae = model("model=vae").eval()
    trainer = SimpleNamespace(datamodule=digits)
    assert encode_validation(trainer, vae, 100)[4:] == (0, 0)
    vae.head.bias.data[10:13] = -50.0  # log-variances are the second half of the head's numbers
    vae.head.bias.data[13] = 50.0
    assert encode_validation(trainer, vae, 100)[4:] == (3, 1)


@pytest.mark.parametrize("words", [["model=ae"], ["model=pca"]])
def test_a_model_without_a_prior_has_a_panel_of_its_own(compose, tmp_path, words):
    train(compose(*words, *TINY, "trainer.max_epochs=1", "trainer.log_every_n_steps=10"))
    dimensions = column(tmp_path / "run", "val/effective_dimensions")
    assert 1 <= dimensions[-1] <= 10
    assert not column(tmp_path / "run", "val/gap_to_prior")
    (panel,) = (tmp_path / "run/figures/health").iterdir()
    assert panel.stat().st_size > 5000


def test_the_panel_shows_what_there_is():
    epochs = np.arange(1.0, 4.0)
    points = np.stack([epochs, epochs], axis=1)
    vae = LatentHealthHistory(
        5, active=points, kl=np.ones((3, 5)), kl_epochs=epochs, gap=points, floor=0.1, gradient=points
    )
    titles = [ax.get_title(loc="left") for ax in latent_health_panel(vae, "title", "caption").axes]
    wanted = ["active units", "KL per latent, nats", "gradient norm", "aggregate posterior vs. prior"]
    assert [title for title in titles if title] == wanted
    ae = LatentHealthHistory(5, dimension=points, spread=np.ones(5), gradient=points, clip=1.0)
    titles = [ax.get_title(loc="left") for ax in latent_health_panel(ae, "title", "caption").axes]
    assert titles == ["effective dimensions of codes", "standard deviation per latent", "gradient norm"]


@pytest.mark.parametrize(
    ("words", "mse", "over", "says"),
    [
        (["net=mlp"], 0.0235, True, "not below the MSE of the mean training image (0.0217)"),
        (["net=mlp"], 0.0235, True, "choose net=residual"),
        (["net=residual"], 0.0235, True, "Lower optimizer.lr"),
        (["net=mlp"], 0.0235, False, None),
        (["net=mlp"], 0.0216, True, None),
        (["net=mlp"], None, True, None),
    ],
)
def test_an_error_above_that_of_the_mean_image_is_reported_at_the_end(compose, digits, words, mse, over, says):
    vae = instantiate.build_model(compose("model=vae", *words), digits.shape, digits.context)
    health = TrainingHealth(step=1000, progress=1.0, over=over, rate=9.0, active=9, mse=mse, mean_image_mse=0.0217)
    found = advise(health, vae)
    assert list(found) == (["no_better_than_mean_image"] if says else [])
    assert says is None or says in found["no_better_than_mean_image"]


def test_a_net_that_learns_nothing_is_reported_with_the_mse_of_the_mean_image(compose, tmp_path, digits):
    train(compose("model=ae", *TINY, "trainer.max_epochs=6", "optimizer.lr=1e-7", "schedule=constant"))
    said = json.loads((tmp_path / "run/run.json").read_text())["warnings"]
    images, train_images = (digits.images(split).double() / 255 for split in ("val", "train"))
    mean_image_mse = (images - train_images.mean(0)).square().mean().item()
    assert len(said) == 1
    assert f"({column(tmp_path / 'run', 'val/mse')[-1]:.4g}) is not below" in said[0]
    assert f"mean training image ({mean_image_mse:.4g})" in said[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trainer.max_epochs=3"], "has only 117 optimizer steps, and fewer than 200 are usually too few. Set "
         "trainer.max_epochs=6 (it is 3), or lower data.batch_size (it is 32)."),
        (["trainer.max_epochs=3", "steps_per_execution=1"], "has only 117 optimizer steps"),
        (["trainer.max_epochs=6"], None),
        (["trainer.max_steps=20"], None),
        (["trainer.max_epochs=3", "trainer.limit_train_batches=4"], None),
        (["trainer.max_epochs=3", "model=pca"], None),
        (["trainer.max_epochs=3", "model=classifier", "data.size=8", "net.width=8"], "has only 117 optimizer steps"),
    ],
)  # fmt: skip
def test_few_optimizer_steps_are_reported_before_training(compose, tmp_path, words, says):
    quick = [word for word in TINY if not word.startswith("net.") or "model=classifier" not in words]
    train(compose(*quick, *words))
    said = json.loads((tmp_path / "run/run.json").read_text()).get("warnings", [])
    found = [warning for warning in said if "optimizer steps" in warning]
    assert len(found) == (says is not None)
    assert says is None or says in found[0]
