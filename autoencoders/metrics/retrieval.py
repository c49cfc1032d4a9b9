"""Nearest neighbors, and metrics of a ranking."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

METRICS = ("euclidean", "cosine")


def feature_distances(queries: Tensor, database: Tensor, metric: str = "euclidean") -> Tensor:
    """Return (Q, N) distances of features (Q, D) to features (N, D).

    `euclidean`, or `cosine`: 1 - cosine of the angle, in [0, 2].
    """
    if metric == "cosine":
        return 1 - functional.normalize(queries, dim=1) @ functional.normalize(database, dim=1).T
    if metric != "euclidean":
        raise UserError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    return torch.cdist(queries, database)


def nearest_neighbors(
    database: Tensor, queries: Tensor, k: int, metric: str = "euclidean", itself: bool | Tensor = False
) -> tuple[Tensor, Tensor]:
    """Return the k nearest rows of a database.

    Args:
        database: (N, D).
        queries: (Q, D).
        k: number of neighbors, at most N.
        metric: see `feature_distances`.
        itself: True if query i is database row i, or (Q,) the rows of the queries in the database; these are excluded.

    Returns:
        Their rows (Q, k), nearest first, and their distances (Q, k).
    """
    rows = torch.arange(len(queries)) if itself is True else itself
    found = []
    for part in chunk_slices(len(queries), 8 * len(database)):
        d = feature_distances(queries[part], database, metric)
        if isinstance(rows, Tensor):
            d[torch.arange(len(d)), rows[part]] = torch.inf
        found.append(d.topk(min(k, len(database)), largest=False))
    values, index = zip(*found, strict=True)
    return torch.cat(index), torch.cat(values)


def ranking_quality(
    database: Tensor, database_labels: Tensor, queries: Tensor, labels: Tensor, rows: Tensor | None, metric: str
) -> dict[str, Tensor]:
    """Return precision at 1 and 5 and average precision of every query.

    Average precision is the mean, over the relevant images, of the precision at the rank of each.

    Args:
        database: (N, D).
        database_labels: (N,) int64. A database image is relevant to a query of the same label.
        queries: (Q, D), each with at least one relevant image in the database.
        labels: (Q,) int64.
        rows: (Q,) rows of the queries in the database, which are excluded; None if they are not in it.
        metric: see `feature_distances`.

    Returns:
        `precision at 1`, `precision at 5`, `map`, (Q,) each.
    """
    parts = []
    for part in chunk_slices(len(queries), 8 * len(database)):
        d = feature_distances(queries[part], database, metric)
        relevant = labels[part, None] == database_labels
        if rows is not None:
            own = (torch.arange(len(d)), rows[part])
            d[own], relevant[own] = torch.inf, False
        hits = relevant.gather(1, d.argsort(dim=1, stable=True)).double()  # (q, N) by rank
        precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
        average = (precision * hits).sum(1) / hits.sum(1)
        parts.append(torch.stack([hits[:, 0], hits[:, :5].mean(1), average]))
    return dict(zip(("precision at 1", "precision at 5", "map"), torch.cat(parts, dim=1), strict=True))


def chance_quality(relevant: Tensor, total: int) -> dict[str, Tensor]:
    """Return the expected metrics of a random order, in closed form.

    precision = R / N; average precision = (H_N + (R - 1) / (N - 1) * (N - H_N)) / N with the harmonic number H_N
    (Bestgen, 2015, "Exact expected average precision of the random baseline for system evaluation").

    Args:
        relevant: (Q,) R, the number of relevant images of each query.
        total: N, the size of the database without the query.
    """
    relevant, harmonic = relevant.double(), math.fsum(1 / i for i in range(1, total + 1))
    average = (harmonic + (relevant - 1) / max(total - 1, 1) * (total - harmonic)) / total
    return {"precision at 1": relevant / total, "precision at 5": relevant / total, "map": average}
