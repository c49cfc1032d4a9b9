"""Near-duplicates among the user's own images or the images of splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, flatten_table, refuse_own_images
from autoencoders.applications.image_set import ImageSet, own_images, selected_splits, split_images
from autoencoders.applications.known_pairs import known_pairs, measure_thresholds
from autoencoders.applications.own_neighbors import Encoder, image_encoders
from autoencoders.metrics.near_duplicates import close_pairs, difference_hash, pair_distances
from autoencoders.metrics.retrieval import METRICS
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HASH = "difference hash"
"""Name of the baseline that compares 64 bits per image; see `metrics.near_duplicates.difference_hash`."""


def duplicates(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    metric: str = "euclidean",
    known: int = 400,
    limit: int = 10_000,
    count: int = 10,
) -> ApplicationResult:
    """Find pairs of images whose codes have a distance of at most a threshold, which is chosen on known pairs.

    For each of `known` images, a changed copy (shifted, brighter or darker, with noise, or halved in size and enlarged)
    is a known near-duplicate, and the nearest other image counts as a known different image. True duplicates among the
    nearest images count as errors, so the measured precision is a lower bound. The threshold has the highest F1 score
    on half of these images; precision and recall are measured on the other half.

    The images are compared in the size and the crop of the run. Copies that are mirrored, rotated or cropped by more
    than a few percent, and differences that are lost when an image is reduced to this size, are not recognized.

    Args:
        run: run whose codes are compared.
        split: split of the images, `train`, `val`, `test` or `all`, if `images` is None.
        images: folder of your own images.
        metric: distance between codes, and between the features of the baselines: `euclidean` or `cosine`. The
            difference hash always uses the Euclidean distance.
        known: maximum number of images with known pairs, evenly spaced.
        limit: maximum number of pairs in the table `pairs`.
        count: maximum number of pairs in each figure.

    Returns:
        Table `known`: threshold, precision, recall and F1 score for codes, PCA with as many components as latents,
        whitened PCA, pixels and a difference hash; recall for each change. Table `pairs` with the nearest pair first:
        the two images, the distance, and the number of baselines whose distance is below their own threshold. Figures
        `closest` and `doubtful`: the pairs with the smallest and with the largest distances below the threshold.

    Raises:
        UserError: if an option is invalid, there are fewer than 16 images, or `images` is set for a conditional model.
    """
    if metric not in METRICS:
        raise UserError(f"metric must be one of {list(METRICS)}, got {metric!r}.")
    for name, value, least in (("known", known, 16), ("limit", limit, 1), ("count", count, 1)):
        check_count(value, name, least)
    splits = selected_splits(split, "split")
    if images is not None:
        refuse_own_images(run)
    selected = split_images(run, splits) if images is None else own_images(run, images)
    if len(selected) < 16:
        raise UserError(
            f"application=duplicates needs at least 16 images to choose a threshold, got {len(selected)}. Choose a "
            "larger folder or split."
        )
    encoders = {**image_encoders(run), HASH: lambda batch: difference_hash(batch.x)}
    metrics = {name: "euclidean" if name == HASH else metric for name in encoders}
    features = compute_features(selected, encoders)
    thresholds, table = measure_thresholds(known_pairs(selected, features, encoders, metrics, known))
    pairs, distances, total = close_pairs(features[run.model.name], thresholds[run.model.name], metric, limit)
    agreeing = torch.zeros(len(pairs), dtype=torch.long)
    for name in list(encoders)[1:]:
        agreeing += pair_distances(features[name], pairs, metrics[name]) <= thresholds[name]
    result = ApplicationResult(flatten_table(table), {}, {"known": table})
    result.tables["pairs"] = pair_table(selected, pairs, distances, agreeing)
    result.metrics |= {"pairs": float(total), "images in pairs": float(len(pairs.unique())), "images": len(selected)}
    caption = f"{total:,} pairs of {len(selected):,} images, threshold {thresholds[run.model.name]:.3g}"
    if len(pairs):
        few = min(count, len(pairs))
        chosen = {"closest": torch.arange(few), "doubtful": torch.arange(len(pairs) - few, len(pairs))}
        for name, rows in chosen.items():
            result.figures[name] = pair_figure(selected, pairs[rows], distances[rows], f"{name} pairs; {caption}")
    return result


def compute_features(images: ImageSet, encoders: dict[str, Encoder]) -> dict[str, Tensor]:
    """Return representation -> features (N, D) of the clean images, computed in chunks that bound the memory."""
    parts: dict[str, list[Tensor]] = {name: [] for name in encoders}
    for batch in images.batches():
        clean = batch._replace(x=batch.target)
        for name, encode in encoders.items():
            parts[name].append(encode(clean))
    return {name: torch.cat(chunks) for name, chunks in parts.items()}


def pair_table(images: ImageSet, pairs: Tensor, distances: Tensor, agreeing: Tensor) -> pd.DataFrame:
    """Return the table `pairs`; see `duplicates`.

    Args:
        images: N images.
        pairs: (K, 2) rows of the images of each pair.
        distances: (K,) distances between their codes.
        agreeing: (K,) numbers of baselines that call the pair a duplicate.
    """
    known = [name for name in ("file", "split", "index") if name in images.table]
    parts = []
    for side, suffix in ((0, ""), (1, " of duplicate")):
        part = images.table.iloc[pairs[:, side].numpy()][known].reset_index(drop=True)
        parts.append(part.add_suffix(suffix).rename(columns={"file of duplicate": "duplicate"}))
    table = pd.concat(parts, axis=1)
    return table.assign(**{"distance": distances.numpy(), "baselines that agree": agreeing.numpy()})


def pair_figure(images: ImageSet, pairs: Tensor, distances: Tensor, caption: str) -> Figure:
    """Draw pairs of images, one per column, with their distance and the names of both images.

    Args:
        images: N images.
        pairs: (K, 2) rows of the images of each pair.
        distances: (K,) distances between their codes.
        caption: text below the title.
    """
    from autoencoders.figures.grids import image_grid

    grid = to_numpy(images.pictures(pairs.T))  # (2, K, C, H, W)
    names = images.names
    columns = []
    for (first, second), distance in zip(pairs.tolist(), distances.tolist(), strict=True):
        texts = [names[row].rpartition("/")[2][-14:] for row in (first, second)]
        columns.append("\n".join([*texts, f"{distance:.3g}"]))
    return image_grid(np.asarray(grid), images.run.title, ("image", "duplicate"), columns, caption)
