"""Tables of retrieval quality: precision, mean average precision, and attributes shared with the nearest images."""

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

QUALITIES = ("precision at 1", "precision at 5", "map")
"""Keys of `metrics.retrieval.ranking_quality`."""
NOTHING = torch.tensor([torch.nan])
"""Qualities if there is no query; their mean is NaN."""
CHANCE_DRAWS = 100
"""Number of random database images per query, from which the fraction of attributes shared by chance is estimated."""


@dataclass(frozen=True)
class Search:
    """Settings of a search: images of one split (queries) are compared with images of a split (database).

    Attributes:
        run: run whose codes and data are used.
        split: split of the queries.
        database: split that is searched; it may be the split of the queries.
        rows: (M,) indices of the searched images in the database split, ascending.
        metric: distance between features, `euclidean` or `cosine`.
    """

    run: Run
    split: str
    database: str
    rows: Tensor
    metric: str

    @property
    def within_split(self) -> bool:
        """Return whether the queries and the database are from the same split."""
        return self.split == self.database

    def positions(self, queries: Tensor) -> Tensor | None:
        """Return the positions (Q,) of the query images in `rows`; None if the database is another split.

        Args:
            queries: (Q,) indices of the query images in their split.
        """
        return torch.searchsorted(self.rows, queries) if self.within_split else None


def group_labels(annotations: Annotations) -> Tensor | None:
    """Return the labels (N,) that define relevant images: the groups, else the classes, else None.

    An image is relevant to a query if both images have the same label.
    """
    return annotations.classes if annotations.groups is None else annotations.groups


def precision_table(search: Search, limit: int) -> pd.DataFrame:
    """Return precision at 1 and 5 and mean average precision, with one row per representation and one for chance.

    Args:
        search: splits and distance of the search.
        limit: maximum number of queries.

    Returns:
        The table. The qualities are NaN if no query has a relevant image in the database.
    """
    run = search.run
    labels = group_labels(run.annotations(search.split))
    database_labels = group_labels(run.annotations(search.database).rows(search.rows))
    if labels is None or database_labels is None:
        raise UserError("Precision needs persons or classes, but the data has neither. Choose a run with other data.")
    relevant = relevant_counts(search, labels, database_labels)
    queries = (relevant > 0).nonzero().flatten()
    if not len(queries):
        names = [*representations(run, search.database, search.rows[:1]), "chance"]
        return quality_table(search, {name: dict.fromkeys(QUALITIES, NOTHING) for name in names}, 0)
    queries = queries[spread_rows(limit, len(queries))]
    own = search.positions(queries)
    database = representations(run, search.database, search.rows)
    if own is None:
        features = representations(run, search.split, queries)
    else:
        features = {name: z[own] for name, z in database.items()}
    qualities = {}
    for name, z in database.items():
        qualities[name] = ranking_quality(z, database_labels, features[name], labels[queries], own, search.metric)
    qualities["chance"] = chance_quality(relevant[queries], len(search.rows) - (own is not None))
    return quality_table(search, qualities, len(queries))


def relevant_counts(search: Search, labels: Tensor, database_labels: Tensor) -> Tensor:
    """Return, for every image of the query split, the number of relevant images in the database.

    Args:
        search: splits and distance of the search.
        labels: (N,) labels of all images in the query split.
        database_labels: (M,) labels of the searched images.

    Returns:
        (N,) numbers of relevant images, without the query itself. If the queries are from the database split, the
        number is 0 for images that are not searched.
    """
    size = int(max(database_labels.max(), labels.max())) + 1
    counts = torch.bincount(database_labels, minlength=size)[labels]
    if search.within_split:
        searched = torch.isin(torch.arange(len(labels)), search.rows)
        counts = torch.where(searched, counts - 1, 0)
    return counts


def attribute_table(search: Search, limit: int) -> pd.DataFrame:
    """Return the fraction of binary attributes that a query has in common with its nearest images.

    The table has one row per representation and one row for random images (chance).

    Args:
        search: splits and distance of the search.
        limit: maximum number of queries.
    """
    run = search.run
    attributes, _ = binary_attributes(run, (search.split, search.database))
    if search.within_split:
        queries = search.rows[spread_rows(limit, len(search.rows))]
    else:
        queries = spread_rows(limit, len(attributes[search.split]))
    own = search.positions(queries)
    database_attributes, query_attributes = attributes[search.database][search.rows], attributes[search.split][queries]
    features = representations(run, search.split, queries)
    qualities = {}
    for name, z in representations(run, search.database, search.rows).items():
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
    """Return the fraction (Q,) of equal attributes between k neighbors (Q, k, A) and their query (Q, A).

    Unknown attributes (NaN) are ignored.
    """
    same = (neighbors == queries[:, None]).float()
    known = neighbors.isfinite() & queries[:, None].isfinite()
    return torch.where(known, same, torch.nan).flatten(1).nanmean(1)


def quality_table(search: Search, qualities: dict[str, dict[str, Tensor]], queries: int) -> pd.DataFrame:
    """Return a table with the mean of each quality over the queries and its standard error, with one row per method.

    Args:
        search: splits and distance of the search.
        qualities: name of the method -> name of the quality -> values (Q,) for the queries.
        queries: number of queries.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, quality in qualities.items():
        rows[name] = {key: mean_and_error(values) for key, values in quality.items()}
        rows[name] |= {"queries": queries, "database": len(search.rows)}
    return comparison_table(rows)
