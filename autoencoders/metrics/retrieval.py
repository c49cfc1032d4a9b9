"""Nearest neighbors, and metrics for a ranking of images: precision and average precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

METRICS = ("euclidean", "cosine")


def feature_distances(queries: Tensor, database: Tensor, metric: str = "euclidean") -> Tensor:
    """Return the distances (Q, N) between query features (Q, D) and database features (N, D).

    Args:
        queries: (Q, D) features.
        database: (N, D) features.
        metric: `euclidean`, or `cosine` for 1 - cosine similarity, which is between 0 and 2.

    Raises:
        UserError: if `metric` is unknown.
    """
    if metric == "cosine":
        return 1 - functional.normalize(queries, dim=1) @ functional.normalize(database, dim=1).T
    if metric != "euclidean":
        raise UserError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    return torch.cdist(queries, database)


def nearest_neighbors(
    database: Tensor, queries: Tensor, k: int, metric: str = "euclidean", itself: bool | Tensor = False
) -> tuple[Tensor, Tensor]:
    """Find the k nearest neighbors of each query in a database.

    Args:
        database: (N, D) features.
        queries: (Q, D) features.
        k: number of neighbors per query. If there are fewer neighbors, all of them are returned.
        metric: `euclidean` or `cosine`; see `feature_distances`.
        itself: which database features are the queries themselves, so that no query is its own neighbor. True: query i
            is database feature i. A tensor (Q,): indices of the queries in the database. False: the queries are not in
            the database.

    Returns:
        Indices (Q, k) of the neighbors in the database, nearest first, and their distances (Q, k).
    """
    rows = torch.arange(len(queries)) if itself is True else itself
    k = min(k, len(database) - isinstance(rows, Tensor))
    found = []
    for part in chunk_slices(len(queries), 8 * len(database)):
        d = feature_distances(queries[part], database, metric)
        if isinstance(rows, Tensor):
            d[torch.arange(len(d)), rows[part]] = torch.inf
        found.append(d.topk(k, largest=False))
    values, index = zip(*found, strict=True)
    return torch.cat(index), torch.cat(values)


def neighbor_distances(queries: Tensor, database: Tensor, index: Tensor, metric: str = "euclidean") -> Tensor:
    """Return the distances (Q, k) between queries and given database features, with small rounding errors.

    `feature_distances` uses products of matrices, which give two equal features a distance slightly above 0. Here,
    equal features have the distance 0.

    Args:
        queries: (Q, D) features.
        database: (N, D) features.
        index: (Q, k) indices into the database.
        metric: `euclidean` or `cosine`; see `feature_distances`.
    """
    if metric == "cosine":
        queries, database = functional.normalize(queries, dim=1), functional.normalize(database, dim=1)
    found = []
    for part in chunk_slices(len(queries), 4 * index.shape[1] * queries.shape[1]):
        squares = (queries[part, None] - database[index[part]]).square().sum(2)
        found.append(squares / 2 if metric == "cosine" else squares.sqrt())
    return torch.cat(found)


def ranking_quality(
    database: Tensor, database_labels: Tensor, queries: Tensor, labels: Tensor, rows: Tensor | None, metric: str
) -> dict[str, Tensor]:
    """Rank a database by the distance to each query, and return precision at 1, precision at 5 and average precision.

    A database image is relevant to a query if both have the same class. Average precision is the precision at the rank
    of a relevant image, averaged over all relevant images.

    Args:
        database: (N, D) features.
        database_labels: (N,) int64 class indices.
        queries: (Q, D) features. Each query needs at least one relevant image in the database.
        labels: (Q,) int64 class indices of the queries.
        rows: (Q,) indices of the queries in the database, or None if the queries are not in the database. A query is
            excluded from its own ranking.
        metric: `euclidean` or `cosine`; see `feature_distances`.

    Returns:
        A dict with the keys `precision at 1`, `precision at 5` and `map`, and one value (Q,) per query.
    """
    parts = []
    for part in chunk_slices(len(queries), 8 * len(database)):
        d = feature_distances(queries[part], database, metric)
        relevant = labels[part, None] == database_labels
        if rows is not None:
            own = (torch.arange(len(d)), rows[part])
            d[own], relevant[own] = torch.inf, False
        hits = relevant.gather(1, d.argsort(dim=1, stable=True)).double()  # (q, N), sorted by rank
        precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
        average = (precision * hits).sum(1) / hits.sum(1)
        parts.append(torch.stack([hits[:, 0], hits[:, :5].mean(1), average]))
    return dict(zip(("precision at 1", "precision at 5", "map"), torch.cat(parts, dim=1), strict=True))


def chance_quality(relevant: Tensor, total: int) -> dict[str, Tensor]:
    """Return the expected metrics of `ranking_quality` for a random ranking, in closed form.

    The expected precision is R / N. The expected average precision is (H_N + (R - 1) / (N - 1) * (N - H_N)) / N, where
    H_N is the N-th harmonic number (Bestgen, 2015, "Exact expected average precision of the random baseline for system
    evaluation").

    Args:
        relevant: (Q,) R, the number of relevant images for each query.
        total: N, the number of database images without the query.

    Returns:
        A dict with the keys `precision at 1`, `precision at 5` and `map`, and one value (Q,) per query.
    """
    relevant, harmonic = relevant.double(), math.fsum(1 / i for i in range(1, total + 1))
    average = (harmonic + (relevant - 1) / max(total - 1, 1) * (total - harmonic)) / total
    return {"precision at 1": relevant / total, "precision at 5": relevant / total, "map": average}
