"""Tables of a report: cells that know their number, the best of each column marked among what can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from autoencoders.reports.metric_info import Measure, decimals, printed

AHEAD = "◂"
"""Before a baseline that is better."""

REAL = "real "
"""How rows of real images begin: what could be reached at best, not what is in the running."""


@dataclass
class Cell:
    """A value, and how it is shown.

    Attributes:
        value: a number, or None where there is none.
        error: its standard error, or None.
        text: what is printed; made by `Table.finish` from a number.
        error_text: the same of the error.
        best: whether it is the best of its column among what can be compared with it.
        ahead: of a baseline, whether it is better than the run it stands beside.
    """

    value: float | None = None
    error: float | None = None
    text: str = ""
    error_text: str = ""
    best: bool = False
    ahead: bool = False


@dataclass
class Column:
    """A column.

    Attributes:
        label: its head.
        measure: what its numbers are.
        unit: below the head; the measure's where none is given.
        beside: for a baseline's column, the place among the columns of what it is the baseline of.
        words: whether it holds text.
    """

    label: str
    measure: Measure = field(default_factory=Measure)
    unit: str = ""
    beside: int | None = None
    words: bool = False

    def __post_init__(self) -> None:
        self.unit = self.unit or self.measure.unit


@dataclass
class Row:
    """A row.

    Attributes:
        head: what it is of.
        cells: one for each column.
        detail: more about the head, smaller.
        baseline: whether it is a baseline's.
        alike: the `images`, `likelihood`, `bound` and `classifier` (see `RunFolder`) of its numbers; None: not compared.
    """

    head: str
    cells: list[Cell]
    detail: str = ""
    baseline: bool = False
    alike: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Table:
    """A table.

    Attributes:
        title: a line above.
        head: what the rows are of.
        columns: without that of the heads.
        rows: in order.
        notes: sentences below.
        fixed: whether the order of the rows is not for a reader to change.
    """

    title: str
    head: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    fixed: bool = False

    @property
    def marked(self) -> bool:
        """Whether a best value is marked."""
        return any(cell.best for row in self.rows for cell in row.cells)

    @property
    def overtaken(self) -> bool:
        """Whether a baseline is better than a run."""
        return any(cell.ahead for row in self.rows for cell in row.cells)

    def finish(self) -> Table:
        """Print every number, and mark the best of each column; the table itself."""
        for i, column in enumerate(self.columns):
            cells = [row.cells[i] for row in self.rows]
            together = [row.cells[i if column.beside is None else column.beside] for row in self.rows]
            digits = decimals(
                [c.value for c in together if c.value is not None], [c.error for c in together if c.error is not None]
            )
            for cell in cells:
                if cell.value is not None:
                    cell.text = printed(cell.value, digits)
                if cell.error is not None and math.isfinite(cell.error):
                    cell.error_text = printed(cell.error, digits)
            if column.beside is None:
                self._mark(i, column.measure)
            else:
                self._compare(i, column)
        return self

    def unmark(self, reason: str) -> None:
        """Mark no best, and note why."""
        for cell in (cell for row in self.rows for cell in row.cells):
            cell.best = False
        self.notes.append(reason)

    def _mark(self, i: int, measure: Measure) -> None:
        """Mark the best cells of a column; what is printed alike is as good."""
        groups: dict[str, list[Cell]] = {}
        for row in self.rows:
            key = row.alike.get(measure.alike)
            if key is not None and row.cells[i].value is not None and math.isfinite(row.cells[i].value):
                groups.setdefault(key, []).append(row.cells[i])
        for cells in groups.values() if measure.better else ():
            best = max(cells, key=lambda cell: measure.better * cell.value)
            if len({cell.text for cell in cells}) > 1:  # one alone, or all the same: there is no best
                for cell in cells:
                    cell.best = cell.text == best.text

    def _compare(self, i: int, column: Column) -> None:
        """Note where a baseline is better than what it stands beside."""
        for row in self.rows:
            own, other = row.cells[column.beside], row.cells[i]
            if own.value is not None and other.value is not None:
                other.ahead = column.measure.better * (other.value - own.value) > 0 and other.text != own.text
