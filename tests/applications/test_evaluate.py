"""application=evaluate on small untrained runs."""

import math

import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.applications.base import spread_rows
from autoencoders.applications.evaluate import evaluate
from autoencoders.applications.evaluation.extractors import load_extractor
from autoencoders.callbacks.baselines import pca_mse
from autoencoders.config import instantiate
from autoencoders.loggers.media import MediaWriter
from autoencoders.metrics.dinov2 import DINOv2
from autoencoders.metrics.generation import frechet_distance
from autoencoders.metrics.likelihood import importance_weighted
from autoencoders.models.evaluation import evaluation_metrics, evaluation_terms
from autoencoders.runs.run import Run
from autoencoders.types import UserError

SMALL = {"samples": 5, "measured": 20}
SHAPE = (1, 28, 28)


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides):
        config = compose(*overrides, "net=mlp", "net.widths=[32]", "latent_dim.size=4", "data.batch_size=64")
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def by(found):
    return found.tables["evaluation"].set_index(["measure", "method"])


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_the_table_says_what_the_model_says(opened, model):
    run = opened(f"model={model}", "data.binarize=static")
    found = evaluate(run, **SMALL)
    table, codes = by(found), run.codes("test")
    count = len(codes.z)
    nats = (codes.distortion + codes.rate).double()
    assert table["value"]["-ELBO", model] == pytest.approx(float(nats.mean()), rel=1e-6)
    assert table["+-"]["-ELBO", model] == pytest.approx(float(nats.std()) / count**0.5, rel=1e-5)
    batch = run.batch("test", torch.linspace(0, count - 1, 20).round().long())
    one = importance_weighted(run.model, batch.x, batch.target, batch.y, batch.index, samples=5, together=3)
    assert table["value"]["IW-NLL, K=5", model] == pytest.approx(float(one.nll.mean()), rel=1e-5)
    assert table["value"]["-ELBO, images of IW-NLL", model] == pytest.approx(float(one.negative_elbo.mean()), rel=1e-5)
    assert table["images"]["-ELBO, images of IW-NLL", model] == table["images"]["IW-NLL, K=5", model] == 20
    assert table["images"]["-ELBO", model] == count
    gain = found.metrics[f"-ELBO, images of IW-NLL/{model}"] - found.metrics[f"IW-NLL, K=5/{model}"]
    assert found.metrics[f"gained over ELBO/{model}"] == pytest.approx(gain, rel=1e-5, abs=1e-6)
    bits = float(one.nll.mean()) / (run.model.shape[1] * run.model.shape[2] * math.log(2))
    assert found.metrics[f"bits per dimension/{model}"] == pytest.approx(bits, rel=1e-5)
    assert set(found.figures) == {"kl"}
    assert found.tables["latents"]["kl"].sum() == pytest.approx(table["value"]["rate", model], rel=1e-5)
    assert found.tables["latents"]["kl"].is_monotonic_decreasing
    for word in ("K=5", "20 evenly spaced images", "seed 0", f"{count} images"):
        assert word in found.tables["protocol"]["protocol"][0]


def test_a_decoder_that_ignores_the_code_equals_the_mean_image(opened, monkeypatch):
    run = opened("model=vae", "data.binarize=static")
    train = run.prepare().data.images("train").double().mean(0).div(255)
    with torch.no_grad():
        run.model.head.weight.zero_()
        run.model.head.bias.zero_()  # the posterior equals the prior
    constant = torch.logit(train, 1e-3).float()
    monkeypatch.setattr(run.model, "likelihood", lambda z, y: run.model.family(constant.expand(len(z), *SHAPE)))
    found = evaluate(run, **SMALL)
    metrics = found.metrics
    assert metrics["rate/vae"] == metrics["active units/vae"] == 0
    assert metrics["distortion/vae"] == pytest.approx(metrics["distortion/mean image"], rel=1e-5)
    assert metrics["IW-NLL, K=5/vae"] == pytest.approx(metrics["-ELBO, images of IW-NLL/vae"], rel=1e-6)
    assert metrics["effective samples/vae"] == pytest.approx(5)
    assert metrics["MSE/vae"] == pytest.approx(metrics["MSE/mean image"], rel=1e-2)
    expected = torch.distributions.Bernoulli(train.clamp(1e-3, 1 - 1e-3)).log_prob(run.batch("test").target)
    assert metrics["distortion/mean image"] == pytest.approx(-float(expected.sum() / len(expected)), rel=1e-5)
    gaps = [metrics[f"aggregate gap/{name}"] for name in ("vae", "N(0, I)")]
    assert abs(gaps[0] - gaps[1]) < 5 * metrics["aggregate gap_error/N(0, I)"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model=vae"], "cross-entropy of gray levels"),
        (["model=vae", "likelihood=gaussian", "data.binarize=static"], "a density"),
    ],
)
def test_bits_per_dimension_only_for_discrete_likelihoods(opened, words, reason):
    found = evaluate(opened(*words), **SMALL)
    row = by(found).loc["bits per dimension"].iloc[0]
    assert math.isnan(row["value"])
    assert reason in row["note"]
    assert not any(name.startswith("bits") for name in found.metrics)
    assert "n/a" in found.tables["markdown"]["markdown"].iloc[-1]


