"""Which images are nearest? Neighbors by code, and how often they show the same person or class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications import examples
from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, shown, spread_rows
from autoencoders.applications.representations import binary_attributes, representations
from autoencoders.metrics.retrieval import METRICS, chance_quality, nearest_neighbors, ranking_quality
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 20_000
"""Images in the database at most."""


def retrieve(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    database: str | None = None,
    metric: str = "euclidean",
    count: int = 6,
    neighbors: int = 8,
    queries: int = 2000,
) -> ApplicationResult:
    """Queries with their nearest images and distances; precision and mean average precision over many queries.

    An image is relevant where it shows the same person (or whatever group the data name), else the same class. A
    query is never its own neighbor. Queries with nothing relevant in the database are left out of the numbers.

    Args:
        run: the run.
        split: where queries come from.
        images: a picture or a folder of pictures of your own, as the queries that are shown.
        database: the split that is searched; None for the queries' own, leaving each out of its own search.
        metric: `euclidean` or `cosine` distance of codes, and of the baselines.
        count: queries shown.
        neighbors: images shown per query.
        queries: that the numbers are of, at most.

    Returns:
        Figure `neighbors`, and the same as examples `queried`; the table `retrieval`, where the data have groups or
        classes: precision at 1 and 5 and mean average precision of codes, PCA with as many components, pixels and a
        random order; where the data have attributes alone, the share of them that the nearest and the five nearest
        images have in common.

    Raises:
        UserError: for an unknown metric or database.
    """
    database = database or split
    if metric not in METRICS:
        raise UserError(f"metric must be one of {list(METRICS)}, and is {metric!r}.")
    if database not in ("train", "val", "test"):
        raise UserError(f"database must be train, val or test, and is {database!r}.")
    searched = spread_rows(LIMIT, len(run.prepare().data.images(database)))
    there = labels_of(run.annotations(database).rows(searched))
    table = None
    if there is not None:
        table = measure(run, split, database, searched, there, metric, number_of_images(queries, "queries"))
    elif run.annotations(database).attributes is not None:
        table = agreement(run, split, database, searched, metric, number_of_images(queries, "queries"))
    figure, queried = neighbor_figure(run, split, images, database, searched, metric, (count, neighbors), table)
    tables, metrics = ({}, {}) if table is None else ({"retrieval": table}, flat(table))
    return ApplicationResult(metrics, {"neighbors": figure}, tables, examples={"queried": queried})


def labels_of(annotations: Annotations) -> Tensor | None:
    """(N,) what makes two images the same: their group, else their class; None where neither is known."""
    return annotations.classes if annotations.groups is None else annotations.groups


def measure(
    run: Run, split: str, database: str, searched: Tensor, there: Tensor, metric: str, limit: int
) -> pd.DataFrame:
    """The table: a row per representation and one for chance."""
    labels, own = labels_of(run.annotations(split)), None
    same = torch.bincount(there, minlength=int(max(there.max(), labels.max())) + 1)[labels]
    if database == split:
        inside = torch.isin(torch.arange(len(labels)), searched)
        same = torch.where(inside, same - 1, 0)
    rows = (same > 0).nonzero().flatten()
    if not len(rows):
        raise UserError(
            f"No image of {split} has another of its person or class in {database}. Choose another database."
        )
    rows = rows[spread_rows(limit, len(rows))]
    if database == split:
        own = torch.searchsorted(searched, rows)
    pca, found = run.pca(), {}
    of_database = representations(run, database, searched, pca)
    of_queries = representations(run, split, rows, pca) if own is None else {n: z[own] for n, z in of_database.items()}
    for name, z in of_database.items():
        found[name] = ranking_quality(z, there, of_queries[name], labels[rows], own, metric)
    found["chance"] = chance_quality(same[rows], len(searched) - (own is not None))
    columns = {name: {k: mean_and_error(v) for k, v in quality.items()} for name, quality in found.items()}
    return comparison({n: {**c, "queries": len(rows), "database": len(searched)} for n, c in columns.items()})


def agreement(run: Run, split: str, database: str, searched: Tensor, metric: str, limit: int) -> pd.DataFrame:
    """The table where there are attributes alone, each divided into with and without: how many the neighbors share."""
    marked = binary_attributes(run, {split, database})[0]
    rows = searched[spread_rows(limit, len(searched))] if database == split else spread_rows(limit, len(marked[split]))
    own = torch.searchsorted(searched, rows) if database == split else False
    there, mine, pca = marked[database][searched], marked[split][rows], run.pca()
    of_database, of_queries = representations(run, database, searched, pca), representations(run, split, rows, pca)

    def shared(neighbors: Tensor) -> Tensor:  # (Q, k) rows of the database -> (Q,), attributes unknown left out
        same = (there[neighbors] == mine[:, None]).float()
        known = there[neighbors].isfinite() & mine[:, None].isfinite()
        return torch.where(known, same, torch.nan).flatten(1).nanmean(1)

    found = {}
    for name, z in of_database.items():
        index, _ = nearest_neighbors(z, of_queries[name], 5, metric, own)
        found[name] = {f"shared attributes at {k}": mean_and_error(shared(index[:, :k])) for k in (1, 5)}
    drawn = torch.randint(len(searched), (len(rows), 100), generator=torch.Generator().manual_seed(0))
    found["chance"] = {f"shared attributes at {k}": mean_and_error(shared(drawn)) for k in (1, 5)}
    return comparison({n: {**c, "queries": len(rows), "database": len(searched)} for n, c in found.items()})


def neighbor_figure(
    run: Run,
    split: str,
    images: str | None,
    database: str,
    searched: Tensor,
    metric: str,
    sizes: tuple[int, int],
    table: pd.DataFrame | None,
) -> tuple[Figure, pd.DataFrame]:
    """A row per query: itself, then its nearest images with their distances, marked where they are the same.

    The same as a table too, see `examples.neighbors`.
    """
    from autoencoders.figures.neighbors import neighbor_grid

    count, neighbors = (number_of_images(n, key) for n, key in zip(sizes, ("count", "neighbors"), strict=True))
    batch, names = shown(run, split, count, images)
    z = run.encode(batch.x, batch.y)
    k = min(neighbors, len(searched) - 1)
    wider = k + (images is None and database == split)  # the query itself may be among them
    found, distance = nearest_neighbors(run.codes(database).z[searched], z, wider, metric)
    found = searched[found]
    if wider > k:
        keep = [(row != i).nonzero().flatten()[:k] for row, i in zip(found, batch.index, strict=True)]
        found = torch.stack([row[j] for row, j in zip(found, keep, strict=True)])
        distance = torch.stack([row[j] for row, j in zip(distance, keep, strict=True)])
    pictures = run.batch(database, found.flatten()).x.unflatten(0, found.shape)
    there, mine = labels_of(run.annotations(database)), None
    if images is None and there is not None:
        mine = labels_of(run.annotations(split))[batch.index][:, None] == there[found]
    caption = f"{metric} distance of codes to {len(searched)} {database} images"
    if table is not None:
        column = table.columns[1]
        what = "class" if run.annotations(database).groups is None else "person"
        what = column if there is None else f"nearest of the same {what}"
        values = ", ".join(f"{r['method']} {r[column]:.3f}" for r in table.to_dict("records"))
        caption += f"; {what}: {values}"
    shown_images, found_images, distances = to_numpy(batch.x), to_numpy(pictures), distance.numpy()
    figure = neighbor_grid(shown_images, found_images, distances, mine, names, run.title, caption)
    matched = None if mine is None else mine.numpy()
    return figure, examples.neighbors(names, shown_images, found_images, distances, matched)
