"""The tables that applications left, those of several runs bound into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoencoders.reports.folders import RunFolder, number, read_table
from autoencoders.reports.measures import measure
from autoencoders.reports.results import alike
from autoencoders.reports.tables import Cell, Column, Row, Table

LONGEST = 40
"""Rows of one run's table, at most: what is longer is data, and is named, not shown."""

LONG_FORM = {"measure", "unit", "method", "value"}
"""Columns of a table with a row per number, which is turned into a column per measure."""

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
    units: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


def answers(runs: Sequence[RunFolder], application: str) -> list[Answer]:
    """Every table of an application, in the order of their names."""
    names = {name for run in runs for name in run.tables() if name.startswith(f"{application}/")}
    names = sorted(names - {f"{application}/{WORDS_OF_ITS_OWN}"})
    return [answer for name in names if (answer := _answer(name, runs)) is not None]


def _answer(name: str, runs: Sequence[RunFolder]) -> Answer | None:
    answer, found = Answer(name), []
    for run in runs:
        file = run.tables().get(name)
        rows = read_table(file) if file is not None else []
        if not rows:
            continue
        if len(rows) > LONGEST:
            answer.left.append(f"{run.label}: {len(rows):,} rows, in {_short(file)}")
        elif len(rows[0]) == 1:
            answer.texts[run.label] = [next(iter(row.values())) for row in rows]
        else:
            found.append(_wide(run, rows) if set(rows[0]) >= LONG_FORM else _plain(run, rows))
    if found:
        answer.table = bound(name, found)
    return answer if found or answer.texts or answer.left else None


def _short(file: Path) -> str:
    return "/".join(file.parts[-3:])


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


def _wide(run: RunFolder, rows: Sequence[dict[str, str]]) -> Found:
    """A table with a row per number, as one with a row per method."""
    found = Found(run, "method", {})
    for row in rows:
        cells = found.rows.setdefault(row["method"], {})
        cells[row["measure"]], cells[f"{row['measure']} +-"] = row["value"], row.get("+-", "")
        found.units[row["measure"]] = row["unit"]
        if row.get("note"):
            whose = "" if row["method"] == run.model else f" of {row['method']}"
            found.notes.setdefault(row["note"], []).append(f"{row['measure']}{whose}")
    return found


def bound(name: str, found: Sequence[Found]) -> Table:
    """The tables of several runs in one: first each run's own rows, then their baselines, the same ones once."""
    rows = [row for part in found for row in part.rows.values()]
    filled = list(dict.fromkeys(key for row in rows for key in row if row[key] and not key.endswith(" +-")))
    texts = [key for key in filled if any(row.get(key) and not _numeric(row[key]) for row in rows)]
    units = {key: ", ".join(dict.fromkeys(filter(None, (part.units.get(key) for part in found)))) for key in filled}
    columns = [Column(key, measure(key), units[key], words=key in texts) for key in filled]
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
    table.notes = _notes(found)
    return table.finish()


def _numeric(text: str) -> bool:
    return number(text) is not None or text.lower() in ("nan", "inf", "-inf")


def _notes(found: Sequence[Found]) -> list[str]:
    """What a note is said of, and by which runs where it is not all, each note once."""
    having: dict[str, list[str]] = {}
    for part in found:
        for note, measures in part.notes.items():
            having.setdefault(f"{'; '.join(measures)}: {note}.", []).append(part.run.label)
    return [note if len(runs) == len(found) else f"({', '.join(runs)}) {note}" for note, runs in having.items()]


def _row(part: Found, head: str, columns: Sequence[str], texts: Sequence[str], label: str) -> Row:
    row = part.rows[head]
    cells = [
        Cell(text=row.get(key, "")) if key in texts else Cell(number(row.get(key)), number(row.get(f"{key} +-")))
        for key in columns
    ]
    known = alike(part.run)
    if head == part.run.model:
        return Row(label, cells, part.run.setting, alike=known)
    known["bound"] = None  # what is no run has no bound to compare
    return Row(head, cells, label, baseline=part.run.model in part.rows, alike=known)
