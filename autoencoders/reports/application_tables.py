"""The tables that applications left, those of several runs bound into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autoencoders.reports import evaluation_tables
from autoencoders.reports.metric_info import measure
from autoencoders.reports.result_tables import alike
from autoencoders.reports.run_folder import RunFolder, lines, number, read_table
from autoencoders.reports.tables import REAL, Cell, Column, Row, Table

LONGEST = 40
"""Rows of one run's table, at most: what is longer is data, and is named, not shown."""

NUMBERED = ("latent",)
"""Heads of rows that each run numbers in its own way: its rows stay together."""

EVERY = "every run"
WORDS_OF_ITS_OWN = "markdown"
"""A table that is Markdown already; the report makes its own."""


@dataclass
class Answer:
    """What runs found when they were asked one thing.

    Attributes:
        table: their tables bound together, or None where they are text.
        texts: run -> lines.
        left: what is not shown, and why.
    """

    name: str
    table: Table | None = None
    texts: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@dataclass
class Found:
    """One run's table: the columns of its rows, by head of the row."""

    run: RunFolder
    head: str
    rows: dict[str, dict[str, str]]


def answers(runs: Sequence[RunFolder], application: str) -> list[Answer]:
    """Every table of an application, in the order of their names."""
    names = {name for run in runs for name in run.tables() if name.startswith(f"{application}/")}
    names = sorted(names - {f"{application}/{WORDS_OF_ITS_OWN}"})
    return [answer for name in names if (answer := _answer(name, runs)) is not None]


def _answer(name: str, runs: Sequence[RunFolder]) -> Answer | None:
    answer, found, numbers = Answer(name), [], []
    for run in runs:
        file = run.tables().get(name)
        if file is not None and file.suffix == ".md":
            answer.texts[run.label] = lines(file)
        rows = read_table(file) if file is not None and file.suffix == ".csv" else []
        if rows and set(rows[0]) >= evaluation_tables.COLUMNS:
            numbers.append((run, rows))
        elif len(rows) > LONGEST:
            answer.left.append(f"{run.label}: {len(rows):,} rows, in {'/'.join(file.parts[-3:])}")
        elif rows:
            found.append(_plain(run, rows))
    if found or numbers:
        answer.table = bound(name, found) if found else evaluation_tables.by_measure(name, numbers)
    return answer if answer.table or answer.texts or answer.left else None


def _plain(run: RunFolder, rows: Sequence[dict[str, str]]) -> Found:
    """A table whose first column says what each row is of; rows of the same head are told apart by their second."""
    first, *others = rows[0]
    twice = len({row[first] for row in rows}) < len(rows)
    if twice:
        heads, others = [f"{row[first]}, {others[0]} {row[others[0]]}" for row in rows], others[1:]
    else:
        heads = [row[first] for row in rows]
    table = {head: {key: row[key] for key in others} for head, row in zip(heads, rows, strict=True)}
    return Found(run, first, table)


def bound(name: str, found: Sequence[Found]) -> Table:
    """The tables of several runs in one: first each run's own rows, then their baselines, the same ones once."""
    rows = [row for part in found for row in part.rows.values()]
    filled = list(dict.fromkeys(key for row in rows for key in row if row[key] and not key.endswith(" +-")))
    texts = [key for key in filled if any(row.get(key) and not _numeric(row[key]) for row in rows)]
    columns = [Column(key, measure(key), words=key in texts) for key in filled]
    table = Table(name, found[0].head, columns, [])
    heads = list(dict.fromkeys(head for part in found for head in part.rows))
    own = {part.run.model for part in found}
    if found[0].head in NUMBERED:
        table.rows = [_row(part, head, filled, texts, part.run.label) for part in found for head in part.rows]
        heads = []
    for head in sorted(heads, key=lambda head: head not in own):  # stable: the others keep their order
        having = [part for part in found if head in part.rows]
        shared = len(having) > 1 and all(part.rows[head] == having[0].rows[head] for part in having)
        for part in having[:1] if shared else having:
            table.rows.append(_row(part, head, filled, texts, EVERY if shared else part.run.label))
    return table.finish()


def _numeric(text: str) -> bool:
    return number(text) is not None or text.lower() in ("nan", "inf", "-inf")


def _row(part: Found, head: str, columns: Sequence[str], texts: Sequence[str], label: str) -> Row:
    row = part.rows[head]
    cells = [
        Cell(text=row.get(key, "")) if key in texts else Cell(number(row.get(key)), number(row.get(f"{key} +-")))
        for key in columns
    ]
    known = alike(part.run)
    if head == part.run.model:
        return Row(label, cells, part.run.setting, alike=known)
    known = {} if head.startswith(REAL) else {**known, "bound": None}  # what is no run has no bound to compare
    return Row(head, cells, label, baseline=part.run.model in part.rows, alike=known)
