import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import mannwhitneyu
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from autoencoders.applications.anomaly_scores import AnomalyScores
from autoencoders.applications.detect import detect
from autoencoders.config import instantiate
from autoencoders.metrics.detection import detection_metrics
from autoencoders.models.evaluation import evaluation_noise
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


@pytest.fixture
def many_classes_run(compose, tmp_path):
    """Return the run of an untrained conditional model on 3,000 images of 1,500 classes."""
    labels = np.arange(3000) % 1500
    images = np.random.default_rng(0).integers(0, 256, (3000, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=labels)
    words = ["data=arrays", f"data.path={tmp_path}/many.npz", f"data.cache={tmp_path}/cache", "net.widths=[8]"]
    config = compose("model=cvae", "net=mlp", "latent_dim=2", *words)
    data = instantiate.build(config["data"])
    data.setup()
    model = instantiate.build_model(config, data.shape, data.context)
    return Run(tmp_path, config, model.eval(), data)


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


def test_metrics_equal_those_of_sklearn_with_equal_scores():
    rng = np.random.default_rng(0)
    normal, strange = rng.normal(size=200).round(1), (rng.normal(size=90) + 1).round(1)
    truth, scores = np.repeat([0, 1], [200, 90]), np.concatenate([normal, strange])
    area, precision, _ = detection_metrics(normal, strange)
    assert area == pytest.approx(roc_auc_score(truth, scores))
    assert precision == pytest.approx(average_precision_score(truth, scores))
    assert np.isnan(detection_metrics(np.array([np.nan, 1]), strange)).all()


def test_pca_separates_noise_from_digits_and_thresholds_come_from_validation(run):
    found = detect(run("model=vae"), other="noise", limit=200, count=4)
    table = found.tables["detection"].set_index("score")
    assert table.loc["PCA-4", "auroc"] == 1
    assert table.loc["PCA-4", "detected"] == 1
    assert table.loc["PCA-4", "false alarms"] < 0.15
    assert set(found.figures) == {"histograms", "extremes", "errors"}
    assert table.loc["whitened PCA-4", "note"] == "threshold chosen on validation images"
    assert "auroc/whitened PCA-4" in found.metrics


@pytest.mark.parametrize("model", ["ae", "cvae"])
def test_excluded_classes_are_the_anomalies(run, model):
    found = detect(run(f"model={model}", "data.exclude=[3,8]"), limit=100, count=2)
    table = found.tables["detection"].set_index("score")
    assert 50 < table.loc["distortion", "anomalous"] <= 100
    assert table.loc["distortion", "normal"] == 100


def test_each_image_has_the_lowest_score_of_all_classes(run):
    opened = run("model=cvae", "net=mlp").prepare()
    scorer, batch, model = AnomalyScores(opened), opened.batch("test", 70), opened.model
    noise = evaluation_noise(model, batch.index, "test")
    with torch.no_grad():
        terms = [model.terms(batch._replace(y=torch.full((70,), label)), noise) for label in range(10)]
        errors = torch.stack([model.reconstruct(batch.x, torch.full((70,), label)) for label in range(10)])
    scores = scorer.scores(batch, "test")
    lowest = torch.stack([term.distortion for term in terms]).min(0).values
    np.testing.assert_allclose(scores["distortion"], lowest, rtol=1e-5)
    lowest = torch.stack([term.distortion + term.rate for term in terms]).min(0).values
    np.testing.assert_allclose(scores["negative elbo"], lowest, rtol=1e-5)
    best = (errors - batch.x).flatten(2).square().sum(2).argmin(0)
    torch.testing.assert_close(scorer.output(batch), errors[best, torch.arange(70)])


def test_1500_classes_are_scored_on_fewer_images_with_few_calls_of_the_network(many_classes_run, monkeypatch):
    calls, terms = [], type(many_classes_run.model).terms
    monkeypatch.setattr(
        type(many_classes_run.model),
        "terms",
        lambda self, batch, eps: calls.append(len(batch.x)) or terms(self, batch, eps),
    )
    table = detect(many_classes_run, other="noise").tables["detection"].set_index("score")
    assert table.loc["distortion", ["normal", "anomalous", "validation"]].tolist() == [33, 33, 33]
    scored = [size for size in calls if size <= 250][-3 * 215 :]
    assert sum(scored) == 3 * 33 * 1500  # the code of each training image is computed before
    assert len(scored) == 3 * 215  # not 3 * 1500


def test_whitened_pca_scores_by_the_mahalanobis_distance(run):
    opened = run("model=ae").prepare()
    train, test = (opened.batch(split).x.flatten(1).double().numpy() for split in ("train", "test"))
    codes = PCA(4, svd_solver="full").fit(train)
    covariance = np.cov(codes.transform(train).T)
    z = codes.transform(test[:20])
    expected = [mahalanobis(row, np.zeros(4), np.linalg.inv(covariance)) ** 2 for row in z]
    scores = AnomalyScores(opened).scores(opened.batch("test", 20), "test")
    np.testing.assert_allclose(scores["whitened PCA-4"], expected, rtol=1e-4)
    clipped = codes.inverse_transform(z).clip(0, 1)
    np.testing.assert_allclose(scores["PCA-4"], ((clipped - test[:20]) ** 2).sum(1), rtol=1e-4)


def test_validation_images_are_not_the_normal_images(run):
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the threshold of each score"):
        detect(run("model=ae"), other="noise", split="val")


def test_nothing_anomalous_is_one_sentence(run):
    with pytest.raises(UserError, match="needs anomalies"):
        detect(run("model=ae"))
    with pytest.raises(UserError, match="other must be one of"):
        detect(run("model=ae"), other="cats")
