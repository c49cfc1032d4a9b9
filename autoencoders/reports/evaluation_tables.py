"""Tables with one row per number (columns `measure`, `unit`, `method`, `value`), combined over several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoencoders.reports.metric_info import MetricInfo, get_metric_info
from autoencoders.reports.run_folder import RunFolder, to_number
from autoencoders.reports.tables import BETTER_BASELINE_MARK, REAL_PREFIX, Cell, Column, Row, Table

REQUIRED_COLUMNS = {"measure", "unit", "method", "value"}
"""Columns that identify such a table. It may also have `+-`, `note` and more."""

Rows = Sequence[Mapping[str, str]]
"""Rows of one run's table."""

Tables = Sequence[tuple[RunFolder, Rows]]
"""Runs and the rows of their tables."""


@dataclass
class Baseline:
    """A baseline of one metric, and the runs whose tables contain it with the same value."""

    method: str
    cell: Cell
    labels: list[str] = field(default_factory=list)


def merge_evaluation_tables(name: str, tables: Tables) -> Table:
    """Create a table with one row per metric and one column per run, followed by the baselines and notes.

    Args:
        name: one line above the table.
        tables: runs and the rows of their tables.
    """
    metrics = dict.fromkeys(row["measure"] for _, rows in tables for row in rows if to_number(row["value"]) is not None)
    columns = [Column(run.label, unit=run.setting) for run, _ in tables]
    columns += [Column("baselines", is_text=True), Column("note", is_text=True)]
    table = Table(name, "metric", columns, [_merge_row(metric, tables) for metric in metrics], fixed=True)
    notes = [row.cells[-1].text for row in table.rows]
    for row, previous, note in zip(table.rows[1:], notes, notes[1:], strict=False):
        row.cells[-1].text = "as above" if note and note == previous else note
    for i in (len(tables) + 1, len(tables)):  # remove empty text columns
        if not any(row.cells[i].text for row in table.rows):
            del table.columns[i]
            for row in table.rows:
                del row.cells[i]
    return table


def _merge_row(metric: str, tables: Tables) -> Row:
    """Create the row of one metric. The values of runs and baselines are formatted and compared together."""
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
    """List the baselines of one metric. A baseline that is better than every run is marked.

    Args:
        baselines: in order.
        run_cells: cells of the runs.
        info: properties of the metric.
        runs: number of runs; a baseline of fewer runs is followed by their labels.
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
    """Return whether a baseline is better than every run with a finite value."""
    values = [cell.value for cell in run_cells if cell.value is not None and math.isfinite(cell.value)]
    if baseline.value is None or not values:
        return False
    return all(direction * (baseline.value - value) > 0 for value in values)


def _merge_notes(metric: str, tables: Tables) -> str:
    """Join the distinct notes on a metric. A note of a baseline names it, and a note of some runs names the runs."""
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
