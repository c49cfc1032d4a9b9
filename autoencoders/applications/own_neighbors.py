"""Nearest images of splits for each of the user's own images, by code and by the baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, mean_and_error
from autoencoders.applications.image_set import ImageSet
from autoencoders.applications.representations import code_baselines, pixels
from autoencoders.metrics.retrieval import nearest_neighbors, neighbor_distances
from autoencoders.runs.run import Run
from autoencoders.types import Batch

ROWS = 2000
"""Number of searched images whose features are in memory at a time."""
Encoder = Callable[[Batch], Tensor]
"""Function that returns features (N, D) of the images of a batch."""


class Neighbors(NamedTuple):
    """The k nearest images of each of Q queries.

    Attributes:
        rows: (Q, k) rows of the images in the table of the searched images, nearest first.
        distances: (Q, k) distances.
    """

    rows: Tensor
    distances: Tensor


def image_encoders(run: Run) -> dict[str, Encoder]:
    """Return name of the representation -> function that computes it: codes, their baselines, and pixels."""

    def encoder(encode: Callable[[Tensor], Tensor]) -> Encoder:
        return lambda batch: encode(batch.x)

    encoders = {pca.name: encoder(pca.encode) for pca in code_baselines(run)}
    return {run.model.name: lambda batch: run.encode(batch.x, batch.y)} | encoders | {"pixels": encoder(pixels)}


def own_neighbors(queries: ImageSet, searched: ImageSet, metric: str, k: int) -> dict[str, Neighbors]:
    """Find the k nearest images of each query, with one result per representation and the model first.

    Args:
        queries: the user's own images.
        searched: images of splits.
        metric: distance between features, `euclidean` or `cosine`.
        k: number of neighbors per query.
    """
    encoders, k = image_encoders(queries.run), min(k, len(searched))
    features = {name: torch.cat([encode(b) for b in queries.batches()]) for name, encode in encoders.items()}
    found = {name: Neighbors(torch.empty(len(queries), 0).long(), torch.empty(len(queries), 0)) for name in encoders}
    start = 0
    for batch in searched.batches(ROWS):
        for name, encode in encoders.items():
            chunk = encode(batch)
            index, _ = nearest_neighbors(chunk, features[name], k, metric)
            distances = neighbor_distances(features[name], chunk, index, metric)
            rows = torch.cat([found[name].rows, start + index], 1)
            distances, order = torch.cat([found[name].distances, distances], 1).sort(dim=1, stable=True)
            found[name] = Neighbors(rows.gather(1, order)[:, :k], distances[:, :k])
        start += len(batch.x)
    return found


def neighbor_table(queries: ImageSet, searched: ImageSet, found: Neighbors) -> pd.DataFrame:
    """Return one row per query and neighbor: file of the query, rank, split, index, file and labels, and distance."""
    count, k = found.rows.shape
    columns = [name for name in ("split", "index", "file", "group", "class") if name in searched.table]
    nearest = searched.table.iloc[found.rows.flatten().numpy()][columns].reset_index(drop=True)
    table = pd.DataFrame(
        {"query": [name for name in queries.names for _ in range(k)], "rank": list(range(1, k + 1)) * count}
    )
    return table.join(nearest).assign(distance=found.distances.flatten().numpy())


def agreement_table(found: dict[str, Neighbors], searched: int) -> pd.DataFrame:
    """Return a table with one row per representation: how often its nearest image is the nearest image by code.

    Args:
        found: representation -> neighbors, the model first.
        searched: number of searched images.
    """
    first = next(iter(found.values())).rows[:, 0]
    rows = {}
    sizes = {"queries": len(first), "searched": searched}
    for name, (index, _) in found.items():
        rows[name] = {"nearest as by code": mean_and_error((index[:, 0] == first).float()), **sizes}
    return comparison_table({**rows, "chance": {"nearest as by code": 1 / searched, **sizes}})
