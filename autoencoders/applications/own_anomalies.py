"""Anomaly scores of the user's own images, their error maps, and the pixel AUROC if there are ground-truth masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.anomaly_scores import AnomalyScores
from autoencoders.applications.base import comparison_table, flatten_table, mean_and_error
from autoencoders.applications.image_set import ImageSet, own_images
from autoencoders.data.image_io import stored_size
from autoencoders.data.masks import match_masks
from autoencoders.metrics.detection import detection_metrics, pixel_auroc
from autoencoders.runs.run import Run, find_images
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 1000
"""Number of images that are scored at a time."""


class OwnImages(NamedTuple):
    """The user's own images, with masks of their anomalous pixels.

    Attributes:
        images: N images.
        masks: (N, H, W) bool, whether a pixel is anomalous; None if there are no masks.
    """

    images: ImageSet
    masks: Tensor | None


def read_own_images(run: Run, path: str, masks: str | None) -> OwnImages:
    """Read the user's own images, and their masks if there are any.

    Args:
        run: run whose data module prepares the images.
        path: image file, or folder of images.
        masks: folder with the masks, or None.

    Raises:
        UserError: if a file cannot be read, or the masks do not fit the images.
    """
    if masks is None:
        return OwnImages(own_images(run, path), None)
    files, names = find_images(path)
    matched = match_masks(names, Path(masks).expanduser())
    known = [(row, mask) for row, mask in enumerate(matched) if mask is not None]
    for row, mask in known:
        size, expected = stored_size(mask), stored_size(files[row])
        if size != expected:
            raise UserError(
                f"A mask must have the height and width of its image, {expected[0]} x {expected[1]} pixels for "
                f"{names[row]}, got {size[0]} x {size[1]} in {mask}. Correct the mask."
            )
    images = own_images(run, path)
    values = torch.zeros(len(images), *run.data.shape[1:], dtype=torch.bool)
    if known:
        values[[row for row, _ in known]] = run.data.read_mask_files([mask for _, mask in known])
    return OwnImages(images, values)


def main_score(names: Iterable[str]) -> str:
    """Return the name of the model's main score: the negative ELBO if the model has it, else the distortion."""
    return "negative elbo" if "negative elbo" in names else "distortion"


def add_own_images(
    result: ApplicationResult, scorer: AnomalyScores, thresholds: dict[str, float], own: OwnImages, count: int
) -> None:
    """Add the scores of the user's own images to a result.

    Table `files` has one row per image: the file, its main score, the threshold and whether the score exceeds it
    (`anomalous`), and the same for every other score. Figure `own_errors`: error per pixel of the images with the
    highest scores. With masks, table `pixels`: AUROC of the absolute error per pixel, over all pixels and averaged over
    the images with anomalous pixels, and AUROC of the mean error of an image, for the model, PCA and the mean image.

    Args:
        result: result of the application.
        scorer: computes the scores.
        thresholds: score name -> threshold.
        own: images and masks of the user.
        count: maximum number of images in the figure.
    """
    images, main = own.images, main_score(thresholds)
    scores = score_images(scorer, images)
    columns = {"file": images.names, **score_columns("", scores[main], thresholds[main])}
    for name in thresholds:
        if name != main:
            columns |= score_columns(name, scores[name], thresholds[name])
    result.tables["files"] = pd.DataFrame(columns)
    result.metrics["own anomalous"] = float((scores[main] > thresholds[main]).mean())
    caption = f"images with the highest {main}; threshold {thresholds[main]:.4g}"
    if own.masks is not None:
        table = pixel_table(scorer, own)
        result.tables["pixels"] = table
        result.metrics.update(flatten_table(table))
        values = ", ".join(f"{row['method']} {row['pixel auroc']:.3f}" for row in table.to_dict("records"))
        caption += f"; pixel AUROC: {values}"
    highest = np.argsort(-scores[main], kind="stable")[:count].copy()
    result.figures["own_errors"] = own_error_figure(scorer, own, torch.from_numpy(highest), scores[main], caption)


