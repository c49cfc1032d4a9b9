"""Anomaly detection with scores of the model, compared with PCA, whitened PCA, the mean image and total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.applications.anomaly_scores import AnomalyScores, concatenate, other_images
from autoencoders.applications.base import check_count, comparison_table, flatten_table, refuse_validation, spread_rows
from autoencoders.applications.examples import score_examples
from autoencoders.applications.own_anomalies import add_own_images, main_score, read_own_images
from autoencoders.metrics.detection import NAMES, detection_error, detection_metrics
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch, UserError
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.texts import list_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHERS = ("fashion", "digits", "mnist", "lfw", "cartoons", "noise", "shuffled")
"""Values of the option `other`: sources of anomalous images."""
MAX_PAIRS = 50_000
"""Maximum number of pairs of an image and a class, per set of images, that a model conditioned on classes scores.

With 1,500 classes, each set has at most 33 images.
"""
UNITS = {
    "distortion": "nats", "negative elbo": "nats", "latent density": "-log density, nats",
    "mean image": "squared error", "total variation": "mean difference of neighboring pixels",
}  # fmt: skip
"""Unit of each score, for figures. The score of PCA is a squared error, and that of whitened PCA a squared norm."""


def detect(
    run: Run,
    *,
    split: str = "test",
    other: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    quantile: float = 0.95,
    limit: int = 2000,
    count: int = 8,
) -> ApplicationResult:
    """Compute anomaly scores of normal and anomalous images, and measure how well each score separates these images.

    Anomalous images are images of the classes that `data.exclude` removed from training, images from the source
    `other`, or both. Each score has a threshold, which is a quantile of the score on validation images. Therefore the
    normal images are not from the split `val`. A model conditioned on classes scores each image once with every
    training class, and the lowest score is used.

    The score of PCA is the squared error of its reconstruction, the baseline of the distortion. The score of whitened
    PCA is the squared norm of its code, the baseline of the latent density.

    Args:
        run: trained run whose model computes the scores.
        split: split of the normal images, `test` or `train`. Images of excluded classes in this split are anomalous.
        other: source of anomalous images: a dataset, converted to the size and color of the run's images; `noise` for
            uniform pixels; `shuffled` for normal images with shuffled pixels; or None for excluded classes only.
        images: your own images to score, as a file or a folder; or None.
        masks: folder with a mask of the anomalous pixels for each of your own images; None if there are no masks. See
            `data.masks.match_masks`.
        quantile: quantile of the validation scores that is used as the threshold, in (0, 1).
        limit: maximum number of images per set (validation, normal, excluded classes, dataset `other`). They are evenly
            spaced in the split or dataset. If the model is conditioned on many classes, the limit is lowered; see
            MAX_PAIRS.
        count: number of images per row in the figures.

    Returns:
        Figures: `histograms`, `extremes` (images with the lowest and highest scores) and `errors` (errors per pixel).
        Table `detection` with one row per score: AUROC, average precision (for a random score: the fraction of
        anomalous images) and false positive rate at 95 % true positive rate, each with its bootstrap error; and the
        fractions of anomalous images (`detected`) and of normal images (`false alarms`) above the threshold; and the
        numbers of scored images (`normal`, `anomalous`, and `validation` for the threshold). The column `note` states
        where the threshold was chosen. Examples `scored`: single images with their scores. With `images`: table `files`
        and figure `own_errors`, with `masks` also table `pixels`; see `own_anomalies.add_own_images`.

    Raises:
        UserError: if an option is invalid, there are no anomalous images and no images of your own, or the model is
            conditioned on attributes that the images do not have.
    """
    check_options(run.prepare(), split, other, images, masks, quantile)
    check_count(limit, "limit", 2)
    check_count(count, "count")
    own = None if images is None else read_own_images(run, images, masks)
    excluded = torch.zeros(len(run.data.images(split)), dtype=torch.bool)
    classes = run.annotations(split).classes
    if len(run.data.excluded) and classes is not None:
        excluded = torch.isin(classes, run.data.excluded)
    scorer = AnomalyScores(run)
    limit = max(2, min(limit, MAX_PAIRS // scorer.candidates))
    rows = spread_rows(limit, len(run.data.images("val")))
    validation = scorer.scores(run.batch("val", rows), "val")
    thresholds = {name: float(np.quantile(values, quantile)) for name, values in validation.items()}
    normal = run.batch(split, limit_rows(~excluded, limit))
    anomalies = [run.batch(split, limit_rows(excluded, limit))] if excluded.any() else []
    if other is not None:
        anomalies.append(other_images(run, other, normal, limit))
    result = ApplicationResult()
    if anomalies:
        compared = Comparison(normal, concatenate(anomalies), split, describe_anomalies(run, other), len(rows))
        add_comparison(result, scorer, thresholds, compared, count)
    if own is not None:
        add_own_images(result, scorer, thresholds, own, count)
    return result


class Comparison(NamedTuple):
    """Normal and anomalous images whose scores are compared.

    Attributes:
        normal: normal images.
        anomalous: anomalous images.
        split: split of the normal images.
        what: source of the anomalous images, for figures.
        validation: number of validation images that determine the thresholds.
    """

    normal: Batch
    anomalous: Batch
    split: str
    what: str
    validation: int


def limit_rows(selected: Tensor, limit: int) -> Tensor:
    """Return the indices where a bool mask (N,) is True, or `limit` evenly spaced ones if there are more."""
    rows = selected.nonzero()[:, 0]
    return rows[spread_rows(limit, len(rows))] if len(rows) else rows


def check_options(
    run: Run, split: str, other: str | None, images: str | None, masks: str | None, quantile: float
) -> None:
    """Check the options of `detect`.

    Raises:
        UserError: if an option is invalid, there are no anomalous images and no images of the user, or the model is
            conditioned on attributes that the images do not have.
    """
    refuse_validation(split, "the threshold of each score")
    if not 0 < quantile < 1:
        raise UserError(f"quantile must be a number in (0, 1), got {quantile}.")
    if other is not None and other not in OTHERS:
        raise UserError(f"The option other must be one of {list_names(OTHERS)}, got {other!r}.")
    if other == run.data.name:
        raise UserError(
            f"The option other must name data that differ from the training data, got {other}. Choose another one: "
            f"{list_names(OTHERS)}."
        )
    if masks is not None and images is None:
        raise UserError("masks are masks of your own images. Set images to the folder of the images, or remove masks.")
    if other is None and images is None and (not len(run.data.excluded) or split != "test"):
        raise UserError(
            "application=detect needs anomalies, but no anomalous images are given. Set application.detect.other to "
            "noise, shuffled, fashion, mnist, digits, lfw or cartoons, or set images=<your images>, or use a run "
            "trained with data.exclude=[<classes>] and set split=test."
        )
    attributes = run.model.labels is not None and run.model.labels.kind == "attributes"
    if run.model.context_size and attributes and (other not in (None, "shuffled") or images):
        raise UserError(
            f"{run.model.name} is conditioned on attributes, but images from other sources have no attributes. Remove "
            "images and set application.detect.other=shuffled, or use the run of an unconditional model."
        )


def describe_anomalies(run: Run, other: str | None) -> str:
    """Return the source of the anomalous images as text: the excluded classes and `other`."""
    names = [f"class {', '.join(run.data.exclude)}"] if run.data.exclude else []
    return " and ".join([*names, *([other] if other else [])])


def add_comparison(
    result: ApplicationResult, scorer: AnomalyScores, thresholds: dict[str, float], compared: Comparison, count: int
) -> None:
    """Add the comparison of normal and anomalous images to a result: table `detection`, its metrics, figures, examples.

    Args:
        result: result of the application.
        scorer: computes the scores.
        thresholds: score name -> threshold.
        compared: normal and anomalous images.
        count: maximum number of images per row in the figures.
    """
    normal, anomalous, split, what, validation = compared
    scores = scorer.scores(normal, split), scorer.scores(anomalous, "strange")
    chosen = {"validation": validation, "note": "threshold chosen on validation images"}
    rows = {name: row | chosen for name, row in detection_rows(scores, thresholds).items()}
    share = len(anomalous.x) / (len(anomalous.x) + len(normal.x))
    chance = {"auroc": 0.5, "ap": share, "fpr at 95 % tpr": 0.95, "note": ""}
    table = comparison_table({**rows, "chance": chance}, "score")
    main = main_score(rows)
    auroc = {name: row["auroc"] for name, row in rows.items()}
    title = f"{scorer.run.title}; anomalous: {what}"
    result.figures["histograms"] = histogram_figure(scores, thresholds, auroc, title, compared)
    few = min(count, len(normal.x), len(anomalous.x))
    result.figures["extremes"] = extremes_figure(scores, main, auroc, title, compared, few)
    result.figures["errors"] = error_figure(scorer, main, auroc, title, compared, few)
    result.tables["detection"] = table
    result.examples["scored"] = score_examples(
        {"normal": (normal, scores[0]), what: (anomalous, scores[1])}, thresholds, main
    )
    result.metrics.update(flatten_table(table))


Scores = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
"""Two dictionaries, score name -> scores (N,): the first for normal images, the second for anomalous images."""


def detection_rows(scores: Scores, thresholds: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Return score name -> row of the table `detection`.

    A row contains the detection metrics with standard errors, and the fractions of images above the threshold.
    """
    rows = {}
    for name, threshold in thresholds.items():
        normal, anomalous = scores[0][name], scores[1][name]
        metrics = zip(NAMES, detection_metrics(normal, anomalous), detection_error(normal, anomalous), strict=True)
        row: dict[str, Any] = {key: (float(value), float(error)) for key, value, error in metrics}
        row["detected"] = float((anomalous > threshold).mean())
        row["false alarms"] = float((normal > threshold).mean())
        rows[name] = row | {"threshold": threshold, "normal": len(normal), "anomalous": len(anomalous)}
    return rows


