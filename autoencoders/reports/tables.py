"""Tables of a report. The best value of each column is marked among the comparable rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from autoencoders.reports.metric_info import MetricInfo, count_decimals, format_metric

BETTER_BASELINE_MARK = "◂"
"""Marks a baseline that is better than the run."""

REAL_PREFIX = "real "
"""Prefix of rows of real images. They show the best possible value and are not compared with the runs."""


@dataclass
class Cell:
    """A value and its formatted text.

    Attributes:
        value: a number, or None for an empty or text cell.
        error: standard error of the value, or None.
        text: formatted value; set by `Table.finish` for a number.
        error_text: formatted error.
        best: whether it is the best value of its column among the comparable rows.
        beats_run: whether it is the value of a baseline that is better than the run.
    """

    value: float | None = None
    error: float | None = None
    text: str = ""
    error_text: str = ""
    best: bool = False
    beats_run: bool = False


@dataclass
class Column:
    """A column.

    Attributes:
        label: header of the column.
        info: properties of the metric.
        unit: shown below the header; by default the unit of the metric.
        baseline_of: for the column of a baseline, the index of the column that it is the baseline of.
        is_text: whether the column contains text.
    """

    label: str
    info: MetricInfo = field(default_factory=MetricInfo)
    unit: str = ""
    baseline_of: int | None = None
    is_text: bool = False

    def __post_init__(self) -> None:
        self.unit = self.unit or self.info.unit


@dataclass
class Row:
    """A row.

    Attributes:
        header: first cell of the row.
        cells: one cell per column.
        detail: smaller text after the header.
        baseline: whether it is the row of a baseline.
        comparison_keys: keys of the row's numbers; see `RunFolder.comparison_keys`. Values are compared only with rows
            of the same key. A missing or None key excludes the row.
    """

    header: str
    cells: list[Cell]
    detail: str = ""
    baseline: bool = False
    comparison_keys: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Table:
    """A table.

    Attributes:
        title: one line above the table.
        header: header of the first column, which contains the row headers.
        columns: all columns except the first.
        rows: in order.
        notes: sentences below the table.
        fixed: whether the rows cannot be sorted on the page.
    """

    title: str
    header: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    fixed: bool = False

    @property
    def has_best(self) -> bool:
        """Whether a best value is marked."""
        return any(cell.best for row in self.rows for cell in row.cells)

    @property
    def has_better_baseline(self) -> bool:
        """Whether a baseline is better than a run."""
        return any(cell.beats_run for row in self.rows for cell in row.cells)

    def finish(self) -> Table:
        """Format all numbers, mark the best value of each column, and return the table."""
        for i, column in enumerate(self.columns):
            self._format_column(i, column)
            if column.baseline_of is None:
                self._mark_best(i, column.info)
            else:
                self._mark_better_baselines(i, column.baseline_of, column.info)
        return self

    def unmark(self, reason: str) -> None:
        """Remove all marks of best values, and add the reason to the notes."""
        for row in self.rows:
            for cell in row.cells:
                cell.best = False
        self.notes.append(reason)

    def _format_column(self, i: int, column: Column) -> None:
        """Format the numbers of a column. A baseline has as many decimals as the column it belongs to."""
        reference = [row.cells[i if column.baseline_of is None else column.baseline_of] for row in self.rows]
        decimals = count_decimals(
            [cell.value for cell in reference if cell.value is not None],
            [cell.error for cell in reference if cell.error is not None],
        )
        for row in self.rows:
            cell = row.cells[i]
            if cell.value is not None:
                cell.text = format_metric(cell.value, decimals)
            if cell.error is not None and math.isfinite(cell.error):
                cell.error_text = format_metric(cell.error, decimals)

    def _mark_best(self, i: int, info: MetricInfo) -> None:
        """Mark the best cells of a column. Cells with the same text are equally good."""
        if info.direction == 0:
            return
        groups: dict[str, list[tuple[float, Cell]]] = {}
        for row in self.rows:
            key, cell = row.comparison_keys.get(info.comparison_key), row.cells[i]
            if key is not None and cell.value is not None and math.isfinite(cell.value):
                groups.setdefault(key, []).append((info.direction * cell.value, cell))
        for scored_cells in groups.values():
            _, best = max(scored_cells, key=lambda scored: scored[0])
            cells = [cell for _, cell in scored_cells]
            if len({cell.text for cell in cells}) > 1:  # a single value, or equal values, have no best
                for cell in cells:
                    cell.best = cell.text == best.text

    def _mark_better_baselines(self, i: int, run_column: int, info: MetricInfo) -> None:
        """Mark the baselines in column `i` that are better than the run's value in column `run_column`."""
        for row in self.rows:
            own, baseline = row.cells[run_column], row.cells[i]
            if own.value is not None and baseline.value is not None:
                better = info.direction * (baseline.value - own.value) > 0
                baseline.beats_run = better and baseline.text != own.text
