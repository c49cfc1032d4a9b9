"""Anomaly detection, with PCA, the mean image and image complexity as baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, listed, number_of_images, spread_rows
from autoencoders.applications.examples import scored
from autoencoders.data.loader import Batches, Split
from autoencoders.latent.densities import GaussianFull
from autoencoders.metrics.detection import NAMES, detection_error, detection_metrics, total_variation
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs.run import ROWS_PER_CHUNK, Run
from autoencoders.types import ApplicationResult, Batch, UserError
from autoencoders.utils.arrays import to_numpy

OTHERS = ("fashion", "digits", "mnist", "lfw", "cartoons", "noise", "shuffled")
UNITS = {
    "distortion": "nats", "negative elbo": "nats", "latent density": "-log density, nats",
    "mean image": "squared distance", "total variation": "mean difference of neighbors",
}  # fmt: skip


def detect(
    run: Run,
    *,
    split: str = "test",
    other: str | None = None,
    images: str | None = None,
    quantile: float = 0.95,
    limit: int = 2000,
    count: int = 8,
) -> ApplicationResult:
    """Score normal and anomalous images, set thresholds on validation images, and measure how well each score separates
    them.

    Anomalies are images of the classes that `data.exclude` removed from training, or `other` images, or both. A model
    conditioned on classes scores an image with each training class, and the lowest score counts.

    Args:
        run: the run.
        split: split of the normal images (without excluded classes).
        other: another dataset, converted to the size and color of the run's images, or `noise` (uniform pixels), or
            `shuffled` (normal images with shuffled pixels), or None.
        images: your own images to score, a file or a folder.
        quantile: quantile of the validation scores that is the threshold for anomalies.
        limit: maximum number of validation, normal and anomalous images, evenly spaced.
        count: number of images per row of the figures.

    Returns:
        Figures `histograms`, `extremes` and `errors`; the tables `detection`: AUROC, average precision (chance: the
        share of anomalies), false positives at 95 % true positives, with bootstrap errors, and the rates at the
        threshold; `own`: scores of your own images, and the thresholds that they exceed; examples `scored`: single
        images with their scores.

    Raises:
        UserError: if there are no anomalies to compare with.
    """
    check(run.prepare(), split, other, images, quantile)
    number_of_images(limit, "limit", 2)
    held_out = torch.zeros(len(run.data.images(split)), dtype=torch.bool)
    if len(run.data.excluded):
        held_out = torch.isin(run.annotations(split).classes, run.data.excluded)
    rows = {"normal": (~held_out).nonzero()[:, 0], "held out": held_out.nonzero()[:, 0]}
    rows = {name: part[spread_rows(limit, len(part))] if len(part) else part for name, part in rows.items()}
    classifier = Classifier(run)
    validation = classifier.scores(run.batch("val", spread_rows(limit, len(run.data.images("val")))), "val")
    thresholds = {name: float(np.quantile(values, quantile)) for name, values in validation.items()}
    normal = run.batch(split, rows["normal"])
    strange = [run.batch(split, rows["held out"])] if len(rows["held out"]) else []
    if other is not None:
        strange.append(others(run, other, normal, limit))
    result = ApplicationResult()
    if strange:
        compare(result, run, classifier, thresholds, normal, joined(strange), split, described(run, other), count)
    if images is not None:
        x, names = run.read_images(images)
        scores = classifier.scores(Batch(x, x, None, torch.arange(len(x))), "own")
        table = pd.DataFrame({"image": names})
        for name, values in scores.items():
            table[name], table[f"{name} anomalous"] = values, values > thresholds[name]
        result.tables["own"] = table
        result.metrics["own anomalous"] = float((scores["distortion"] > thresholds["distortion"]).mean())
    return result


def check(run: Run, split: str, other: str | None, images: str | None, quantile: float) -> None:
    """Raise UserError if the options are inconsistent."""
    if not 0 < quantile < 1:
        raise UserError(f"quantile must be in (0, 1), got {quantile}.")
    if other is not None and other not in OTHERS:
        raise UserError(f"other must be one of {listed(OTHERS)}, got {other!r}.")
    if other == run.data.name:
        raise UserError(f"other must differ from the training data, got {other}. Choose one of {listed(OTHERS)}.")
    if other is None and images is None and (not len(run.data.excluded) or split != "test"):
        raise UserError(
            "application=detect needs anomalies. Set application.detect.other=noise|shuffled|fashion|mnist|digits|lfw|"
            "cartoons, or images=<your images>, or use split=test of a run trained with data.exclude=[<classes>]."
        )
    if run.model.context_size and run.model.labels.kind == "attributes" and (other not in (None, "shuffled") or images):
        raise UserError(
            f"{run.model.name} is conditioned on attributes, which other images do not have. Use other=shuffled, or "
            "an unconditional model."
        )


def described(run: Run, other: str | None) -> str:
    """Describe the anomalies."""
    names = [f"class {', '.join(run.data.exclude)}"] if run.data.exclude else []
    return " and ".join([*names, *([other] if other else [])])


class Classifier:
    """Anomaly scores of images; higher is more anomalous. Baselines and the latent density are fitted to training
    images.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.pca = run, run.pca()
        self.density = GaussianFull().fit(run.codes("train").z)

    @torch.no_grad()
    def scores(self, batch: Batch, split: str) -> dict[str, np.ndarray]:
        """Return name -> (N,)."""
        run, found = self.run, []
        labels = self._labels(batch)
        for y in labels:
            terms = [self._terms(part, split) for part in batch._replace(y=y).parts(ROWS_PER_CHUNK)]
            found.append([torch.cat(column) for column in zip(*terms, strict=True)])
        distortion, rate, z = (torch.stack(column) for column in zip(*found, strict=True))  # (labels, N, ...)
        density = torch.stack([-self.density.log_density(codes) for codes in z])
        columns: dict[str, Any] = {"distortion": distortion.min(0).values}
        if run.model.has_prior:
            columns["negative elbo"] = (distortion + rate).min(0).values
        columns["latent density"] = density.min(0).values
        columns[self.pca.name] = (self.pca.reconstruct(batch.x) - batch.target).flatten(1).square().sum(1)
        columns["mean image"] = (batch.target - run.data.mean_image()).flatten(1).square().sum(1)
        scores = {name: values.double().numpy() for name, values in columns.items()}
        return {**scores, "total variation": total_variation(to_numpy(batch.target))}

    def _labels(self, batch: Batch) -> list[Tensor | None]:
        model = self.run.model
        if not model.context_size or model.labels.kind == "attributes":
            return [batch.y]
        known = sorted(set(range(model.labels.size)) - set(self.run.data.excluded.tolist()))
        return [torch.full((len(batch.x),), label) for label in known]

    def _terms(self, batch: Batch, split: str) -> tuple[Tensor, Tensor, Tensor]:
        model = self.run.model
        moved = Batch(*(None if part is None else part.to(model.device) for part in batch))
        terms = model.terms(moved, evaluation_noise(model, moved.index, split))
        return terms.distortion.cpu(), terms.rate.cpu(), terms.posterior.mean.float().cpu()

    def output(self, batch: Batch) -> Tensor:
        """Return reconstructions (N, C, H, W), with the label that gives each image its lowest score."""
        outputs = torch.stack([self.run.reconstruct(batch.x, y) for y in self._labels(batch)])
        best = (outputs - batch.target).flatten(2).square().sum(2).argmin(0)
        return outputs[best, torch.arange(len(best))]


