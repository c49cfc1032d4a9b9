"""Combine the tables that an application has written in several run folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoencoders.reports.evaluation_tables import REQUIRED_COLUMNS, Rows, merge_evaluation_tables
from autoencoders.reports.metric_info import get_metric_info
from autoencoders.reports.run_folder import RunFolder, read_lines, read_table, to_number
from autoencoders.reports.tables import REAL_PREFIX, Cell, Column, Row, Table

MAX_ROWS = 40
"""Maximum number of rows in a table of the report. For a longer table, the report shows only the path of the file."""

UNMERGED_HEADERS = ("latent",)
"""First column headers of tables whose rows have no common meaning in different runs, such as latent dimensions.

The rows of such tables are not merged. The rows of each run follow each other.
"""

ALL_RUNS = "all runs"
"""Run label in the row of a baseline that has the same values in all runs."""

MARKDOWN_TABLE = "markdown"
"""Name of the Markdown table that an application writes. It repeats the CSV tables, so the report omits it."""

TRUE_PREFIX = "true "
"""Prefix of the rows with the true factors, whose scores no model can exceed."""

NON_FINITE = ("nan", "inf", "-inf")
"""Lower-case texts of numbers that are not finite."""

ERROR_SUFFIX = " +-"
"""Suffix in the name of a column with standard errors. The rest of the name is the column with the values."""


@dataclass
class ApplicationTable:
    """One table or text of an application, combined from several runs.

    Attributes:
        name: `<application>/<table>`.
        table: combined table; None if the application wrote a text, or if all tables are too long.
        texts: label of the run -> lines of the text.
        omitted: one sentence for each table that is too long for the report, with the number of rows and the file.
    """

    name: str
    table: Table | None = None
    texts: dict[str, list[str]] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)


@dataclass
class RunTable:
    """The table that an application wrote for one run.

    Attributes:
        run: run folder with the table.
        header: header of the first column.
        rows: text in the first column -> name of another column -> text of the cell.
    """

    run: RunFolder
    header: str
    rows: dict[str, dict[str, str]]


def collect_tables(runs: Sequence[RunFolder], application: str) -> list[ApplicationTable]:
    """Return all tables and texts of an application, each combined from all runs, sorted by name.

    Args:
        runs: run folders with or without tables of the application.
        application: name of the application, such as `reconstruct`.
    """
    names = {name for run in runs for name in run.tables() if name.startswith(f"{application}/")}
    tables = [_collect_table(name, runs) for name in sorted(names - {f"{application}/{MARKDOWN_TABLE}"})]
    return [table for table in tables if table.table or table.texts or table.omitted]


def _collect_table(name: str, runs: Sequence[RunFolder]) -> ApplicationTable:
    """Combine the tables or texts with the name `<application>/<table>` from all runs."""
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
            path = "/".join(file.parts[-3:])
            result.omitted.append(f"The table of {run.label} has {len(rows):,} rows and is saved in {path}")
        elif rows:
            tables.append(_to_run_table(run, rows))
    if tables:
        result.table = merge_tables(name, tables)
    elif evaluations:
        result.table = merge_evaluation_tables(name, evaluations)
    return result


def _to_run_table(run: RunFolder, rows: Rows) -> RunTable:
    """Convert the rows of a CSV file to a table that is indexed by the first column.

    If the first column has duplicates, the index combines the first two columns.
    """
    first, *columns = rows[0]
    headers = [row[first] for row in rows]
    if len(set(headers)) < len(rows):
        second, *columns = columns
        headers = [f"{row[first]}, {second} {row[second]}" for row in rows]
    indexed = {header: {key: row[key] for key in columns} for header, row in zip(headers, rows, strict=True)}
    return RunTable(run, first, indexed)


def merge_tables(name: str, tables: Sequence[RunTable]) -> Table:
    """Combine the tables of several runs into one table.

    The rows of the trained models come first. The rows of the baselines follow. A baseline that has the same values in
    all runs gets one row instead of one row per run.

    Args:
        name: title of the combined table.
        tables: one table per run, in the order of the runs. All tables have the same columns.
    """
    columns = _merge_columns(tables)
    merged = Table(name, tables[0].header, columns, [])
    if tables[0].header in UNMERGED_HEADERS:
        merged.rows = [_to_row(table, header, columns, table.run.label) for table in tables for header in table.rows]
        return merged.finish()
    headers = dict.fromkeys(header for table in tables for header in table.rows)
    models = {table.run.model_name for table in tables}
    for header in sorted(headers, key=lambda header: header not in models):  # stable sort: models before baselines
        matches = [table for table in tables if header in table.rows]
        shared = len(matches) > 1 and all(table.rows[header] == matches[0].rows[header] for table in matches)
        if shared:
            merged.rows.append(_to_row(matches[0], header, columns, ALL_RUNS))
        else:
            merged.rows += [_to_row(table, header, columns, table.run.label) for table in matches]
    return merged.finish()


def _merge_columns(tables: Sequence[RunTable]) -> list[Column]:
    """Return the columns that have a value in at least one table, without the columns for standard errors."""
    rows = [row for table in tables for row in table.rows.values()]
    keys = dict.fromkeys(key for row in rows for key in row if row[key] and not key.endswith(ERROR_SUFFIX))
    return [Column(key, get_metric_info(key), is_text=_is_text(row.get(key) for row in rows)) for key in keys]


def _is_text(values: Iterable[str | None]) -> bool:
    """Return whether at least one nonempty value is not a number."""
    return any(value and to_number(value) is None and value.lower() not in NON_FINITE for value in values)


def _to_row(table: RunTable, header: str, columns: Sequence[Column], label: str) -> Row:
    """Convert one row of a run's table to a row of the combined table.

    Args:
        table: table of one run.
        header: text in the first column of the row.
        columns: columns of the combined table.
        label: label of the run, or `ALL_RUNS` if all runs have the same row.
    """
    row, run = table.rows[header], table.run
    cells = []
    for column in columns:
        key = column.label
        if column.is_text:
            cells.append(Cell(text=row.get(key, "")))
        else:
            value = to_number(row.get(key))
            cells.append(Cell(value, to_number(row.get(f"{key}{ERROR_SUFFIX}")), "n/a" if value is None else ""))
    if header == run.model_name:
        return Row(label, cells, run.setting, comparison_keys=run.comparison_keys)
    # A baseline has no ELBO. Rows for real images and true factors show the best possible value and are not compared
    # with models.
    keys = {} if header.startswith((REAL_PREFIX, TRUE_PREFIX)) else {**run.comparison_keys, "neg_elbo": None}
    return Row(header, cells, label, baseline=run.model_name in table.rows, comparison_keys=keys)
