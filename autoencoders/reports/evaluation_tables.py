"""Tables with a row per number (measure, unit, method, value), of several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autoencoders.reports.metric_info import measure
from autoencoders.reports.result_tables import alike
from autoencoders.reports.run_folder import RunFolder, number
from autoencoders.reports.tables import AHEAD, REAL, Cell, Column, Row, Table

COLUMNS = {"measure", "unit", "method", "value"}
"""What such a table has; beside these `+-`, `note` and others."""

Rows = Sequence[Mapping[str, str]]
"""Of one run's table."""


def by_measure(name: str, found: Sequence[tuple[RunFolder, Rows]]) -> Table:
    """A row per measure and a column per run; then what stands beside, baselines and references, and notes.

    Args:
        name: a line above.
        found: runs, and the rows of each.
    """
    names = dict.fromkeys(row["measure"] for _, rows in found for row in rows if number(row["value"]) is not None)
    columns = [Column(run.label, unit=run.setting) for run, _ in found]
    table = Table(name, "measure", [*columns, Column("beside", words=True), Column("note", words=True)], [], fixed=True)
    table.rows = [_row(one, found) for one in names]
    notes = [row.cells[-1].text for row in table.rows]
    for row, before, note in zip(table.rows[1:], notes, notes[1:], strict=False):
        row.cells[-1].text = "as above" if note and note == before else note
    for i in (len(found) + 1, len(found)):
        if not any(row.cells[i].text for row in table.rows):
            for line in (table.columns, *(row.cells for row in table.rows)):
                del line[i]
    return table


def _row(name: str, found: Sequence[tuple[RunFolder, Rows]]) -> Row:
    """A measure's row: the runs' cells printed and marked together with what stands beside."""
    own, beside = [], {}
    for run, rows in found:
        mine = {row["method"]: row for row in rows if row["measure"] == name}
        own.append(Row(run.label, [_cell(mine.pop(run.model, {}))], alike=alike(run)))
        for method, row in mine.items():
            beside.setdefault((method, row["value"], row.get("+-", "")), (_cell(row), []))[1].append(run.label)
    units = dict.fromkeys(row["unit"] for _, rows in found for row in rows if row["measure"] == name and row["unit"])
    kind, others = measure(name), [Row(method, [cell]) for (method, *_), (cell, _) in beside.items()]
    Table("", "", [Column(name, kind)], [*own, *others]).finish()
    words, ahead = [], False
    for (method, *_), (cell, labels) in beside.items():
        better = not method.startswith(REAL) and _ahead(cell, [row.cells[0] for row in own], kind.better)
        ahead |= better
        text = f"{AHEAD} " * better + f"{method} {cell.text}" + (f" ± {cell.error_text}" if cell.error_text else "")
        words.append(text + (f" ({', '.join(labels)})" if len(labels) < len(found) else ""))
    cells = [*(row.cells[0] for row in own), Cell(text="; ".join(words), ahead=ahead), Cell(text=_notes(name, found))]
    return Row(name, cells, ", ".join(units) or kind.unit)


def _cell(row: Mapping[str, str]) -> Cell:
    return Cell(number(row.get("value")), number(row.get("+-")))


def _ahead(cell: Cell, own: Sequence[Cell], better: int) -> bool:
    """Whether a baseline is better than every run."""
    values = [one.value for one in own if one.value is not None and math.isfinite(one.value)]
    return bool(values) and cell.value is not None and all(better * (cell.value - value) > 0 for value in values)


def _notes(name: str, found: Sequence[tuple[RunFolder, Rows]]) -> str:
    """What is said of a measure, each note once; whose it is, where it is not all runs' own."""
    having: dict[str, list[str]] = {}
    for run, rows in found:
        for row in rows:
            if row["measure"] == name and row.get("note"):
                whose = "" if row["method"] == run.model else f"{row['method']}: "
                having.setdefault(f"{whose}{row['note']}", []).append(run.label)
    notes = [f"{note}{f' ({one})' if (one := _some(labels, found)) else ''}" for note, labels in having.items()]
    return "; ".join(notes)


def _some(labels: Sequence[str], found: Sequence[tuple[RunFolder, Rows]]) -> str:
    """These runs, where they are not all."""
    return ", ".join(dict.fromkeys(labels)) if len(set(labels)) < len(found) else ""
