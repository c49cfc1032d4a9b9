"""Quality of retrieval: precision, mean average precision and shared attributes of the nearest images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, mean_and_error, spread_rows
from autoencoders.applications.representations import binary_attributes, representations
from autoencoders.metrics.retrieval import chance_quality, nearest_neighbors, ranking_quality
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, UserError

CHANCE_DRAWS = 100
"""Random database images per query that estimate the attributes shared by chance."""


@dataclass(frozen=True)
class Search:
    """A search for the images of one split among the images of another.

    Attributes:
        run: the run.
        split: the split of the queries.
        database: the split that is searched.
        rows: (M,) rows of the database that are searched, ascending.
        metric: `euclidean` or `cosine`.
    """

    run: Run
    split: str
    database: str
    rows: Tensor
    metric: str

    @property
    def within_split(self) -> bool:
        """True if the queries come from the database."""
        return self.split == self.database

    def positions(self, queries: Tensor) -> Tensor | None:
        """Return the positions of query rows (Q,) among the searched rows; None if they are of another split."""
        return torch.searchsorted(self.rows, queries) if self.within_split else None


def group_labels(annotations: Annotations) -> Tensor | None:
    """Return the label (N,) that relevant images share: the group, else the class, else None."""
    return annotations.classes if annotations.groups is None else annotations.groups


def precision_table(search: Search, limit: int) -> pd.DataFrame:
    """Return precision at 1 and 5 and mean average precision: a row per representation and one for chance.

    Args:
        search: the search.
        limit: maximum number of queries.

    Raises:
        UserError: if no query has a relevant image in the database.
    """
    run = search.run
    labels = group_labels(run.annotations(search.split))
    database_labels = group_labels(run.annotations(search.database).rows(search.rows))
    if labels is None or database_labels is None:
        raise UserError("This measure needs persons or classes, and these data have neither. Choose other data.")
    relevant = relevant_counts(search, labels, database_labels)
    queries = (relevant > 0).nonzero().flatten()
    if not len(queries):
        raise UserError(
            f"No image of {search.split} has another image of its person or class in {search.database}. "
            "Choose another database."
        )
    queries = queries[spread_rows(limit, len(queries))]
    own, pca = search.positions(queries), run.pca()
    database = representations(run, search.database, search.rows, pca)
    if own is None:
        features = representations(run, search.split, queries, pca)
    else:
        features = {name: z[own] for name, z in database.items()}
    qualities = {}
    for name, z in database.items():
        qualities[name] = ranking_quality(z, database_labels, features[name], labels[queries], own, search.metric)
    qualities["chance"] = chance_quality(relevant[queries], len(search.rows) - (own is not None))
    return quality_table(search, qualities, len(queries))


def relevant_counts(search: Search, labels: Tensor, database_labels: Tensor) -> Tensor:
    """Count the relevant images in the database for every image of the query split.

    Args:
        search: the search.
        labels: (N,) labels of the query split.
        database_labels: (M,) labels of the searched rows.

    Returns:
        (N,) counts without the query itself; 0 for images of the database that are not searched.
    """
    size = int(max(database_labels.max(), labels.max())) + 1
    counts = torch.bincount(database_labels, minlength=size)[labels]
    if search.within_split:
        searched = torch.isin(torch.arange(len(labels)), search.rows)
        counts = torch.where(searched, counts - 1, 0)
    return counts


def attribute_table(search: Search, limit: int) -> pd.DataFrame:
    """Return the share of binary attributes that neighbors share with the query: a row per representation and chance.

    Args:
        search: the search.
        limit: maximum number of queries.
    """
    run, pca = search.run, search.run.pca()
    attributes, _ = binary_attributes(run, (search.split, search.database))
    if search.within_split:
        queries = search.rows[spread_rows(limit, len(search.rows))]
    else:
        queries = spread_rows(limit, len(attributes[search.split]))
    own = search.positions(queries)
    database_attributes, query_attributes = attributes[search.database][search.rows], attributes[search.split][queries]
    features = representations(run, search.split, queries, pca)
    qualities = {}
    for name, z in representations(run, search.database, search.rows, pca).items():
        index, _ = nearest_neighbors(z, features[name], 5, search.metric, False if own is None else own)
        qualities[name] = {
            "shared attributes at 1": shared_attributes(database_attributes[index[:, :1]], query_attributes),
            "shared attributes at 5": shared_attributes(database_attributes[index], query_attributes),
        }
    generator = torch.Generator().manual_seed(0)
    random = torch.randint(len(search.rows), (len(queries), CHANCE_DRAWS), generator=generator)
    chance = shared_attributes(database_attributes[random], query_attributes)
    qualities["chance"] = {"shared attributes at 1": chance, "shared attributes at 5": chance}
    return quality_table(search, qualities, len(queries))


def shared_attributes(neighbors: Tensor, queries: Tensor) -> Tensor:
    """Return the share (Q,) of attributes that neighbors (Q, k, A) have in common with their query (Q, A).

    Unknown attributes (NaN) are left out.
    """
    same = (neighbors == queries[:, None]).float()
    known = neighbors.isfinite() & queries[:, None].isfinite()
    return torch.where(known, same, torch.nan).flatten(1).nanmean(1)


def quality_table(search: Search, qualities: dict[str, dict[str, Tensor]], queries: int) -> pd.DataFrame:
    """Average qualities (Q,) over the queries: a row per method."""
    rows: dict[str, dict[str, Any]] = {}
    for name, quality in qualities.items():
        rows[name] = {key: mean_and_error(values) for key, values in quality.items()}
        rows[name] |= {"queries": queries, "database": len(search.rows)}
    return comparison_table(rows)
