"""Tables of metrics: one row per run with baselines, and means over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from autoencoders.config.diff import lookup
from autoencoders.reports.comparison import SEED_KEYS, describe_settings, group_by_settings
from autoencoders.reports.metric_info import BASELINES, get_metric_info
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Cell, Column, Row, Table
from autoencoders.types import UserError
from autoencoders.utils.statistics import mean_and_deviation

DEFAULT_METRICS = ("neg_elbo", "distortion", "rate", "mse", "psnr", "active_units", "accuracy", "auroc")
"""Metrics of the default columns."""

SPLIT_TITLES = {"test": "Test split", "val": "Validation split, best epoch"}

MAX_LISTED_METRICS = 60
"""Largest number of metrics listed in an error message."""

Value = tuple[float | None, float | None]
"""A value and its standard error."""


def default_columns(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Return header -> metric of the default columns: of the test split, or of validation if no run was tested."""
    split = "test" if any(f"test/{name}" in run.metrics for run in runs for name in DEFAULT_METRICS) else "val"
    return {name.replace("_", " "): f"{split}/{name}" for name in DEFAULT_METRICS}


def results_table(
    runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None, title: str | None = None
) -> Table:
    """Create a table with one row per run and one column per metric, each followed by its baselines.

    Args:
        runs: in order.
        columns: header -> metric of `metrics.json` or `<application>/<metric>`. The last component `model` stands for
            the row of the run's own model, and `PCA` for PCA of any size. Default: `default_columns`.
        title: one line above the table; by default the split.

    Raises:
        UserError: if no run has a metric of `columns`.
    """
    rows = [Row(run.label, [], run.setting, comparison_keys=run.comparison_keys) for run in runs]
    metrics = default_columns(runs) if columns is None else columns
    if title is None:
        split = next(iter(metrics.values()), "").partition("/")[0]
        title = SPLIT_TITLES[split] if columns is None else "Metrics"
    table = Table(title, "run", [], rows)
    for header, metric in metrics.items():
        values = [metric_value(run, metric) for run in runs]
        if any(value is not None for value, _ in values):
            _add_column(table, Column(header, get_metric_info(metric)), values)
            _add_baselines(table, runs, metric)
        elif columns is not None and any(run.metrics for run in runs):
            names = sorted({name for run in runs for name in run.all_metrics if "_kl/" not in name})
            listed = ", ".join(names[:MAX_LISTED_METRICS])
            raise UserError(f"No run has the metric {metric}. Choose from: {listed}.")
    table.notes = collect_notes(runs, table)
    return table.finish()


def _add_baselines(table: Table, runs: Sequence[RunFolder], metric: str) -> None:
    """Add a column for each baseline of the metric in the last column."""
    index, (split, _, name) = len(table.columns) - 1, metric.rpartition("/")
    for key, label in BASELINES.get(name, {}).items():
        values = [metric_value(run, f"{split}/{key}") for run in runs]
        if any(value is not None for value, _ in values):
            _add_column(table, Column(label, get_metric_info(metric), baseline_of=index), values)


def _add_column(table: Table, column: Column, values: Sequence[Value]) -> None:
    table.columns.append(column)
    for row, (value, error) in zip(table.rows, values, strict=True):
        row.cells.append(Cell(value, error))


def metric_value(run: RunFolder, metric: str) -> Value:
    """Return a metric of a run and its standard error; each is None if it is missing.

    A model without a prior has no rate, and no bound on the likelihood: its `rate` and `neg_elbo` are None.
    """
    prefix, _, name = metric.rpartition("/")
    if not run.has_prior and name in ("neg_elbo", "rate"):
        return None, None
    if name == "PCA":
        matches = (key for key in run.all_metrics if re.fullmatch(re.escape(f"{prefix}/") + r"PCA-\d+", key))
        metric = next(matches, metric)
    elif name == "model":
        metric = f"{prefix}/{run.model_name}"
    prefix, _, name = metric.rpartition("/")
    return run.all_metrics.get(metric), run.all_metrics.get(f"{prefix}_error/{name}")


def collect_notes(runs: Sequence[RunFolder], table: Table) -> list[str]:
    """Return the notes below a table: the number of test images, what is not compared, and missing results."""
    notes = []
    counts = {lookup(run.record, "data", "images", "test") for run in runs} - {None}
    if counts and any(column.label in ("neg elbo", "mse") for column in table.columns):
        notes.append(f"Measured on {' or '.join(f'{n:,}' for n in sorted(counts))} test images per run.")
    finished = [run for run in runs if any(name.endswith("/distortion") for name in run.metrics)]
    if any(not run.has_prior for run in finished) and any(run.has_prior for run in finished):
        notes.append("A model without a prior has no rate, and its distortion is not a bound on the likelihood.")
    if len({run.images_key for run in finished}) > 1:
        notes.append("Runs are compared only on the same images with the same corruption.")
    elif len({run.neg_elbo_key for run in finished if run.has_prior}) > 1:
        notes.append(
            "The negative ELBO is compared only between runs with the same likelihood, and not between conditional and "
            "unconditional models."
        )
    for note in dict.fromkeys(note for run in runs for note in run.notes):
        labels = [run.label for run in runs if note in run.notes]
        notes.append(f"{', '.join(labels)}: {note}")
    return notes + [f"{run.label}: {'; '.join(run.problems)}." for run in runs if not run.metrics and run.problems]


# Means over seeds ---------------------------------------------------------------------------------------


def seed_means_table(runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None) -> Table | None:
    """Create a table of means and standard deviations (n - 1) over seeds, one row per setting.

    Args:
        runs: in order.
        columns: see `results_table`.

    Returns:
        The table, or None if no two finished runs differ only in their seed.
    """
    finished = [run for run in runs if run.metrics and run.config]
    groups = group_by_settings(finished, SEED_KEYS)
    if not any(len({str(run.config_value("seed")) for run in group}) > 1 for group in groups):
        return None
    single, settings = results_table(finished, columns), describe_settings(finished, SEED_KEYS)
    table = Table("Mean over seeds", "setting", [Column("seeds"), *single.columns], [])
    for column in single.columns:
        if column.baseline_of is not None:
            column.baseline_of += 1  # the column of seeds comes first
    for group in groups:
        rows = [finished.index(run) for run in group]
        cells = [_mean_cell([single.rows[i].cells[k].value for i in rows]) for k in range(len(single.columns))]
        header = settings[rows[0]] or group[0].label
        keys = single.rows[rows[0]].comparison_keys
        table.rows.append(Row(header, [Cell(float(len(group))), *cells], comparison_keys=keys))
    table.notes = ["± is the standard deviation over seeds."]
    return table.finish()


def _mean_cell(values: Sequence[float | None]) -> Cell:
    """Return the mean and the standard deviation of the finite values.

    The deviation is None if it is zero, as for a baseline that does not depend on the seed.
    """
    mean, deviation = mean_and_deviation([value for value in values if value is not None and math.isfinite(value)])
    return Cell(mean, deviation or None)
