"""Tables of single images with their values, for dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.applications.base import spread_rows
from autoencoders.types import Batch
from autoencoders.utils.arrays import to_numpy

EACH = 50
"""Maximum number of images of each kind."""


def score_examples(
    kinds: Mapping[str, tuple[Batch, Mapping[str, np.ndarray]]], thresholds: Mapping[str, float], main: str
) -> pd.DataFrame:
    """Return one row per image: kind, image, whether the main score marks it as anomalous, and all scores.

    Args:
        kinds: name -> images, and score -> (N,) values; EACH evenly spaced rows of each kind are used.
        thresholds: score -> threshold for anomalies.
        main: the score that decides.
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
    """Return one row per query: name, image, number of matching neighbors, neighbors with distances.

    Args:
        names: Q names of the queries.
        images: (Q, C, H, W) queries.
        pictures: (Q, k, C, H, W) their neighbors, the nearest first.
        distance: (Q, k) distances of the neighbors.
        matched: (Q, k) bool, whether they show the same class or person, or None if unknown.
    """
    columns: dict[str, list] = {"query": names, "image": list(images)}
    if matched is not None:
        columns["same, share"] = matched.mean(1).tolist()
    for i in range(pictures.shape[1]):
        columns |= {f"nearest {i + 1}": list(pictures[:, i]), f"distance {i + 1}": distance[:, i].tolist()}
    return pd.DataFrame(columns)