def histogram_figure(
    scores: Scores, thresholds: dict[str, float], auroc: dict[str, tuple], title: str, compared: Comparison
) -> Figure:
    """Plot one panel per score: histograms of normal and anomalous images, and the threshold."""
    from autoencoders.figures.anomalies import score_histograms

    panels = {}
    for name, (value, _) in auroc.items():
        unit = UNITS.get(name, "squared norm of the code" if name.startswith("whitened") else "squared error")
        label = f"{name}: AUROC {value:.3f}; {unit}"
        panels[label] = (scores[0][name], scores[1][name], thresholds[name])
    names = f"normal {compared.split} images", compared.what
    return score_histograms(
        panels, f"{title}; dashed line: threshold from {compared.validation:,} validation images", names
    )


def extremes_figure(
    scores: Scores, main: str, auroc: dict[str, tuple], title: str, compared: Comparison, few: int
) -> Figure:
    """Draw the normal and the anomalous images with the lowest and the highest values of the score `main`."""
    from autoencoders.figures.grids import image_grid

    by_normal, by_anomalous = np.argsort(scores[0][main]), np.argsort(scores[1][main])
    images = {
        "normal, lowest scores": compared.normal.target[by_normal[:few].copy()],
        "normal, highest scores": compared.normal.target[by_normal[::-1][:few].copy()],
        "anomalies, highest scores": compared.anomalous.target[by_anomalous[::-1][:few].copy()],
        "anomalies, lowest scores": compared.anomalous.target[by_anomalous[:few].copy()],
    }
    grid = np.stack([to_numpy(row) for row in images.values()])
    return image_grid(grid, title, list(images), caption=summarize_auroc(main, auroc))


def error_figure(
    scorer: AnomalyScores, main: str, auroc: dict[str, tuple], title: str, compared: Comparison, few: int
) -> Figure:
    """Draw inputs, reconstructions and absolute errors per pixel: normal images left, anomalous images right."""
    from autoencoders.figures.anomalies import error_maps

    half = max(few // 2, 1)
    mixed = []
    for batch in (compared.normal, compared.anomalous):
        mixed.append(batch.select(spread_rows(half, len(batch.x))))
    images = concatenate(mixed)
    labels = tuple(["normal"] * half + ["anomaly"] * half)
    outputs = to_numpy(scorer.output(images))
    return error_maps(to_numpy(images.target), outputs, title, labels, summarize_auroc(main, auroc))


def summarize_auroc(main: str, auroc: dict[str, tuple]) -> str:
    """Return a caption with the AUROC of the score `main` and of the baseline with the highest AUROC."""
    baselines = [name for name in auroc if name not in ("distortion", "negative elbo", "latent density")]
    best = max(baselines, key=lambda name: auroc[name])
    return f"AUROC of {main}: {auroc[main][0]:.3f}; AUROC of the best baseline, {best}: {auroc[best][0]:.3f}"
