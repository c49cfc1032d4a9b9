import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from autoencoders.applications.detect import detect
from autoencoders.config import instantiate
from autoencoders.metrics.detection import detection_metrics
from autoencoders.runs.run import Run
from autoencoders.types import UserError


@pytest.fixture
def run(compose, tmp_path):
    def make(*overrides):
        config = compose("data=digits", "data.size=8", "latent_dim=4", *overrides)
        data = instantiate.build(config["data"])
        data.setup()
        model = instantiate.build_model(config, data.shape, data.context)
        return Run(tmp_path, config, model.eval(), data)

    return make


@pytest.mark.parametrize("decimals", [9, 1])
def test_metrics_equal_their_definitions_with_equal_scores(decimals):
    rng = np.random.default_rng(0)
    normal, strange = rng.normal(size=300).round(decimals), (rng.normal(size=80) + 1).round(decimals)
    area = mannwhitneyu(strange, normal).statistic / (300 * 80)
    precision, recall = 0.0, 0.0
    for threshold in sorted({*normal, *strange}, reverse=True):  # AP = sum of (R_n - R_{n-1}) P_n
        hits, alarms = (strange >= threshold).sum(), (normal >= threshold).sum()
        precision, recall = precision + (hits / 80 - recall) * hits / (hits + alarms), hits / 80
    threshold = max(t for t in strange if (strange >= t).mean() >= 0.95)
    assert detection_metrics(normal, strange) == pytest.approx([area, precision, (normal >= threshold).mean()])


def test_pca_separates_noise_from_digits_and_thresholds_come_from_validation(run):
    found = detect(run("model=vae"), other="noise", limit=200, count=4)
    table = found.tables["detection"].set_index("score")
    assert table.loc["PCA-4", "auroc"] == 1
    assert table.loc["PCA-4", "detected"] == 1
    assert table.loc["PCA-4", "false alarms"] < 0.15
    assert set(found.figures) == {"histograms", "extremes", "errors"}


@pytest.mark.parametrize("model", ["ae", "cvae"])
def test_excluded_classes_are_the_anomalies(run, model):
    found = detect(run(f"model={model}", "data.exclude=[3,8]"), limit=100, count=2)
    table = found.tables["detection"].set_index("score")
    assert 50 < table.loc["distortion", "anomalous"] <= 100
    assert table.loc["distortion", "normal"] == 100


def test_nothing_anomalous_is_one_sentence(run):
    with pytest.raises(UserError, match="needs anomalies"):
        detect(run("model=ae"))
    with pytest.raises(UserError, match="other must be one of"):
        detect(run("model=ae"), other="cats")
