"""Helpers of applications: means with errors, tables with baselines, images to show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.config import instantiate
from autoencoders.config.signatures import check_options
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch, UserError

RESAMPLES = 1000


def run_application(run: Run, name: str, node: Mapping[str, Any]) -> ApplicationResult:
    """Check the options of a configured application and run it.

    Raises:
        UserError: if an option has the wrong type, or the application does not fit the run.
    """
    if not hasattr(run.model, "decode"):
        raise UserError(
            f"application={name} needs the run of an autoencoder, got a {run.model.name} in {run.path}. Set run to an "
            f"autoencoder, and use this run as classifier={run.path}."
        )
    check_options(f"application.{name}", node)
    return instantiate.build(node, run=run)


def mean_and_error(values: Tensor | np.ndarray) -> tuple[float, float]:
    """Return the mean of independent values (N,), and its standard error."""
    values = torch.as_tensor(np.asarray(values), dtype=torch.float64)
    error = values.std() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def bootstrap_error(
    statistic: Callable[[np.ndarray], float], count: int, seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Return the bootstrap standard error of a statistic of `count` rows (Efron, 1979).

    Args:
        statistic: function of (count,) row numbers, sampled with replacement; NaN if a sample does not define it.
        count: N.
        seed: seed of the samples.
        resamples: number of samples.
    """
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)])
    return float(np.nanstd(values, ddof=1))


def comparison_table(methods: Mapping[str, Mapping[str, Any]], first: str = "method") -> pd.DataFrame:
    """Return a table with one row per method: the model first, then its baselines.

    Args:
        methods: name -> column -> value. A pair (mean, standard error) becomes two columns, `x` and `x +-`.
        first: header of the first column.
    """
    rows = []
    for name, columns in methods.items():
        row: dict[str, Any] = {first: name}
        for key, value in columns.items():
            if isinstance(value, tuple):
                row[key], row[f"{key} +-"] = value
            else:
                row[key] = value
        rows.append(row)
    return pd.DataFrame(rows)


def flatten_table(table: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of a comparison table as metrics, `<column>/<row>`."""
    metrics = {}
    for _, row in table.iterrows():
        for key, value in list(row.items())[1:]:
            if isinstance(value, (int, float, np.number)) and math.isfinite(value):
                metrics[f"{str(key).replace(' +-', '_error')}/{row.iloc[0]}"] = float(value)
    return metrics


def spread_rows(count: int, total: int) -> Tensor:
    """Return `count` evenly spaced rows of `total`: neighboring rows are often similar (one person, one class)."""
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def select_images(run: Run, split: str, count: int, images: str | None) -> tuple[Batch, list[str]]:
    """Return the images for a figure: the user's own images if given, else evenly spaced rows of a split.

    Returns:
        The batch, and a label for each image: the file name, or the row.

    Raises:
        UserError: if the model is conditional and the images have no labels.
    """
    check_count(count, "count")
    if images is None:
        batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
        return batch, [str(i) for i in batch.index.tolist()]
    if run.model.labels is not None and run.model.context_size:
        raise UserError(
            f"{run.model.name} is conditioned on {run.model.labels.kind}, which your own images do not have. Omit "
            "images, or use an unconditional model."
        )
    x, names = run.read_images(images)
    x, names = x[:count], names[:count]
    return Batch(x, x, None, torch.arange(len(x))), names


def check_count(value: int, name: str, least: int = 1) -> int:
    """Return an option that counts images, after a check."""
    if not isinstance(value, int) or value < least:
        raise UserError(f"{name} must be an integer of at least {least}, got {value}.")
    return value


def join_names(names: Sequence[str]) -> str:
    """Return names as a comma-separated list."""
    return ", ".join(map(str, names)) or "none"
