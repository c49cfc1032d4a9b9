import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import mahalanobis
from scipy.stats import mannwhitneyu
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from autoencoders.applications.anomaly_scores import AnomalyScores
from autoencoders.applications.detect import detect
from autoencoders.config import instantiate
from autoencoders.metrics.detection import detection_metrics, pixel_auroc
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


@pytest.mark.parametrize("model", [pytest.param("ae", marks=pytest.mark.slow), "cvae"])
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


@pytest.mark.slow
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


@pytest.fixture
def own(run, tmp_path):
    """Return a PCA run, and folders with 30 test digits, 10 of which have a white square, and with masks."""
    opened = run("model=pca").prepare()
    images = opened.batch("test", 30).x[:, 0].clone()
    for i, image in enumerate(images):
        mask = np.zeros((8, 8), dtype=np.uint8)
        folder = "good" if i >= 10 else "square"
        if i < 10:
            image[:3, i % 5 : i % 5 + 3] = 1
            mask[:3, i % 5 : i % 5 + 3] = 255
            save_gray(mask, tmp_path / f"masks/square/{i:02d}_mask.png")
        save_gray((image * 255).round().numpy().astype(np.uint8), tmp_path / f"images/{folder}/{i:02d}.png")
    return opened, tmp_path / "images", tmp_path / "masks"


def save_gray(values, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_own_files_have_scores_and_thresholds(own):
    opened, images, _ = own
    result = detect(opened, images=str(images), quantile=0.9)
    table = result.tables["files"]
    names = [*(f"good/{i}.png" for i in range(10, 30)), *(f"square/0{i}.png" for i in range(10))]
    assert table["file"].tolist() == names
    assert list(table.columns[:4]) == ["file", "score", "threshold", "anomalous"]
    x, _ = opened.read_images(images)
    pca = PCA(4, svd_solver="full").fit(opened.batch("train").x.flatten(1).numpy())

    def errors(x):
        x = x.flatten(1).numpy()
        return ((pca.inverse_transform(pca.transform(x)).clip(0, 1) - x) ** 2).sum(1)

    np.testing.assert_allclose(table["PCA-4"], errors(x), rtol=1e-3)
    np.testing.assert_allclose(table["PCA-4 threshold"], np.quantile(errors(opened.batch("val").x), 0.9), rtol=1e-3)
    assert table["anomalous"].tolist() == (table["score"] > table["threshold"]).tolist()
    assert result.metrics["own anomalous"] == table["anomalous"].mean()
    assert table["anomalous"][20:].mean() > table["anomalous"][:20].mean()
    assert set(result.figures) == {"own_errors"}
    assert "pixels" not in result.tables


def test_pixel_auroc_of_masks_equals_its_definition(own):
    opened, images, masks = own
    table = detect(opened, images=str(images), masks=str(masks)).tables["pixels"].set_index("method")
    x, _ = opened.read_images(images)
    truth = np.zeros((30, 8, 8), dtype=bool)
    for i in range(10):
        truth[20 + i, :3, i % 5 : i % 5 + 3] = True
    outputs = {"pca": opened.reconstruct(x), "PCA-4": opened.pca().reconstruct(x)}
    outputs["mean image"] = opened.batch("train").x.mean(0).expand_as(x)
    for name, output in outputs.items():
        errors = (output.clamp(0, 1) - x).abs().mean(1).numpy()
        area = mannwhitneyu(errors[truth], errors[~truth]).statistic / (truth.sum() * (~truth).sum())
        assert table.loc[name, "pixel auroc"] == pytest.approx(area, abs=1e-4)
        image = errors.mean((1, 2))
        area = mannwhitneyu(image[20:], image[:20]).statistic / 200
        assert table.loc[name, "image auroc"] == pytest.approx(area, abs=0.01)
    assert table.loc["pca", "pixel auroc"] > 0.7
    assert table.loc["chance", "pixel auroc"] == 0.5
    assert table.loc["pca", ["images", "with anomalies"]].tolist() == [30, 10]


def test_pixel_auroc_equals_that_of_sklearn():
    rng = np.random.default_rng(0)
    errors, masks = rng.random((5, 6, 7)).round(1), rng.random((5, 6, 7)) < 0.2
    masks[3] = False
    total, each = pixel_auroc(errors, masks)
    assert total == roc_auc_score(masks.ravel(), errors.ravel())
    assert each[0] == roc_auc_score(masks[0].ravel(), errors[0].ravel())
    assert np.isnan(each[3])


def test_masks_that_do_not_fit_are_one_sentence(own):
    opened, images, masks = own
    with pytest.raises(UserError, match=r"^masks are masks of your own images\. Set images"):
        detect(opened, masks=str(masks))
    save_gray(np.zeros((8, 9), dtype=np.uint8), masks / "square/00_mask.png")
    with pytest.raises(UserError, match=r"must have the height and width of its image, 8 x 8 .* got 8 x 9 in"):
        detect(opened, images=str(images), masks=str(masks))
    (masks / "square/00_mask.png").unlink()
    with pytest.raises(UserError, match=r"1 of 30 images have none, such as square/00\.png"):
        detect(opened, images=str(images), masks=str(masks))
