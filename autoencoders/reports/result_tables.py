"""The numbers of runs in one table, with the baselines beside them; and their means over seeds."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence

from autoencoders.config.diff import lookup
from autoencoders.reports.comparison import SEEDS, alike_but, settings
from autoencoders.reports.metric_info import BASELINES, measure
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Cell, Column, Row, Table
from autoencoders.types import UserError

USUAL = ("neg_elbo", "distortion", "rate", "mse", "psnr", "active_units", "accuracy", "auroc")
"""The columns of a results table, of the test split; of validation where no run was tested."""


def usual(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Column -> metric of the usual results."""
    split = "test" if any(f"test/{name}" in run.metrics for run in runs for name in USUAL) else "val"
    return {name.replace("_", " "): f"{split}/{name}" for name in USUAL}


def summary(runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None, title: str | None = None) -> Table:
    """A row per run and a column per metric, the best marked; baselines beside their metric.

    Args:
        runs: in order.
        columns: head -> metric, of `metrics.json` or `<application>/<metric>` of what an application found; a last
            part `model` stands for the run's own row and `PCA` for PCA of any size. Default: `usual`.
        title: a line above; by default the split.

    Raises:
        UserError: where no run has a metric that is asked for.
    """
    chosen = dict(columns) if columns is not None else usual(runs)
    asked, split = columns is not None, next(iter(chosen.values()), "").partition("/")[0]
    words = "Metrics" if asked else {"test": "Test split", "val": "Validation split, best epoch"}[split]
    table = Table(title or words, "run", [], [Row(run.label, [], run.setting, alike=alike(run)) for run in runs])
    for head, metric in chosen.items():
        values = [value_of(run, metric) for run in runs]
        if not any(value is not None for value, _ in values):
            if asked and any(run.metrics for run in runs):
                known = ", ".join(sorted({name for run in runs for name in run.answers if "_kl/" not in name})[:60])
                raise UserError(f"No run has the metric {metric}. They have: {known}.")
            continue
        _add(table, Column(head, measure(metric)), values)
        place, (split, _, name) = len(table.columns) - 1, metric.rpartition("/")
        for key, word in BASELINES.get(name, {}).items():
            beside = [value_of(run, f"{split}/{key}") for run in runs]
            if any(value is not None for value, _ in beside):
                _add(table, Column(word, measure(metric), beside=place), beside)
    table.notes = remarks(runs, table)
    return table.finish()


def _add(table: Table, column: Column, values: Sequence[tuple[float | None, float | None]]) -> None:
    table.columns.append(column)
    for row, (value, error) in zip(table.rows, values, strict=True):
        row.cells.append(Cell(value, error))


def alike(run: RunFolder) -> dict[str, str | None]:
    """What a row's numbers come from; see `Row.alike`."""
    return {"images": run.images, "likelihood": run.likelihood, "bound": run.bound, "classifier": run.classifier}


def value_of(run: RunFolder, metric: str) -> tuple[float | None, float | None]:
    """A metric of a run and its standard error, None where it has none of either.

    A model without a prior has no bound on a likelihood: its nats and its rate are none.
    """
    head, _, last = metric.rpartition("/")
    if not run.has_prior and last in ("neg_elbo", "rate"):
        return None, None
    if last == "PCA":
        found = (name for name in run.answers if re.fullmatch(re.escape(f"{head}/") + r"PCA-\d+", name))
        metric = next(found, metric)
    elif last == "model":
        metric = f"{head}/{run.model}"
    head, _, last = metric.rpartition("/")
    return run.answers.get(metric), run.answers.get(f"{head}_error/{last}")


def remarks(runs: Sequence[RunFolder], table: Table) -> list[str]:
    """What a reader must know to compare: on how many images, what is not compared, what is missing."""
    notes = []
    counts = {lookup(run.record, "data", "images", "test") for run in runs} - {None}
    if counts and any(column.label in ("neg elbo", "mse") for column in table.columns):
        notes.append(f"Measured on {' or '.join(f'{n:,}' for n in sorted(counts))} test images a run.")
    finished = [run for run in runs if any(name.endswith("/distortion") for name in run.metrics)]
    if any(not run.has_prior for run in finished) and any(run.has_prior for run in finished):
        notes.append("A model without a prior has no rate, and its distortion bounds no likelihood.")
    if len({run.images for run in finished}) > 1:
        notes.append("Runs on different images, or on images corrupted differently, are not compared.")
    elif len({run.bound for run in finished if run.has_prior}) > 1:
        notes.append("Nats are compared among runs of one likelihood that are all told the labels, or none.")
    said = list(dict.fromkeys(note for run in runs for note in run.notes))
    notes += [f"{', '.join(run.label for run in runs if note in run.notes)}: {note}" for note in said]
    return notes + [f"{run.label}: {'; '.join(run.problems)}." for run in runs if not run.metrics and run.problems]


# Over seeds ---------------------------------------------------------------------------------------------


def over_seeds(runs: Sequence[RunFolder], columns: Mapping[str, str] | None = None) -> Table | None:
    """Means and standard deviations (n - 1) of `summary` for settings that several seeds were run for.

    None where no setting has two finished runs that differ in their seed alone.
    """
    finished = [run for run in runs if run.metrics and run.config]
    groups = alike_but(finished, SEEDS)
    if all(len(group) < 2 or len({str(run.at("seed")) for run in group}) < 2 for group in groups):
        return None
    single, words = summary(finished, columns), settings(finished, SEEDS)
    table = Table("Mean over seeds", "setting", [Column("seeds"), *single.columns], [])
    for column in table.columns[1:]:
        column.beside = None if column.beside is None else column.beside + 1
    for group in groups:
        rows = [finished.index(run) for run in group]
        cells = [_mean([single.rows[i].cells[k].value for i in rows]) for k in range(len(single.columns))]
        head = words[rows[0]] or group[0].label
        table.rows.append(Row(head, [Cell(float(len(group))), *cells], alike=single.rows[rows[0]].alike))
    table.notes = ["± is the standard deviation over seeds."]
    return table.finish()


def _mean(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Cell()
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return Cell(statistics.fmean(known), deviation or None)  # a baseline that knows no seed has none
