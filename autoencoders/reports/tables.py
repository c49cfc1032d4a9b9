"""The tables of a report: cells, columns and rows. The best values among comparable rows are marked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from autoencoders.reports.metric_info import MetricInfo, count_decimals, format_metric

BETTER_BASELINE_MARK = "◂"
"""Mark for a baseline that is better than the run."""

REAL_PREFIX = "real "
"""Prefix in the headers of rows for real images.

Real images reach the best possible value of a metric. They are therefore not compared with the runs.
"""


@dataclass
class Cell:
    """A table cell with a number or a text.

    Attributes:
        value: number in the cell, or None if the cell contains a text or nothing.
        error: standard error (or standard deviation over seeds) of the number, or None.
        text: text of the cell. For a number, `Table.finish` sets the text.
        error_text: formatted `error`, which `Table.finish` sets.
        best: whether the number is the best in its column among the comparable rows.
        beats_run: whether the number belongs to a baseline that is better than the run.
    """

    value: float | None = None
    error: float | None = None
    text: str = ""
    error_text: str = ""
    best: bool = False
    beats_run: bool = False


@dataclass
class Column:
    """The properties of a table column.

    Attributes:
        label: header of the column.
        info: properties of the metric in the column.
        unit: text below the header; by default the unit of the metric.
        baseline_of: for a column with a baseline, the index of the column with the metric of the runs; otherwise None.
        is_text: whether the cells contain texts instead of numbers.
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
    """A table row with a header and one cell per column.

    Attributes:
        header: text in the first column.
        cells: cells of all other columns.
        detail: text in smaller type after the header.
        baseline: whether the row contains the values of a baseline.
        comparison_keys: name -> key; see `RunFolder.comparison_keys`. The values of two rows are compared only if their
            keys are equal. If the key for a metric is missing or None, the row is not compared in this metric.
    """

    header: str
    cells: list[Cell]
    detail: str = ""
    baseline: bool = False
    comparison_keys: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Table:
    """A table of a report.

    Attributes:
        title: one line above the table.
        header: header of the first column, which contains the row headers.
        columns: properties of all columns except the first.
        rows: rows of the table, in their original order.
        notes: sentences below the table.
        fixed: whether the rows keep their order. If False, the reader of an HTML page can sort the rows.
    """

    title: str
    header: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    fixed: bool = False

    @property
    def has_best(self) -> bool:
        """Whether at least one cell is marked as the best value of its column."""
        return any(cell.best for row in self.rows for cell in row.cells)

    @property
    def has_better_baseline(self) -> bool:
        """Whether at least one cell contains a baseline that is marked as better than a run."""
        return any(cell.beats_run for row in self.rows for cell in row.cells)

    def finish(self) -> Table:
        """Format all numbers, and mark the best values and the baselines that are better than a run.

        Returns:
            This table.
        """
        for i, column in enumerate(self.columns):
            self._format_column(i, column)
            if column.baseline_of is None:
                self._mark_best(i, column.info)
            else:
                self._mark_better_baselines(i, column.baseline_of, column.info)
        return self

    def unmark(self, reason: str) -> None:
        """Remove the marks from all best values, and add the reason to the notes below the table."""
        for row in self.rows:
            for cell in row.cells:
                cell.best = False
        self.notes.append(reason)

    def _format_column(self, i: int, column: Column) -> None:
        """Format the numbers of a column.

        A column with a baseline gets the same number of decimals as the column with the metric of the runs.

        Args:
            i: index of the column.
            column: properties of the column.
        """
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
        """Mark the best cells in column `i`. Numbers with the same formatted text are equally good."""
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
            if len({cell.text for cell in cells}) > 1:  # nothing is marked if all texts are equal
                for cell in cells:
                    cell.best = cell.text == best.text

    def _mark_better_baselines(self, i: int, run_column: int, info: MetricInfo) -> None:
        """Mark the baselines in column `i` that are better than the values of the runs in column `run_column`."""
        for row in self.rows:
            own, baseline = row.cells[run_column], row.cells[i]
            if own.value is not None and baseline.value is not None:
                better = info.direction * (baseline.value - own.value) > 0
                baseline.beats_run = better and baseline.text != own.text
