"""What applications share: numbers with their errors, tables with baselines, the user's own pictures."""

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
    """What the application that a config node names finds, its options of plain types checked first.

    Raises:
        UserError: where an option is of another type than the application takes, or the application says why not.
    """
    if not hasattr(run.model, "decode"):
        raise UserError(
            f"{name} asks an autoencoder, and {run.path} holds a {run.model.name}, which draws nothing. Give the run "
            f"of an autoencoder, and this one as classifier={run.path}."
        )
    check_options(f"application.{name}", node)
    return instantiate.build(node, run=run)


def mean_and_error(values: Tensor | np.ndarray) -> tuple[float, float]:
    """The mean of independent values (N,), and its standard error."""
    values = torch.as_tensor(np.asarray(values), dtype=torch.float64)
    error = values.std() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def bootstrap_error(
    statistic: Callable[[np.ndarray], float], count: int, seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Standard error of a statistic of `count` rows, by resampling them `resamples` times (Efron, 1979).

    Args:
        statistic: given (count,) row numbers, drawn with replacement; NaN where a draw does not define it.
        count: N.
        seed: of the draws.
        resamples: fewer where the statistic takes its time.
    """
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)])
    return float(np.nanstd(values, ddof=1))


def comparison(methods: Mapping[str, Mapping[str, Any]], first: str = "method") -> pd.DataFrame:
    """A table with a row per method: the model first, then its baselines.

    Args:
        methods: name -> column -> value; a pair (mean, standard error) becomes two columns, `x` and `x +-`.
        first: what the first column is called.
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


def flat(table: pd.DataFrame) -> dict[str, float]:
    """A comparison as flat metrics, `<column>/<row>`, numbers alone."""
    metrics = {}
    for _, row in table.iterrows():
        for key, value in list(row.items())[1:]:
            if isinstance(value, (int, float, np.number)) and math.isfinite(value):
                metrics[f"{key.replace(' +-', '_error')}/{row.iloc[0]}"] = float(value)
    return metrics


def spread_rows(count: int, total: int) -> Tensor:
    """`count` rows of a split of `total`, evenly apart: neighbors are often alike (one person, one class)."""
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def shown(run: Run, split: str, count: int, images: str | None) -> tuple[Batch, list[str]]:
    """What a figure shows: the user's own pictures where there are any, else rows of a split evenly apart.

    Returns:
        The batch, and a label for each image: a file's name, or the row.

    Raises:
        UserError: where the model is conditional and the pictures have no labels.
    """
    number_of_images(count, "count")
    if images is None:
        batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
        return batch, [str(i) for i in batch.index.tolist()]
    if run.model.context_size:
        raise UserError(
            f"{run.model.name} is conditioned on {run.model.labels.kind}, which your own pictures do not come with. "
            "Leave images out, or ask an unconditional model."
        )
    x, names = run.pictures(images)
    x, names = x[:count], names[:count]
    return Batch(x, x, None, torch.arange(len(x))), names


def number_of_images(value: int, name: str, least: int = 1) -> int:
    """An option that counts images, checked."""
    if not isinstance(value, int) or value < least:
        raise UserError(f"{name} must be a whole number from {least} up, and is {value}.")
    return value


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return ", ".join(map(str, names)) or "none"
