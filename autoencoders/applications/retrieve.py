"""Retrieval of the nearest images by code, and how often they show the same person or class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications import examples
from autoencoders.applications.base import check_count, flatten_table, select_images, spread_rows
from autoencoders.applications.retrieval_tables import Search, attribute_table, group_labels, precision_table
from autoencoders.metrics.retrieval import METRICS, nearest_neighbors
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 20_000
"""Maximum number of images in the database."""


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
    """Draw queries with their nearest images; measure precision and mean average precision over many queries.

    An image is relevant if it shows the same person (or other group of the data), or the same class if the data have
    no groups. A query is excluded from its own results. Queries without a relevant image in the database are not
    measured.

    Args:
        run: the run.
        split: the split of the queries.
        images: an image file or a folder of your own images, which are drawn as queries.
        database: the split that is searched; None for the split of the queries.
        metric: distance between codes, and between the features of the baselines: `euclidean` or `cosine`.
        count: number of queries that are drawn.
        neighbors: number of nearest images that are drawn per query.
        queries: maximum number of queries that are measured.

    Returns:
        Figure `neighbors`, and the same images as examples `queried`. Table `retrieval`: if the data have groups or
        classes, precision at 1 and 5 and mean average precision of codes, PCA with as many components, pixels and a
        random order; if they have only attributes, the share of attributes that a query has in common with its nearest
        and with its five nearest images.

    Raises:
        UserError: if the metric or the database is unknown.
    """
    database = database or split
    if metric not in METRICS:
        raise UserError(f"metric must be one of {list(METRICS)}, got {metric!r}.")
    if database not in ("train", "val", "test"):
        raise UserError(f"database must be train, val or test, got {database!r}.")
    rows = spread_rows(LIMIT, len(run.prepare().data.images(database)))
    search = Search(run, split, database, rows, metric)
    table = None
    if group_labels(run.annotations(database)) is not None:
        table = precision_table(search, check_count(queries, "queries"))
    elif run.annotations(database).attributes is not None:
        table = attribute_table(search, check_count(queries, "queries"))
    check_count(count, "count")
    check_count(neighbors, "neighbors")
    figure, queried = draw_neighbors(search, images, count, neighbors, table_caption(search, table))
    if table is None:
        return ApplicationResult({}, {"neighbors": figure}, {}, examples={"queried": queried})
    return ApplicationResult(
        flatten_table(table), {"neighbors": figure}, {"retrieval": table}, examples={"queried": queried}
    )


def table_caption(search: Search, table: pd.DataFrame | None) -> str:
    """Return a caption with the size of the database and the first measure of every method."""
    caption = f"{search.metric} distance of codes to {len(search.rows)} {search.database} images"
    if table is None:
        return caption
    column = table.columns[1]
    annotations = search.run.annotations(search.database)
    if group_labels(annotations) is None:
        measure = column
    elif annotations.groups is None:
        measure = "nearest of the same class"
    else:
        measure = "nearest of the same person"
    values = ", ".join(f"{row['method']} {row[column]:.3f}" for row in table.to_dict("records"))
    return f"{caption}; {measure}: {values}"


def draw_neighbors(
    search: Search, images: str | None, count: int, neighbors: int, caption: str
) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per query: the query, then its nearest images with their distances.

    Neighbors of the same person or class are marked. The same images are returned as a table, see
    `examples.neighbors`.

    Args:
        search: the search.
        images: the user's own images as queries, or None for images of the query split.
        count: number of queries.
        neighbors: number of neighbors per query.
        caption: text below the title.
    """
    from autoencoders.figures.neighbors import neighbor_grid

    run = search.run
    batch, names = select_images(run, search.split, count, images)
    codes = run.encode(batch.x, batch.y)
    excluded = batch.index if images is None and search.within_split else None
    rows, distances = search_neighbors(search, codes, min(neighbors, len(search.rows) - 1), excluded)
    pictures = run.batch(search.database, rows.flatten()).x.unflatten(0, rows.shape)
    database_labels, query_labels = (group_labels(run.annotations(s)) for s in (search.database, search.split))
    matches = None
    if images is None and database_labels is not None and query_labels is not None:
        matches = (query_labels[batch.index][:, None] == database_labels[rows]).numpy()
    queries, nearest = to_numpy(batch.x), to_numpy(pictures)
    figure = neighbor_grid(queries, nearest, distances.numpy(), matches, names, run.title, caption)
    return figure, examples.neighbor_examples(names, queries, nearest, distances.numpy(), matches)


def search_neighbors(search: Search, codes: Tensor, k: int, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the rows of the database (Q, k) nearest to codes (Q, Z), and their distances.

    Args:
        search: the search.
        codes: the codes of the queries.
        k: number of neighbors.
        excluded: (Q,) a row of the database for each query, the query itself, that is left out; None: no row.
    """
    database = search.run.codes(search.database).z[search.rows]
    index, distances = nearest_neighbors(database, codes, k + (excluded is not None), search.metric)
    rows = search.rows[index]
    if excluded is None:
        return rows, distances
    kept_rows, kept_distances = [], []
    for i in range(len(rows)):
        keep = (rows[i] != excluded[i]).nonzero().flatten()[:k]
        kept_rows.append(rows[i][keep])
        kept_distances.append(distances[i][keep])
    return torch.stack(kept_rows), torch.stack(kept_distances)
