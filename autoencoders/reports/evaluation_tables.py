"""Combine the tables of `application=evaluate` from several runs. These tables have one row per value of a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoencoders.reports.metric_info import MetricInfo, get_metric_info
from autoencoders.reports.run_folder import RunFolder, to_number
from autoencoders.reports.tables import BETTER_BASELINE_MARK, REAL_PREFIX, Cell, Column, Row, Table

REQUIRED_COLUMNS = {"measure", "unit", "method", "value"}
"""Columns that identify a table with one row per value of a metric. `measure` is the name of the metric.

The table may have further columns: `+-` for standard errors, `note` for notes, and others.
"""

Rows = Sequence[Mapping[str, str]]
"""Rows of the table of one run. Each row maps the name of a column to the text of a cell."""

Tables = Sequence[tuple[RunFolder, Rows]]
"""Pairs of a run and the rows of its table."""


@dataclass
class Baseline:
    """The value of a baseline for one metric.

    Attributes:
        method: name of the baseline.
        cell: value and standard error.
        labels: labels of the runs whose tables contain the baseline with this value.
    """

    method: str
    cell: Cell
    labels: list[str] = field(default_factory=list)


def merge_evaluation_tables(name: str, tables: Tables) -> Table:
    """Create a table with one row per metric and one column per run.

    Two more columns follow: one lists the baselines and the references, such as real images, the other contains notes.
    A reference is only shown, and is not marked as better than a run. A column without text is removed.

    Args:
        name: title of the combined table.
        tables: pairs of a run and the rows of its table.
    """
    metrics = dict.fromkeys(row["measure"] for _, rows in tables for row in rows if to_number(row["value"]) is not None)
    columns = [Column(run.label, unit=run.setting) for run, _ in tables]
    columns += [Column("baselines and references", is_text=True), Column("note", is_text=True)]
    table = Table(name, "metric", columns, [_merge_row(metric, tables) for metric in metrics], fixed=True)
    notes = [row.cells[-1].text for row in table.rows]
    for row, previous, note in zip(table.rows[1:], notes, notes[1:], strict=False):
        row.cells[-1].text = "same note as above" if note and note == previous else note
    for i in (len(tables) + 1, len(tables)):  # remove the columns for notes and baselines if they are empty
        if not any(row.cells[i].text for row in table.rows):
            del table.columns[i]
            for row in table.rows:
                del row.cells[i]
    return table


def _merge_row(metric: str, tables: Tables) -> Row:
    """Create the row for one metric.

    The values of the runs and of the baselines are formatted with the same number of decimals. The best value of the
    runs is marked, and so are baselines that are better than all runs.
    """
    info = get_metric_info(metric)
    run_rows: list[Row] = []
    baselines: dict[tuple[str, str, str], Baseline] = {}
    for run, rows in tables:
        by_method = {row["method"]: row for row in rows if row["measure"] == metric}
        own_cell = _to_cell(by_method.pop(run.model_name, {}))
        run_rows.append(Row(run.label, [own_cell], comparison_keys=run.comparison_keys))
        for method, row in by_method.items():
            key = (method, row["value"], row.get("+-", ""))
            baselines.setdefault(key, Baseline(method, _to_cell(row))).labels.append(run.label)
    baseline_rows = [Row(baseline.method, [baseline.cell]) for baseline in baselines.values()]
    Table("", "", [Column(metric, info)], [*run_rows, *baseline_rows]).finish()
    run_cells = [row.cells[0] for row in run_rows]
    units = dict.fromkeys(row["unit"] for _, rows in tables for row in rows if row["measure"] == metric and row["unit"])
    cells = [
        *run_cells,
        _baselines_cell(list(baselines.values()), run_cells, info, len(tables)),
        Cell(text=_merge_notes(metric, tables)),
    ]
    return Row(metric, cells, ", ".join(units) or info.unit)


def _baselines_cell(baselines: Sequence[Baseline], run_cells: Sequence[Cell], info: MetricInfo, runs: int) -> Cell:
    """Return a text cell that lists the baselines of one metric. A baseline that is better than all runs is marked.

    Args:
        baselines: baselines of the metric, in the order of the list.
        run_cells: cells with the values of the runs.
        info: properties of the metric.
        runs: number of runs. If fewer runs contain a baseline, the labels of these runs follow the baseline.
    """
    texts, any_better = [], False
    for baseline in baselines:
        text = f"{baseline.method} {baseline.cell.text}"
        if baseline.cell.error_text:
            text += f" ± {baseline.cell.error_text}"
        if len(baseline.labels) < runs:
            text += f" ({', '.join(baseline.labels)})"
        if not baseline.method.startswith(REAL_PREFIX) and _beats_all(baseline.cell, run_cells, info.direction):
            text, any_better = f"{BETTER_BASELINE_MARK} {text}", True
        texts.append(text)
    return Cell(text="; ".join(texts), beats_run=any_better)


def _to_cell(row: Mapping[str, str]) -> Cell:
    return Cell(to_number(row.get("value")), to_number(row.get("+-")))


def _beats_all(baseline: Cell, run_cells: Sequence[Cell], direction: int) -> bool:
    """Return whether a baseline is better than all runs that have a finite value.

    Args:
        baseline: cell of the baseline.
        run_cells: cells of the runs.
        direction: 1 if higher is better, -1 if lower is better, 0 if neither is better (the result is then False).
    """
    values = [cell.value for cell in run_cells if cell.value is not None and math.isfinite(cell.value)]
    if baseline.value is None or not values:
        return False
    return all(direction * (baseline.value - value) > 0 for value in values)


def _merge_notes(metric: str, tables: Tables) -> str:
    """Return the distinct notes on a metric as one text.

    A note on a baseline starts with the name of the baseline. A note that only some runs have ends with their labels.
    """
    labels_by_note: dict[str, list[str]] = {}
    for run, rows in tables:
        for row in rows:
            if row["measure"] == metric and row.get("note"):
                prefix = "" if row["method"] == run.model_name else f"{row['method']}: "
                labels_by_note.setdefault(f"{prefix}{row['note']}", []).append(run.label)
    notes = []
    for note, labels in labels_by_note.items():
        distinct = list(dict.fromkeys(labels))
        notes.append(f"{note} ({', '.join(distinct)})" if len(distinct) < len(tables) else note)
    return "; ".join(notes)
