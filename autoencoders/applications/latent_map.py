"""Two-dimensional maps of the codes, and the accuracy of classifiers on the complete codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    refuse_validation,
    spread_rows,
)
from autoencoders.applications.representations import Labels, labeled_features, labeled_rows, labels
from autoencoders.latent.projections import plane, supports_tsne, trustworthiness, tsne
from autoencoders.metrics.probes import knn_predictions, tune_probe
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 10_000
"""Maximum number of images per split (train, val and the evaluated split) for the accuracy of the classifiers."""


class Map(NamedTuple):
    """A two-dimensional map of codes.

    Attributes:
        points: (N, 2) coordinates of the codes in the map.
        axes: display names of the two axes.
    """

    points: np.ndarray
    axes: tuple[str, str]


def latent_map(
    run: Run, *, split: str = "test", attribute: str | None = None, count: int = 2000, k: int = 10, seed: int = 0
) -> ApplicationResult:
    """Plot the codes in two dimensions, as their two leading principal components and as t-SNE.

    A two-dimensional map can mislead. Therefore a nearest-neighbor classifier and a linear classifier are trained on
    the complete training codes. Their accuracy measures how well the codes separate the labels. The regularization of
    the linear classifier is chosen on validation images.

    Args:
        run: run whose codes are plotted.
        split: split whose codes are plotted and classified. It must not be `val` if the data has labels.
        attribute: attribute or class that colors the map. None selects all classes, or the last attribute if the data
            has no classes.
        count: maximum number of codes that are plotted.
        k: number of neighbors of the nearest-neighbor classifier.
        seed: seed of t-SNE.

    Returns:
        Figures `plane` (the two principal components, or the two latents if there are only two) and `tsne` (for more
        than two latents, and at least ten codes that are not equal). Table `maps`: trustworthiness of each map, which
        is high if neighbors in the map are also neighbors among the complete codes (Venna and Kaski, 2001), and
        accuracy of a nearest-neighbor classifier on the map. Table `accuracy`, if the data has labels: accuracy of both
        classifiers on codes, on PCA with as many components as latents, on whitened PCA, and on pixels, and accuracy of
        always predicting the most frequent label. The linear classifier standardizes its features, so that whitening
        changes only the nearest-neighbor classifier.

    Raises:
        UserError: if `attribute` is unknown, an option is out of range, or labels of the split `val` would be
            predicted.
    """
    rows = spread_rows(check_count(count, "count", 10), len(run.prepare().data.images(split)))
    targets, y, majority = labels(run, ("train", "val", split), attribute), None, -1
    if targets is not None:
        refuse_validation(split, "the regularization of the linear classifier")
        rows = labeled_rows(targets.values[split], count)
        y = targets.values[split][rows]
        train = targets.values["train"]
        majority = int(torch.bincount(train[train >= 0]).argmax())
    z = run.codes(split).z[rows].numpy()
    maps = {"plane": Map(*plane(z))}
    if z.shape[1] > 2 and supports_tsne(z):
        maps["tsne"] = Map(tsne(z, seed), ("t-SNE 1", "t-SNE 2"))
    table = comparison_table({name: measure_map(z, one.points, y, k, majority) for name, one in maps.items()}, "map")
    metrics, tables, caption = flatten_table(table), {"maps": table}, f"{len(z)} {split} codes"
    if targets is not None:
        tables["accuracy"] = accuracy_table(run, split, targets, k)
        metrics |= flatten_table(tables["accuracy"])
        values = [
            f"{row['method']} {row['linear']:.3f}"
            for row in tables["accuracy"].to_dict("records")
            if not row["method"].startswith("whitened")  # its linear accuracy equals that of PCA
        ]
        caption = f"linear probe for {targets.what}: {', '.join(values)}"
    names = () if targets is None else targets.names
    figures = draw_maps(run, maps, table, None if y is None else y.numpy(), names, caption, k)
    return ApplicationResult(metrics, figures, tables)


def measure_map(z: np.ndarray, points: np.ndarray, y: Tensor | None, k: int, majority: int) -> dict[str, Any]:
    """Return the trustworthiness of a map, and the leave-one-out accuracy of a nearest-neighbor classifier on it.

    Args:
        z: (N, Z) codes.
        points: (N, 2) coordinates of the codes in the map.
        y: (N,) labels of the codes; None for data without labels.
        k: number of neighbors.
        majority: most frequent label of the training images.
    """
    columns: dict[str, Any] = {"trustworthiness": trustworthiness(z, points, k)}
    if y is not None:
        columns["knn in the map"] = (math.nan, math.nan)
        if len(y) > 1:  # no point is its own neighbor
            correct = knn_predictions(torch.from_numpy(np.ascontiguousarray(points)).float(), y, k=k) == y
            columns["knn in the map"] = mean_and_error(correct.float())
        columns["commonest label"] = float((y == majority).float().mean())
    columns["images"] = len(z)
    return columns


def accuracy_table(run: Run, split: str, targets: Labels, k: int) -> pd.DataFrame:
    """Return the accuracy of a nearest-neighbor classifier and of a linear probe, with one row per representation.

    Both classifiers are trained on training images and evaluated on images of `split`. The last row of the table is
    the accuracy of always predicting the most frequent label.

    Args:
        run: run whose codes, PCA and pixels are the representations.
        split: split on which the accuracy is measured.
        targets: labels that are predicted.
        k: number of neighbors.
    """
    data = labeled_features(run, targets, LIMIT)
    train_y, val_y, test_y = data["train"].y, data["val"].y, data[split].y
    rows: dict[str, dict[str, Any]] = {}
    for name in data["train"].features:
        train, val, test = (data[part].features[name] for part in ("train", "val", split))
        probe = tune_probe((train, train_y), (val, val_y))
        rows[name] = {
            "knn": mean_and_error((knn_predictions(train, train_y, test, k) == test_y).float()),
            "linear": mean_and_error((probe.logits(test).argmax(1) == test_y).float()),
            "images": len(test),
            "note": "regularization of the linear classifier chosen on validation images",
        }
    constant = mean_and_error((test_y == torch.bincount(train_y).argmax()).float())
    rows["commonest label"] = {"knn": constant, "linear": constant, "images": len(test_y), "note": ""}
    return comparison_table(rows)


def draw_maps(
    run: Run,
    maps: dict[str, Map],
    table: pd.DataFrame,
    y: np.ndarray | None,
    names: tuple[str, ...],
    caption: str,
    k: int,
) -> dict[str, Figure]:
    """Plot the codes in each map.

    Args:
        run: run whose title and prior are shown.
        maps: name -> map.
        table: table `maps` with the accuracy of each map.
        y: (N,) labels that color the points; None for one color.
        names: display name of each label.
        caption: text below the title.
        k: number of neighbors of the nearest-neighbor classifier.
    """
    from autoencoders.figures.latents import plot_codes

    prior = run.model.has_standard_prior and run.model.latent_dim == 2
    figures = {}
    for (name, (points, axes)), row in zip(maps.items(), table.to_dict("records"), strict=True):
        if y is not None:
            axes = (f"{axes[0]} ({k}-NN accuracy in this map: {row['knn in the map']:.3f})", axes[1])
        figures[name] = plot_codes(points, run.title, axes, y, names, prior, caption)
    return figures