def joined(batches: list[Batch]) -> Batch:
    """Concatenate batches of anomalies and renumber their rows. Labels are kept if all have them."""
    y = None if any(b.y is None for b in batches) else torch.cat([b.y for b in batches])
    x, target = torch.cat([b.x for b in batches]), torch.cat([b.target for b in batches])
    return Batch(x, target, y, torch.arange(len(x)))


def others(run: Run, other: str, normal: Batch, limit: int) -> Batch:
    """Return images from another source, (N, C, H, W) like those of the run, with the same binarization and corruption."""
    generator = torch.Generator().manual_seed(0)
    images = (normal.target * 255).round().byte()
    if other == "noise":
        images = torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
    elif other == "shuffled":
        order = torch.rand(len(images), images[0, 0].numel(), generator=generator).argsort(1)
        images = images.flatten(2).gather(2, order[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    else:
        images = fitted(dataset(run, other), run.model.shape, limit)
    views = dict(run.data.views)
    if views["binarize"] == "static":  # random numbers fixed by row, as for dynamic binarization in evaluation
        views["binarize"] = "dynamic"
    y = normal.y if other == "shuffled" else None
    return Batches(Split(images, y), "test", batch_size=len(images), **views).batch(torch.arange(len(images)))


def dataset(run: Run, name: str) -> Any:
    """Return the test images of another dataset, uint8, downloaded to the same folder."""
    options = {"name": name, "root": str(run.data.root), "batch_size": 1}
    cache = getattr(run.data, "cache", None)
    if name == "digits":
        from autoencoders.data.digits import DigitsDataModule as Data
    elif name == "mnist":
        from autoencoders.data.mnist import MNISTDataModule as Data
    elif name == "fashion":
        from autoencoders.data.fashion import FashionMNISTDataModule as Data
    elif name == "lfw":
        from autoencoders.data.lfw import LFWDataModule as Data

        options |= {"cache": cache, "split": "alphabetical"}
    else:
        from autoencoders.data.cartoons import CartoonsDataModule as Data

        options |= {"cache": cache, "count": 2000}
    data = Data(**options)
    data.prepare_data()
    data.setup()
    return data.images("test")


def fitted(images: Any, shape: tuple[int, int, int], limit: int) -> Tensor:
    """Convert images of any size and color to (N, C, H, W) uint8 of this shape, at most `limit`, evenly spaced."""
    images = images[spread_rows(limit, len(images))].float()
    images = torch.nn.functional.interpolate(images, size=shape[1:], mode="bilinear", antialias=True)
    if shape[0] == 1 and images.shape[1] == 3:
        images = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return images.expand(-1, shape[0], -1, -1).round().clamp(0, 255).byte()


def compare(
    result: ApplicationResult,
    run: Run,
    classifier: Classifier,
    thresholds: dict[str, float],
    normal: Batch,
    strange: Batch,
    split: str,
    what: str,
    count: int,
) -> None:
    """Add the table `detection` and the figures to the result."""
    from autoencoders.figures.anomalies import error_maps, score_histograms
    from autoencoders.figures.grids import image_grid

    good, bad = classifier.scores(normal, split), classifier.scores(strange, "strange")
    rows = {}
    for name, threshold in thresholds.items():
        values = detection_metrics(good[name], bad[name])
        errors = detection_error(good[name], bad[name])
        row = {key: (float(v), float(e)) for key, v, e in zip(NAMES, values, errors, strict=True)}
        hits, alarms = (bad[name] > threshold).mean(), (good[name] > threshold).mean()
        row |= {"detected": float(hits), "false alarms": float(alarms), "threshold": threshold}
        rows[name] = row | {"normal": len(normal.x), "anomalous": len(strange.x)}
    share = len(strange.x) / (len(strange.x) + len(normal.x))
    rows["chance"] = {"auroc": 0.5, "ap": share, "fpr at 95 % tpr": 0.95}
    table = comparison(rows, "score")
    main = "negative elbo" if "negative elbo" in rows else "distortion"
    title = f"{run.title}; anomalous: {what}"
    auroc = {name: row["auroc"] for name, row in rows.items() if name != "chance"}
    panels = {
        f"{name}: AUROC {auroc[name][0]:.3f}; {UNITS.get(name, 'squared error')}": (
            good[name],
            bad[name],
            thresholds[name],
        )
        for name in auroc
    }
    result.figures["histograms"] = score_histograms(
        panels, f"{title}; dashed: threshold of validation", (f"normal {split} images", what)
    )
    few = min(count, len(normal.x), len(strange.x))
    by_good, by_bad = np.argsort(good[main]), np.argsort(bad[main])
    chosen = {
        "most normal": normal.target[by_good[:few].copy()],
        "least normal": normal.target[by_good[::-1][:few].copy()],
        "anomalies, caught first": strange.target[by_bad[::-1][:few].copy()],
        "anomalies, caught last": strange.target[by_bad[:few].copy()],
    }
    best = max((n for n in auroc if n not in ("distortion", "negative elbo", "latent density")), key=auroc.get)
    caption = f"by {main}: AUROC {auroc[main][0]:.3f}; best baseline {best}: {auroc[best][0]:.3f}"
    result.figures["extremes"] = image_grid(
        np.stack([to_numpy(part) for part in chosen.values()]), title, list(chosen), caption=caption
    )
    half = max(few // 2, 1)
    mixed = [Batch(*(None if p is None else p[spread_rows(half, len(b.x))] for p in b)) for b in (normal, strange)]
    shown = joined(mixed)
    words = tuple(["normal"] * half + ["other"] * half)
    result.figures["errors"] = error_maps(
        to_numpy(shown.target), to_numpy(classifier.output(shown)), title, words, caption
    )
    result.tables["detection"] = table
    result.examples["scored"] = scored({"normal": (normal, good), what: (strange, bad)}, thresholds, main)
    result.metrics.update(flat(table))
