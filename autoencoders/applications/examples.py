"""Tables with one row per image, its scores or its nearest neighbors, for dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.applications.base import spread_rows
from autoencoders.types import Batch
from autoencoders.utils.arrays import to_numpy

EACH = 50
"""Maximum number of images per kind (such as normal images) in a table of scores."""


def score_examples(
    kinds: Mapping[str, tuple[Batch, Mapping[str, np.ndarray]]], thresholds: Mapping[str, float], main: str
) -> pd.DataFrame:
    """Return a table with one row per image: kind, image, anomalous or not, and all scores.

    Args:
        kinds: kind of images, such as `normal` -> (batch of N images, score name -> scores (N,)). The table contains at
            most EACH evenly spaced images per kind.
        thresholds: score name -> threshold.
        main: name of a score. The column `called anomalous` is True if this score exceeds its threshold.
    """
    tables = []
    for kind, (batch, scores) in kinds.items():
        rows = spread_rows(EACH, len(batch.x)).tolist()
        columns: dict[str, Any] = {"kind": kind, "image": list(to_numpy(batch.target[rows]))}
        columns["called anomalous"] = scores[main][rows] > thresholds[main]
        tables.append(pd.DataFrame(columns | {name: values[rows] for name, values in scores.items()}))
    return pd.concat(tables, ignore_index=True)


def neighbor_examples(
    names: list[str], images: np.ndarray, pictures: np.ndarray, distance: np.ndarray, matched: np.ndarray | None
) -> pd.DataFrame:
    """Return a table with one row per query image: its name, the image, and its k nearest neighbors with distances.

    Args:
        names: display names of the Q query images.
        images: query images (Q, C, H, W).
        pictures: neighbors of the queries (Q, k, C, H, W), nearest first.
        distance: distances (Q, k) between queries and neighbors.
        matched: bool (Q, k), whether a neighbor shows the same class or person as its query; None if unknown. The
            column `same, share` is the fraction of such neighbors.
    """
    columns: dict[str, list] = {"query": names, "image": list(images)}
    if matched is not None:
        columns["same, share"] = matched.mean(1).tolist()
    for i in range(pictures.shape[1]):
        columns |= {f"nearest {i + 1}": list(pictures[:, i]), f"distance {i + 1}": distance[:, i].tolist()}
    return pd.DataFrame(columns)
