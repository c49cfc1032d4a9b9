"""What do codes look like in the plane, and what can be told from them?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, spread_rows
from autoencoders.applications.representations import Labels, labelled_rows, labels, representations
from autoencoders.latent.projections import plane, trustworthiness, tsne
from autoencoders.metrics.probes import knn_predictions, tune_probe
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult

LIMIT = 10_000
"""Training images that classifiers learn from, and held-out ones they are tried on, at most."""


def latent_map(
    run: Run, *, split: str = "test", attribute: str | None = None, count: int = 2000, k: int = 10, seed: int = 0
) -> ApplicationResult:
    """Codes in the plane, by their leading components and by t-SNE of all of them in one fit.

    A map misleads easily, so classifiers stand beside it: what a nearest-neighbor and a linear one tell of the
    label from whole codes, trained on training codes. Near chance, codes really are mixed.

    Args:
        run: the run.
        split: whose codes are drawn and asked.
        attribute: what colors the map; None for the class, else the last attribute there is.
        count: codes drawn.
        k: neighbors that vote.
        seed: of t-SNE.

    Returns:
        Figures `plane` and `tsne`; tables `maps`: trustworthiness of each map, the share of neighbors in it that
        are so in the code too (Venna and Kaski, 2001), and accuracy of the k nearest in it; `accuracy`, where the
        data have labels: from codes, PCA with as many components, pixels, and always the commonest label.
    """
    rows = spread_rows(number_of_images(count, "count", 10), len(run.prepare().data.images(split)))
    known = labels(run, ("train", "val", split), attribute)
    if known is not None:
        rows = labelled_rows(known.values[split], count)
    z = run.codes(split).z[rows].numpy()
    points, axes = plane(z)
    maps = {"plane": (points, axes)}
    if z.shape[1] > 2:
        maps["tsne"] = (tsne(z, seed), ("t-SNE 1", "t-SNE 2"))
    beside = None if known is None else known.values[split][rows]
    table = comparison({name: classifier_map(z, p, beside, k) for name, (p, _) in maps.items()}, "map")
    tables, words = {"maps": table}, f"{len(z)} {split} codes"
    if known is not None:
        tables["accuracy"] = accuracies(run, split, known, k)
        rows_of = tables["accuracy"].to_dict("records")
        words = f"linear probe of {known.what}: " + ", ".join(f"{r['method']} {r['linear']:.3f}" for r in rows_of)
    figures = draw(run, maps, table, None if known is None else (beside.numpy(), known.names), words)
    metrics = flat(table) | (flat(tables["accuracy"]) if known is not None else {})
    return ApplicationResult(metrics, figures, tables)


def classifier_map(z: np.ndarray, points: np.ndarray, known: Tensor | None, k: int) -> dict[str, object]:
    """How far a map keeps neighbors, and how well neighbors in it tell the label, each point left out in turn."""
    found: dict[str, object] = {"trustworthiness": trustworthiness(z, points, min(k, (len(z) - 1) // 2))}
    if known is not None:
        right = knn_predictions(torch.from_numpy(np.ascontiguousarray(points)).float(), known, k=k) == known
        found["knn in the map"] = mean_and_error(right.float())
        found["commonest label"] = float(torch.bincount(known).max()) / len(known)
    return {**found, "images": len(z)}


def accuracies(run: Run, split: str, known: Labels, k: int) -> pd.DataFrame:
    """A row per representation: accuracy of k nearest neighbors and of a linear probe on held-out images."""
    pca = run.pca()
    rows = {part: labelled_rows(values, LIMIT) for part, values in known.values.items()}
    y = {part: known.values[part][r] for part, r in rows.items()}
    features = {part: representations(run, part, r, pca) for part, r in rows.items()}
    found = {}
    for name in features["train"]:
        train, val, test = (features[part][name] for part in ("train", "val", split))
        probe = tune_probe((train, y["train"]), (val, y["val"]))
        found[name] = {
            "knn": mean_and_error((knn_predictions(train, y["train"], test, k) == y[split]).float()),
            "linear": mean_and_error((probe.logits(test).argmax(1) == y[split]).float()),
            "images": len(test),
        }
    common = mean_and_error((y[split] == torch.bincount(y["train"]).argmax()).float())
    found["commonest label"] = {"knn": common, "linear": common, "images": len(y[split])}
    return comparison(found)


def draw(
    run: Run, maps: dict[str, tuple], table: pd.DataFrame, known: tuple[np.ndarray, tuple] | None, words: str
) -> dict[str, object]:
    """A scatter per map."""
    from autoencoders.figures.latents import scatter

    figures = {}
    for (name, (points, axes)), row in zip(maps.items(), table.to_dict("records"), strict=True):
        values, names = known or (None, ())
        if known:
            axes = (f"{axes[0]}; nearest in this map tell {row['knn in the map']:.3f}", axes[1])
        prior = run.model.has_prior and run.model.latent_dim == 2
        figures[name] = scatter(points, run.title, axes, values, names, prior, words)
    return figures
