"""Tests of application=sample with small runs."""

import pytest
import torch

from autoencoders.applications.base import spread_rows
from autoencoders.applications.label_classifiers import load_classifier
from autoencoders.applications.sample import sample, sample_images
from autoencoders.config import instantiate
from autoencoders.latent.densities import GaussianDiagonal, GaussianFull, StandardNormal
from autoencoders.latent.kde import BANDWIDTHS, PCAKDE
from autoencoders.metrics.generation import kernel_distance
from autoencoders.metrics.neighbors import pixel_distances, within_label_deviation
from autoencoders.runs.run import Run
from autoencoders.types import UserError

SMALL = {"count": 20, "measured": 20, "references": 200}


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides):
        config = compose(*overrides, "latent_dim.size=4", "data.batch_size=64")
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


@pytest.mark.parametrize("model", ["ae", "vae", "cvae"])
def test_every_model_samples(opened, model):
    run = opened(f"model={model}")
    densities = {"standard_normal": StandardNormal(), "pca_kde": PCAKDE(3), "gaussian_full": GaussianFull()}
    result = sample(run, densities=densities, **SMALL)
    table = result.tables["densities"].set_index("method")
    assert set(densities) | {"real images", "training reconstructions", "mean image"} == set(table.index)
    codes = run.codes("test").z
    expected = GaussianFull().fit(run.codes("train").z).log_density(codes).mean()
    assert table["log-density"]["gaussian_full"] == pytest.approx(float(expected))
    assert table["variance ratio"]["gaussian_full"] == pytest.approx(1, abs=0.1)
    assert set(result.figures) == {"samples", "densities", "nearest"}


def test_bandwidths_are_not_chosen_on_the_reported_codes(opened):
    run = opened("model=ae")
    train, val = run.codes("train").z, run.codes("val").z
    kept = torch.arange(len(train)) % 10 != 9
    for split, fitted, chosen_on, words in (
        ("test", train, val, "chosen on validation codes"),
        ("val", train[kept], train[~kept], "chosen on every tenth training code"),
    ):
        density = PCAKDE(3)
        result = sample(run, densities={"standard_normal": StandardNormal(), "pca_kde": density}, split=split, **SMALL)
        scores = []
        for bandwidth in BANDWIDTHS:
            scores.append(PCAKDE(3, bandwidth=bandwidth).fit(fitted).log_density(chosen_on).mean())
        assert density.bandwidth == pytest.approx(BANDWIDTHS[int(torch.stack(scores).argmax())])
        assert result.tables["densities"].set_index("method")["note"]["pca_kde"].endswith(words)


def test_temperature_scales_deviations_from_the_mean(opened):
    run = opened("model=ae")
    density = GaussianDiagonal().fit(run.codes("train").z)
    cold = sample_images(run, density, 3, 1e-9, 0)
    torch.testing.assert_close(cold, run.decode(density.mean.float().expand(3, -1)), atol=1e-5, rtol=0)


def test_distances_are_root_mean_squares():
    a, b = torch.rand(4, 3, 5, 5), torch.rand(6, 3, 5, 5)
    expected = (a[:, None] - b[None]).square().flatten(2).mean(2).sqrt()
    torch.testing.assert_close(pixel_distances(a, b), expected, atol=1e-5, rtol=1e-4)
    stored = (b * 255).round().byte()
    torch.testing.assert_close(pixel_distances(a, stored), pixel_distances(a, stored.float() / 255))


def test_the_deviation_within_labels_excludes_differences_between_labels():
    labels = torch.arange(2).repeat_interleave(2000)
    images = labels[:, None, None, None] * 5.0 + 0.3 * torch.randn(4000, 1, 4, 4)
    assert within_label_deviation(images, labels) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("options", [{"density": "flow"}, {"temperature": 0}, {"split": "train"}, {"measured": 1}])
def test_wrong_options_are_refused(opened, options):
    with pytest.raises(UserError):
        sample(opened("model=vae"), densities={"standard_normal": StandardNormal()}, **{**SMALL, **options})


def test_kid_separates_samples_from_real_images(compose, classifier_folder, tmp_path):
    config = compose("model=vae", "data.size=8", "latent_dim.size=4")
    data = instantiate.build(config["data"])
    data.prepare_data()
    data.setup()
    run = Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)
    options = {"densities": {"standard_normal": StandardNormal()}, **SMALL, "measured": 200}
    table = sample(run, **options, classifier=str(classifier_folder)).tables["densities"].set_index("method")
    classifier = load_classifier(run, str(classifier_folder))
    ends = [data.images(split)[spread_rows(200, len(data.images(split)))].float() / 255 for split in ("test", "train")]
    assert table["KID"]["real images"] == pytest.approx(kernel_distance(*map(classifier.features, ends))[0])
    assert table["KID"]["standard_normal"] > table["KID"]["real images"] + 2 * table["KID +-"]["real images"]
    assert "KID" not in sample(run, **options).tables["densities"]
