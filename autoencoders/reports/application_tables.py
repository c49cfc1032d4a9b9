"""Tables written by applications, combined over several runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoencoders.reports.evaluation_tables import REQUIRED_COLUMNS, Rows, merge_evaluation_tables
from autoencoders.reports.metric_info import get_metric_info
from autoencoders.reports.run_folder import RunFolder, read_lines, read_table, to_number
from autoencoders.reports.tables import REAL_PREFIX, Cell, Column, Row, Table

MAX_ROWS = 40
"""Longer tables are not shown. The report names their file."""

UNMERGED_HEADERS = ("latent",)
"""Headers of rows that are numbered separately in each run. The rows of a run stay together."""

ALL_RUNS = "all runs"
MARKDOWN_TABLE = "markdown"
"""Name of a table that an application wrote as Markdown. It repeats the CSV tables."""

NON_FINITE = ("nan", "inf", "-inf")
ERROR_SUFFIX = " +-"
"""Suffix of the column with the standard errors of another column."""


@dataclass
class ApplicationTable:
    """One table of an application, combined over several runs.

    Attributes:
        name: `<application>/<table>`.
        table: the combined table, or None for text.
        texts: run -> lines of text.
        omitted: tables that are not shown, and the reason.
    """

    name: str
    table: Table | None = None
    texts: dict[str, list[str]] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)


@dataclass
class RunTable:
    """The table of one run: row header -> column -> text."""

    run: RunFolder
    header: str
    rows: dict[str, dict[str, str]]


def collect_tables(runs: Sequence[RunFolder], application: str) -> list[ApplicationTable]:
    """Return all tables of an application, sorted by name."""
    names = {name for run in runs for name in run.tables() if name.startswith(f"{application}/")}
    tables = [_collect_table(name, runs) for name in sorted(names - {f"{application}/{MARKDOWN_TABLE}"})]
    return [table for table in tables if table.table or table.texts or table.omitted]


def _collect_table(name: str, runs: Sequence[RunFolder]) -> ApplicationTable:
    """Combine one table of several runs."""
    result = ApplicationTable(name)
    tables: list[RunTable] = []
    evaluations: list[tuple[RunFolder, Rows]] = []
    for run in runs:
        file = run.tables().get(name)
        if file is None:
            continue
        if file.suffix == ".md":
            result.texts[run.label] = read_lines(file)
            continue
        rows = read_table(file)
        if rows and set(rows[0]) >= REQUIRED_COLUMNS:
            evaluations.append((run, rows))
        elif len(rows) > MAX_ROWS:
            result.omitted.append(f"{run.label}: {len(rows):,} rows, in {'/'.join(file.parts[-3:])}")
        elif rows:
            tables.append(_to_run_table(run, rows))
    if tables:
        result.table = merge_tables(name, tables)
    elif evaluations:
        result.table = merge_evaluation_tables(name, evaluations)
    return result


def _to_run_table(run: RunFolder, rows: Rows) -> RunTable:
    """Index a table by its first column, or by its first two columns if the first has duplicates."""
    first, *columns = rows[0]
    headers = [row[first] for row in rows]
    if len(set(headers)) < len(rows):
        second, *columns = columns
        headers = [f"{row[first]}, {second} {row[second]}" for row in rows]
    indexed = {header: {key: row[key] for key in columns} for header, row in zip(headers, rows, strict=True)}
    return RunTable(run, first, indexed)


def merge_tables(name: str, tables: Sequence[RunTable]) -> Table:
    """Combine the tables of several runs.

    The rows of the runs' own models come first, then the baselines. A baseline with equal values in all runs is shown
    once.

    Args:
        name: one line above the table.
        tables: tables with the same columns, in the order of the runs.
    """
    columns = _merge_columns(tables)
    merged = Table(name, tables[0].header, columns, [])
    if tables[0].header in UNMERGED_HEADERS:
        merged.rows = [_to_row(table, header, columns, table.run.label) for table in tables for header in table.rows]
        return merged.finish()
    headers = dict.fromkeys(header for table in tables for header in table.rows)
    models = {table.run.model_name for table in tables}
    for header in sorted(headers, key=lambda header: header not in models):  # the sort keeps the order of equal keys
        matches = [table for table in tables if header in table.rows]
        shared = len(matches) > 1 and all(table.rows[header] == matches[0].rows[header] for table in matches)
        if shared:
            merged.rows.append(_to_row(matches[0], header, columns, ALL_RUNS))
        else:
            merged.rows += [_to_row(table, header, columns, table.run.label) for table in matches]
    return merged.finish()


def _merge_columns(tables: Sequence[RunTable]) -> list[Column]:
    """Return the columns that have a value in any table, without the columns of standard errors."""
    rows = [row for table in tables for row in table.rows.values()]
    keys = dict.fromkeys(key for row in rows for key in row if row[key] and not key.endswith(ERROR_SUFFIX))
    return [Column(key, get_metric_info(key), is_text=_is_text(row.get(key) for row in rows)) for key in keys]


def _is_text(values: Iterable[str | None]) -> bool:
    """Return whether any nonempty value is not a number."""
    return any(value and to_number(value) is None and value.lower() not in NON_FINITE for value in values)


def _to_row(table: RunTable, header: str, columns: Sequence[Column], label: str) -> Row:
    """Convert a row of a run's table.

    Args:
        table: the table of a run.
        header: header of the row.
        columns: columns of the combined table.
        label: the run, or `ALL_RUNS`.
    """
    row, run = table.rows[header], table.run
    cells = []
    for column in columns:
        key = column.label
        if column.is_text:
            cells.append(Cell(text=row.get(key, "")))
        else:
            cells.append(Cell(to_number(row.get(key)), to_number(row.get(f"{key}{ERROR_SUFFIX}"))))
    if header == run.model_name:
        return Row(label, cells, run.setting, comparison_keys=run.comparison_keys)
    # A baseline has no ELBO, and real images are not compared.
    keys = {} if header.startswith(REAL_PREFIX) else {**run.comparison_keys, "neg_elbo": None}
    return Row(header, cells, label, baseline=run.model_name in table.rows, comparison_keys=keys)