def score_columns(name: str, scores: np.ndarray, threshold: float) -> dict[str, object]:
    """Return the columns of one score in the table `files`: score, threshold and `anomalous`.

    Args:
        name: name of the score; empty for the main score.
        scores: (N,) scores.
        threshold: threshold of the score.
    """
    prefix = f"{name} " if name else ""
    columns = {name or "score": scores, f"{prefix}threshold": np.full(len(scores), threshold)}
    return {**columns, f"{prefix}anomalous": scores > threshold}


def score_images(scorer: AnomalyScores, images: ImageSet) -> dict[str, np.ndarray]:
    """Return score name -> scores (N,), computed in chunks that bound the memory."""
    parts = [scorer.scores(batch, "own") for batch in images.batches(ROWS)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def pixel_table(scorer: AnomalyScores, own: OwnImages) -> pd.DataFrame:
    """Return the table `pixels`; see `add_own_images`.

    Args:
        scorer: reconstructs the images.
        own: images and masks of the user.
    """
    from autoencoders.figures.anomalies import pixel_errors

    run, masks = scorer.run, own.masks.numpy() if own.masks is not None else np.empty(0)
    mean_image = run.data.mean_image().float()
    maps: dict[str, list[np.ndarray]] = {run.model.name: [], scorer.pca.name: [], "mean image": []}
    for batch in own.images.batches(ROWS):
        outputs = scorer.output(batch), scorer.pca.reconstruct(batch.x), mean_image.expand_as(batch.target)
        for name, output in zip(maps, outputs, strict=True):
            maps[name].append(pixel_errors(to_numpy(batch.target), to_numpy(output)))
    marked = masks.reshape(len(masks), -1).max(1)
    rows = {}
    for name, parts in maps.items():
        errors = np.concatenate(parts)
        total, each = pixel_auroc(errors, masks)
        image = errors.mean((1, 2))
        both = 0 < marked.sum() < len(marked)
        rows[name] = {
            "pixel auroc": total,
            "per image": mean_and_error(each[~np.isnan(each)]) if (~np.isnan(each)).any() else (np.nan, np.nan),
            "image auroc": float(detection_metrics(image[~marked], image[marked])[0]) if both else np.nan,
            "images": len(marked),
            "with anomalies": int(marked.sum()),
        }
    chance = {"pixel auroc": 0.5, "per image": (0.5, np.nan), "image auroc": 0.5}
    return comparison_table({**rows, "chance": chance | {"images": len(marked), "with anomalies": int(marked.sum())}})


def own_error_figure(scorer: AnomalyScores, own: OwnImages, rows: Tensor, scores: np.ndarray, caption: str) -> Figure:
    """Draw inputs, reconstructions, errors per pixel of the model and of PCA, and masks.

    Args:
        scorer: reconstructs the images.
        own: images and masks of the user.
        rows: (M,) indices of the images, in the order of the figure.
        scores: (N,) main scores of all images.
        caption: text below the title.
    """
    from autoencoders.figures.anomalies import error_maps

    ascending, order = rows.sort()
    batch, back = own.images.batch(ascending), order.argsort()
    outputs, baseline = scorer.output(batch)[back], scorer.pca.reconstruct(batch.x)[back]
    names = [own.images.names[i].rpartition("/")[2][-14:] for i in rows.tolist()]
    labels = tuple(f"{name}\n{scores[i]:.4g}" for name, i in zip(names, rows.tolist(), strict=True))
    masks = None if own.masks is None else own.masks[rows].numpy()
    target = to_numpy(batch.target[back])
    title = f"{scorer.run.title}; own images"
    return error_maps(target, to_numpy(outputs), title, labels, caption, (scorer.pca.name, to_numpy(baseline)), masks)
