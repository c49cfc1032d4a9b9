"""Create tables of metrics: a table with the metrics of each run and baselines, and a table with means over seeds."""

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
"""Metrics in the default columns of the results table. Metrics that no run has are omitted."""

DEFAULT_SCORES = {"MIG": "factors/MIG/model", "disentanglement": "factors/disentanglement/model"}
"""Header -> score in the default columns, if a run has the results of `application=factors`."""

SPLIT_TITLES = {"test": "Test split", "val": "Validation split, best epoch"}
"""Split -> title of the results table with default columns."""

MAX_LISTED_METRICS = 60
"""Maximum number of metrics that are listed in an error message."""

Value = tuple[float | None, float | None]
"""The value of a metric and its standard error. Each is None if it is missing."""


def default_columns(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Return header -> metric for the default columns of the results table.

    The metrics are from the test split, or from the validation split if no run has test metrics. Disentanglement scores
    follow if a run has them.
    """
    split = "test" if any(f"test/{name}" in run.metrics for run in runs for name in DEFAULT_METRICS) else "val"
    columns = {name.replace("_", " "): f"{split}/{name}" for name in DEFAULT_METRICS}
    for header, score in DEFAULT_SCORES.items():
        if any(metric_value(run, score)[0] is not None for run in runs):
            columns[header] = score
    return columns


def results_table(
    runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None, title: str | None = None
) -> Table:
    """Create a table with one row per run and one column per metric. Columns with baselines follow their metric.

    Args:
        runs: runs in the order of the rows.
        columns: header -> name of a metric in `metrics.json`, or `<application>/<metric>/<method>`. As the method,
            `model` selects the trained model of each run, and `PCA` or `whitened PCA` selects PCA with any number of
            components. None for the columns of `default_columns`.
        title: title of the table. The default title is `Metrics`, or the name of the split for the default columns.

    Raises:
        UserError: if `columns` contains a metric that no run has.
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
            raise UserError(
                f"metrics must be a list of metrics of the runs, but no run has the metric {metric}. Choose from: "
                f"{listed}."
            )
    table.notes = collect_notes(runs, table)
    return table.finish()


def _add_baselines(table: Table, runs: Sequence[RunFolder], metric: str) -> None:
    """Add one column for each baseline of a metric. The values of the metric are in the last column of the table."""
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
    """Return the value of a metric for one run, and its standard error. Each is None if it is missing.

    `rate` and `neg_elbo` are None for a model without a prior, because the rate (KL divergence of the posterior from
    the prior) and the ELBO are not defined for such a model.

    Args:
        run: run folder with the metric.
        metric: name of the metric; see the argument `columns` of `results_table`.
    """
    prefix, _, name = metric.rpartition("/")
    if not run.has_prior and name in ("neg_elbo", "rate"):
        return None, None
    if name in ("PCA", "whitened PCA"):
        matches = (key for key in run.all_metrics if re.fullmatch(re.escape(metric) + r"-\d+", key))
        metric = next(matches, metric)
    elif name == "model":
        metric = f"{prefix}/{run.model_name}"
    prefix, _, name = metric.rpartition("/")
    return run.all_metrics.get(metric), run.all_metrics.get(f"{prefix}_error/{name}")


def collect_notes(runs: Sequence[RunFolder], table: Table) -> list[str]:
    """Return the notes below a results table.

    The notes give the number of test images, explain which values are not compared, repeat the notes of the runs, and
    list runs without results.
    """
    notes = []
    counts = {lookup(run.record, "data", "images", "test") for run in runs} - {None}
    if counts and any(column.label in ("neg elbo", "mse") for column in table.columns):
        notes.append(f"The test split has {' or '.join(f'{n:,}' for n in sorted(counts))} images.")
    finished = [run for run in runs if any(name.endswith("/distortion") for name in run.metrics)]
    if any(not run.has_prior for run in finished) and any(run.has_prior for run in finished):
        notes.append(
            "A model without a prior has no rate (KL divergence of the posterior from the prior), and its distortion "
            "is not a bound on the negative log-likelihood."
        )
    if len({run.images_key for run in finished}) > 1:
        notes.append(
            "Best values are marked only among runs that were evaluated on the same images with the same corruption."
        )
    elif len({run.neg_elbo_key for run in finished if run.has_prior}) > 1:
        notes.append(
            "The best negative ELBO is marked only among runs with the same likelihood. Conditional and unconditional "
            "models are not compared with each other."
        )
    for note in dict.fromkeys(note for run in runs for note in run.notes):
        labels = [run.label for run in runs if note in run.notes]
        notes.append(f"{', '.join(labels)}: {note}")
    incomplete = [run for run in runs if not run.metrics and run.problems]
    return notes + [f"{run.label}: {'; '.join(run.problems).rstrip('.')}." for run in incomplete]


# Means over seeds ---------------------------------------------------------------------------------------


def seed_means_table(runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None) -> Table | None:
    """Create a table with the mean and the standard deviation of each metric over seeds.

    Each row combines the runs that differ only in their seed. The standard deviation has the denominator n - 1.

    Args:
        runs: runs to combine. Runs without metrics are ignored.
        columns: columns as header -> metric; see `results_table`.

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
            column.baseline_of += 1  # the column with the number of seeds is inserted before all others
    for group in groups:
        rows = [finished.index(run) for run in group]
        cells = [_mean_cell([single.rows[i].cells[k].value for i in rows]) for k in range(len(single.columns))]
        header = settings[rows[0]] or group[0].label
        keys = single.rows[rows[0]].comparison_keys
        table.rows.append(Row(header, [Cell(float(len(group))), *cells], comparison_keys=keys))
    table.notes = ["The number after ± is the standard deviation over seeds."]
    return table.finish()


def _mean_cell(values: Sequence[float | None]) -> Cell:
    """Return a cell with the mean and the standard deviation of the finite values.

    A standard deviation of zero is omitted. It occurs for baselines that do not depend on the seed.
    """
    mean, deviation = mean_and_deviation([value for value in values if value is not None and math.isfinite(value)])
    return Cell(mean, deviation or None)
