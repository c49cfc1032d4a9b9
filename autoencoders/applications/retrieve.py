"""Retrieval: find the images with the nearest codes, and measure how often they show the same person or class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications import examples
from autoencoders.applications.base import (
    check_count,
    flatten_table,
    refuse_own_images,
    select_images,
    spread_rows,
)
from autoencoders.applications.image_set import ALL, ImageSet, own_images, selected_splits, split_images
from autoencoders.applications.own_neighbors import agreement_table, neighbor_table, own_neighbors
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
    """Plot queries with their nearest images, and measure precision and mean average precision on many queries.

    With `images`, find the nearest images of all your own images too.

    An image is relevant to a query if both images show the same person (or another group of the data). If the data has
    no groups, both images must have the same class. A query is excluded from its own results. Queries without a
    relevant image in the database are not measured. If no query is left, the measures are NaN.

    Args:
        run: run whose codes are compared.
        split: split of the queries.
        images: image file, or folder of your own images. The first ones are plotted as queries.
        database: split that is searched; None for the split of the queries, or for all splits if `images` is given;
            `all` for all splits, only with `images`.
        metric: distance between codes, and between the features of the baselines: `euclidean` or `cosine`.
        count: number of queries that are plotted.
        neighbors: number of nearest images that are plotted per query, and listed per image of your own.
        queries: maximum number of queries that are measured.

    Returns:
        Figure `neighbors`, and the same images as examples `queried`. Table `retrieval` for codes, PCA with as many
        components as latents, whitened PCA, pixels, and chance, and for a supervised autoencoder LDA of PCA coordinates
        with the same labels. If the data has groups or classes, the table contains precision at 1 and 5 and mean
        average precision. If the data has only attributes, the table contains the fraction of attributes that a query
        has in common with its nearest image and with its five nearest images.
        With `images`: table `neighbors` with one row per image of your own and neighbor: file, rank, split, index, file
        and label of the neighbor, and distance between the codes; table `neighbors_baselines` with the neighbors of
        PCA, whitened PCA and pixels; table `own`: how often the nearest image of a baseline is the nearest by code.

    Raises:
        UserError: if an option is unknown or out of range, or the database contains only the query itself.
    """
    check_count(count, "count")
    check_count(neighbors, "neighbors")
    if images is not None:
        refuse_own_images(run)
    searched = split_images_of(database, images)
    database = split if database in (None, ALL) else database
    if metric not in METRICS:
        raise UserError(f"metric must be one of {list(METRICS)}, got {metric!r}.")
    rows = spread_rows(LIMIT, len(run.prepare().data.images(database)))
    if len(rows) < 2 and database == split:
        raise UserError(
            f"database must contain an image other than the query, got split={database} with {len(rows)} image. Set "
            "application.retrieve.database=train."
        )
    search = Search(run, split, database, rows, metric)
    table = None
    if group_labels(run.annotations(database)) is not None:
        table = precision_table(search, check_count(queries, "queries"))
    elif run.annotations(database).attributes is not None:
        table = attribute_table(search, check_count(queries, "queries"))
    result = ApplicationResult()
    if table is not None:
        result.tables["retrieval"] = table
        result.metrics.update(flatten_table(table))
    if images is not None:
        add_own_neighbors(result, own_images(run, images), split_images(run, searched), metric, count, neighbors)
        return result
    figure, queried = draw_neighbors(search, count, neighbors, table_caption(search, table))
    result.figures["neighbors"], result.examples["queried"] = figure, queried
    return result


def split_images_of(database: str | None, images: str | None) -> tuple[str, ...]:
    """Return the splits that are searched for the user's own images.

    Args:
        database: value of the option `database`.
        images: value of the option `images`.

    Raises:
        UserError: if `database` is unknown, or `all` without images of the user.
    """
    splits = selected_splits(database or ALL, "database")
    if database == ALL and images is None:
        raise UserError("database=all needs images of your own. Set images, or set database to train, val or test.")
    return splits


def add_own_neighbors(
    result: ApplicationResult, queries: ImageSet, searched: ImageSet, metric: str, count: int, neighbors: int
) -> None:
    """Add the neighbors of the user's own images to a result: tables, figure and examples; see `retrieve`.

    Args:
        result: result of the application.
        queries: the user's own images.
        searched: images of splits.
        metric: distance between features.
        count: maximum number of queries in the figure.
        neighbors: number of neighbors per query.
    """
    from autoencoders.figures.neighbors import neighbor_grid

    run = queries.run
    found = own_neighbors(queries, searched, metric, neighbors)
    agreement = agreement_table(found, len(searched))
    baselines = []
    for name, nearest in list(found.items())[1:]:
        table = neighbor_table(queries, searched, nearest)
        table.insert(0, "method", name)
        baselines.append(table)
    by_code = found[run.model.name]
    result.tables |= {
        "own": agreement,
        "neighbors": neighbor_table(queries, searched, by_code),
        "neighbors_baselines": pd.concat(baselines, ignore_index=True),
    }
    result.metrics.update(flatten_table(agreement))
    few = torch.arange(min(count, len(queries)))
    names = [queries.names[i].rpartition("/")[2] for i in few.tolist()]
    pictures, nearest_pictures = to_numpy(queries.pictures(few)), to_numpy(searched.pictures(by_code.rows[few]))
    distances = by_code.distances[few].numpy()
    values = ", ".join(f"{row['method']} {row['nearest as by code']:.3g}" for row in agreement.to_dict("records")[1:])
    caption = f"{metric} distance, {len(searched):,} {', '.join(searched.spans)} images; same nearest image: {values}"
    figure = neighbor_grid(pictures, nearest_pictures, distances, None, names, run.title, caption)
    result.figures["neighbors"] = figure
    result.examples["queried"] = examples.neighbor_examples(names, pictures, nearest_pictures, distances, None)


def table_caption(search: Search, table: pd.DataFrame | None) -> str:
    """Return a caption with the number of searched images and the first metric of every method.

    Args:
        search: splits and distance of the search.
        table: table `retrieval`; None if the data has no labels.
    """
    caption = f"{search.metric} distance, {len(search.rows)} {search.database} images"
    if table is None:
        return caption
    column = table.columns[1]
    annotations = search.run.annotations(search.database)
    if group_labels(annotations) is None:
        measure = column
    elif annotations.groups is None:
        measure = "nearest image of the same class"
    else:
        measure = "nearest image of the same person"
    values = ", ".join(f"{row['method']} {row[column]:.3f}" for row in table.to_dict("records"))
    return f"{caption}; {measure}: {values}"


def draw_neighbors(search: Search, count: int, neighbors: int, caption: str) -> tuple[Figure, pd.DataFrame]:
    """Plot one row per query: the query, then its nearest images with their distances.

    Neighbors of the same person or class are marked.

    Args:
        search: splits and distance of the search.
        count: number of queries.
        neighbors: number of neighbors per query.
        caption: text below the title.

    Returns:
        The figure, and a table with the same images, see `examples.neighbor_examples`.
    """
    from autoencoders.figures.neighbors import neighbor_grid

    run = search.run
    batch, names = select_images(run, search.split, count, None)
    codes = run.encode(batch.x, batch.y)
    excluded = batch.index if search.within_split else None
    rows, distances = search_neighbors(search, codes, min(neighbors, len(search.rows) - 1), excluded)
    pictures = run.batch(search.database, rows.flatten()).x.unflatten(0, rows.shape)
    database_labels, query_labels = (group_labels(run.annotations(s)) for s in (search.database, search.split))
    matches = None
    if database_labels is not None and query_labels is not None:
        matches = (query_labels[batch.index][:, None] == database_labels[rows]).numpy()
    queries, nearest = to_numpy(batch.x), to_numpy(pictures)
    figure = neighbor_grid(queries, nearest, distances.numpy(), matches, names, run.title, caption)
    return figure, examples.neighbor_examples(names, queries, nearest, distances.numpy(), matches)


def search_neighbors(search: Search, codes: Tensor, k: int, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
    """Find the k database images whose codes are nearest to the codes of the queries.

    Args:
        search: splits and distance of the search.
        codes: (Q, Z) codes of the queries.
        k: number of neighbors.
        excluded: (Q,) index of each query in the database, which is excluded from the result; None to exclude nothing.

    Returns:
        Indices (Q, k) of the images in the database, nearest first, and their distances (Q, k).
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
