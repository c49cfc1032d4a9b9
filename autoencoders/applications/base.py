"""Helpers for applications: option checks, means with standard errors, comparison tables, selection of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.config import instantiate
from autoencoders.config.signatures import check_options
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch, UserError
from autoencoders.utils.texts import MAX_SCALARS

RESAMPLES = 1000
"""Default number of bootstrap samples."""
FOR_ALL_MODELS = ("export",)
"""Applications that also accept the run of a classifier."""


def run_application(run: Run, name: str, node: Mapping[str, Any]) -> ApplicationResult:
    """Check the options of an application in the config, and apply it to a run.

    Args:
        run: trained run that the application is applied to.
        name: name of the application, for error messages.
        node: config of the application, with `_target_`.

    Raises:
        UserError: if an option has the wrong type, or the application does not support the run.
    """
    if name not in FOR_ALL_MODELS and not hasattr(run.model, "decode"):
        raise UserError(
            f"application={name} needs the run of an autoencoder, got a {run.model.name} in {run.path}. Set run to the "
            f"folder of a trained autoencoder. To use this run as the classifier, set classifier={run.path}."
        )
    check_options(f"application.{name}", node)
    return instantiate.build(node, run=run)


def mean_and_error(values: Tensor | np.ndarray) -> tuple[float, float]:
    """Return the mean of independent values (N,) and its standard error, which is NaN for N = 1."""
    values = torch.as_tensor(np.asarray(values), dtype=torch.float64)
    error = values.std() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def column_variances(values: Tensor) -> Tensor:
    """Return the sample variances (D,) of the columns of `values` (N, D), which are NaN for N = 1."""
    return values.var(0) if len(values) > 1 else torch.full_like(values[0], math.nan)


def bootstrap_error(
    statistic: Callable[[np.ndarray], float], count: int, seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Return the bootstrap standard error of a statistic of N values (Efron, 1979), which is NaN for N < 2.

    Args:
        statistic: function that computes the statistic from N indices, which are sampled with replacement from 0 to
            N - 1. It returns NaN if the statistic is undefined for these indices.
        count: N, the number of values.
        seed: seed of the bootstrap samples.
        resamples: number of bootstrap samples.
    """
    if count < 2:
        return math.nan
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)])
    values = values[~np.isnan(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def comparison_table(methods: Mapping[str, Mapping[str, Any]], first: str = "method") -> pd.DataFrame:
    """Return a table with one row per method: the model first, then its baselines and references.

    A baseline is a method that was measured on the same images and must be beaten. A reference is only shown. A target
    is a fixed number.

    Args:
        methods: method name -> column name -> value. A value (mean, standard error) fills two columns, `<column>` and
            `<column> +-`.
        first: header of the first column, which contains the method names.
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
    """Return the finite numbers of a comparison table as metrics.

    A metric is named `<column>/<row name>`, and a standard error `<column>_error/<row name>`. The row name is the cell
    in the first column, such as the method. Of a table with many rows, such as one per class, only the first
    MAX_SCALARS rows become metrics.
    """
    metrics = {}
    for _, row in table.iloc[:MAX_SCALARS].iterrows():
        for key, value in list(row.items())[1:]:
            if isinstance(value, (int, float, np.number)) and math.isfinite(value):
                metrics[f"{str(key).replace(' +-', '_error')}/{row.iloc[0]}"] = float(value)
    return metrics


def refuse_validation(split: str, choice: str) -> None:
    """Raise UserError if an application is applied to the split on which it makes a choice.

    Args:
        split: split on which the application reports numbers.
        choice: what is chosen on validation images, such as `the threshold`.
    """
    if split == "val":
        raise UserError(
            f"split must be test or train, got val, because {choice} is chosen on validation images. Set split=test."
        )


def spread_rows(count: int, total: int) -> Tensor:
    """Return `count` evenly spaced indices from 0 to `total` - 1, or all indices if `count` exceeds `total`.

    Neighboring images of a split often show the same person or class. Evenly spaced images are more diverse.
    """
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def select_images(run: Run, split: str, count: int, images: str | None) -> tuple[Batch, list[str]]:
    """Return images for a figure: the user's own images if given, else evenly spaced images of a split.

    Args:
        run: run whose data module prepares the images.
        split: split of the images if `images` is None.
        count: maximum number of images.
        images: path of an image file or of a folder of images, or None.

    Returns:
        The batch, and one display name per image: the file name, or the index in the split.

    Raises:
        UserError: if `images` is given and the model is conditional, because the user's own images have no labels.
    """
    check_count(count, "count")
    if images is None:
        batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
        return batch, [str(i) for i in batch.index.tolist()]
    refuse_own_images(run)
    x, names = run.read_images(images)
    x, names = x[:count], names[:count]
    return Batch(x, x, None, torch.arange(len(x))), names


def refuse_own_images(run: Run) -> None:
    """Raise UserError if the model is conditional, because the user's own images have no labels."""
    if run.model.labels is not None and run.model.context_size:
        raise UserError(
            f"{run.model.name} is conditioned on {run.model.labels.kind}, but your own images have no labels. Remove "
            "images, or use the run of an unconditional model."
        )


def output_folder(run: Run, folder: str | None, name: str) -> Path:
    """Return the folder `name` for files that an application writes itself.

    Args:
        run: run to which the application is applied.
        folder: value of the option `folder`; None for the run folder.
        name: name of the application.
    """
    return Path(folder or run.results_folder) / name


def check_count(value: int, name: str, least: int = 1) -> int:
    """Return the value of an option if it is an integer >= `least`.

    Raises:
        UserError: if the value is not an integer, or is below `least`. The message contains the option's name.
    """
    if not isinstance(value, int) or value < least:
        raise UserError(f"{name} must be an integer >= {least}, got {value}.")
    return value