def test_the_mean_image_has_the_scale_that_fits_it(opened):
    run = opened("model=ae", "likelihood=gaussian_learned", "likelihood.activation=linear")
    mean = run.prepare().data.images("train").double().div(255).mean(0)
    squares = (run.batch("test").target - mean).square()
    scale = (run.batch("train").target - mean).square().mean().sqrt()
    expected = -torch.distributions.Normal(mean, scale).log_prob(run.batch("test").target).flatten(1).sum(1).mean()
    assert squares.mean() == pytest.approx(float(scale) ** 2, rel=0.1)
    assert evaluate(run, **SMALL).metrics["distortion/mean image"] == pytest.approx(float(expected), rel=1e-4)


def test_pca_is_its_own_baseline_and_has_no_likelihood(digits_run):
    found = evaluate(digits_run, **SMALL)
    assert found.metrics["MSE/pca"] == pytest.approx(found.metrics["MSE/PCA-16"], rel=1e-4)
    assert not found.figures
    assert not any(name.startswith(("-ELBO", "IW-NLL", "aggregate")) for name in found.metrics)
    pca = PCA(16, svd_solver="full").fit(digits_run.batch("train").x.flatten(1).numpy())
    x = digits_run.batch("test").x.flatten(1).numpy()
    expected = ((pca.inverse_transform(pca.transform(x)).clip(0, 1) - x) ** 2).mean()
    assert found.metrics["MSE/PCA-16"] == pytest.approx(expected, rel=1e-4)
    assert pca_mse(digits_run.data, "test", 16) == pytest.approx(expected, rel=1e-4)  # test/mse_pca
    means = evaluation_terms(digits_run.model, digits_run.batch("test"), "test")
    assert evaluation_metrics(digits_run.model, "test", means)["test/mse"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_model_without_a_prior_has_no_elbo(opened, likelihood):
    run = opened("model=ae", f"likelihood={likelihood}")
    found = evaluate(run, **SMALL)
    measures = set(found.tables["evaluation"]["measure"])
    assert not any("ELBO" in text or "NLL" in text for text in [*measures, *found.metrics])
    assert "ELBO" not in "".join(found.tables["markdown"]["markdown"])
    with torch.no_grad():
        means = evaluation_terms(run.model, run.batch("test"), "test")
    assert not any("elbo" in name for name in evaluation_metrics(run.model, "test", means))


def test_numbers_of_a_classifier_are_not_reported_on_validation_images(opened):
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the classifier is chosen"):
        evaluate(opened("model=cvae"), split="val", **SMALL)
    with pytest.raises(UserError, match="because the classifier is chosen on validation images"):
        evaluate(opened("model=ae"), split="val", classifier="runs/classifier", **SMALL)
    assert "MSE/ae" in evaluate(opened("model=ae"), split="val", **SMALL).metrics


def test_numbers_go_to_csv_and_json_and_lines_of_text_to_markdown(opened, tmp_path):
    found = evaluate(opened("model=ae"), **SMALL)
    MediaWriter(tmp_path, []).save_result("evaluate", found, 0)
    folder = tmp_path / "tables/evaluate"
    assert {p.name for p in folder.iterdir()} == {"evaluation.csv", "markdown.md", "protocol.md", "metrics.json"}
    header, rule, row = (folder / "markdown.md").read_text().splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    value, error = found.metrics["MSE/ae"], found.metrics["MSE_error/ae"]
    assert row.split(" | ")[header.split(" | ").index("MSE")] == f"{value:.5g} ± {error:.2g}"


@pytest.mark.parametrize("options", [{"samples": 0}, {"measured": 1}, {"together": 0}])
def test_bad_options_are_refused(opened, options):
    with pytest.raises(UserError):
        evaluate(opened("model=vae"), **{**SMALL, **options})


@pytest.fixture
def dinov2_file(tmp_path):
    """Return a file with the random weights of a small DINOv2."""
    file = tmp_path / "dinov2.pth"
    torch.save(DINOv2(64, 1, 256).state_dict(), file)
    return file


def test_the_name_of_the_network_is_part_of_the_metrics(opened, dinov2_file):
    run = opened("model=ae")
    found = evaluate(run, features=f"dinov2:{dinov2_file}", drawn=8, **SMALL)
    rows = set(found.tables["evaluation"]["measure"])
    assert {"FID dinov2-64, samples", "KID dinov2-64, reconstructions", "coverage dinov2-64, samples"} <= rows
    assert not any(name.startswith("FID,") for name in rows)
    network = load_extractor(run, f"dinov2:{dinov2_file}", None)
    rows = {split: spread_rows(8, len(run.data.images(split))) for split in ("test", "val")}
    real, other = (network.features(run.batch(split, rows[split]).target) for split in rows)
    expected = frechet_distance(real, other)
    assert found.metrics["FID dinov2-64, samples/real val images"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert "64 features of the class token of DINOv2" in found.tables["protocol"]["protocol"][0]


def test_wrong_weights_are_refused_in_one_sentence(opened, dinov2_file, tmp_path):
    run = opened("model=ae")
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"pos_embed": torch.zeros(1, 2, 64), "x": torch.zeros(1)}, tmp_path / "other.pth")
    for features, message in (
        ("inception", "features must be classifier, inception:<path of the weights> or dinov2:"),
        ("vgg:x.pth", "got 'vgg:x.pth'. The weights are not downloaded."),
        (f"inception:{tmp_path}/nothing.pth", "pt_inception-2015-12-05 .* but it does not exist. Choose"),
        (f"inception:{dinov2_file}", "but it raises RuntimeError. Choose such a file"),
        (f"dinov2:{tmp_path}/text.pth", "but it raises UnpicklingError"),
        (f"dinov2:{tmp_path}/other.pth", "without registers, .* but it raises RuntimeError"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(run, features=features, **SMALL)
