"""Render the tables of a report as LaTeX with the package booktabs, to be included in a document."""

from __future__ import annotations

from collections.abc import Sequence

from autoencoders.config.diff import ABSENT_TEXT
from autoencoders.reports.content import Report
from autoencoders.reports.html import slugify
from autoencoders.reports.tables import BETTER_BASELINE_MARK, Cell, Column, Row, Table

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "²": r"\textsuperscript{2}", "\u00d7": r"$\times$",
    "[": "{[}", "]": "{]}", ABSENT_TEXT: "--", "…": r"\dots{}", BETTER_BASELINE_MARK: r"$\triangleleft$",
}  # fmt: skip
"""Character -> LaTeX. A bracket at the start of a row would be an argument of the end of the row above. Other
characters, such as letters of other alphabets, need XeLaTeX or LuaLaTeX and a font."""

HEADER = r"% Result tables. Preamble: \usepackage[T1]{fontenc} \usepackage{booktabs}"


def render_latex(report: Report) -> str:
    """Return the tables in all sections of a report as LaTeX, one `table` environment per table.

    The best values are bold, and the number after ± is a standard error or a standard deviation over seeds; see the
    notes in the captions.
    """
    blocks = [HEADER, f"% {' '.join(report.title.split())}"]
    for section in report.sections:
        blocks += [_render_table(table, f"tab:{slugify(f'{section.title} {table.title}')}") for table in section.tables]
    return "\n\n".join(blocks) + "\n"


def escape_latex(text: str) -> str:
    """Return a text on one line, with all special characters of LaTeX escaped."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _render_table(table: Table, label: str) -> str:
    notes = list(table.notes)
    if table.has_best:
        notes.insert(0, "Bold: the best of the comparable values.")
    if table.has_better_baseline:
        notes.insert(0, f"{BETTER_BASELINE_MARK}: a baseline that is better than the run.")
    caption = escape_latex(" ".join([f"{table.title.rstrip('.')}.", *notes]))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{l{''.join('l' if column.is_text else 'r' for column in table.columns)}}}",
        r"\toprule",
        _line([escape_latex(table.header), *map(_render_header, table.columns)]),
        r"\midrule",
        *(_line([_render_row_header(row), *map(_render_cell, row.cells)]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _render_header(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit and column.baseline_of is None else ""
    return escape_latex(f"{column.label}{unit}")


def _render_row_header(row: Row) -> str:
    header = escape_latex(row.header)
    detail = f" ({escape_latex(row.detail)})" if row.detail else ""
    return (rf"\emph{{{header}}}" if row.baseline else header) + detail


def _render_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    if cell.error_text:
        text += rf" $\pm$ {escape_latex(cell.error_text)}"
    if cell.best:
        return rf"\textbf{{{text}}}"
    if cell.beats_run and cell.value is not None:  # a cell without a number has the mark in its text
        return f"{text} {SPECIAL[BETTER_BASELINE_MARK]}"
    return text or SPECIAL[ABSENT_TEXT]
