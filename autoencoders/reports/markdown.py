"""Render a report as Markdown, for example for a README. Tables are pipe tables. Links to figures are relative."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import quote

from autoencoders.config.diff import ABSENT_TEXT
from autoencoders.reports.content import Report, Section
from autoencoders.reports.html import slugify
from autoencoders.reports.images import FigureGroup, Picture
from autoencoders.reports.run_cards import RunMetadata
from autoencoders.reports.tables import BETTER_BASELINE_MARK, Cell, Row, Table

BEST_NOTE = "Bold: the best of the comparable values."
BETTER_BASELINE_NOTE = f"{BETTER_BASELINE_MARK}: a baseline that is better than the run."


@dataclass
class FigureLinks:
    """Create links to figures, and collect the figure files that must be written for these links.

    Attributes:
        folder: folder of the Markdown file. Links are relative to this folder.
        figure_folder: folder for the figure files to write.
        copy: whether to copy the figures of the runs. If False, links point to the files in the run folders.
        files: path -> bytes, for each figure file to write.
    """

    folder: Path
    figure_folder: Path
    copy: bool = False
    files: dict[Path, bytes] = field(default_factory=dict)

    def link(self, title: str, picture: Picture) -> str:
        """Return the Markdown text that shows a figure.

        The figure is added to `files` if figures are copied, or if the report has plotted the figure.

        Args:
            title: title of the group of figures.
            picture: figure to link to.
        """
        path = picture.path
        if path is None or self.copy:
            path = self._new_path(title, picture)
            self.files[path] = picture.content
        relative = Path(os.path.relpath(path.resolve(), self.folder.resolve()))
        return f"![{escape_markdown(f'{title}: {picture.caption}')}]({quote(relative.as_posix())})"

    def _new_path(self, title: str, picture: Picture) -> Path:
        """Return a path for a figure that is not yet in `files`. A number is appended to the name if necessary."""
        stem = f"{slugify(title)}-{slugify(picture.caption)}"
        suffix = "." + picture.media_type.partition("/")[2]
        paths = (self.figure_folder / f"{stem}{f'-{i}' if i else ''}{suffix}" for i in count())
        return next(path for path in paths if path not in self.files)


def render_markdown(
    report: Report, folder: Path, figure_folder: Path, copy: bool = False
) -> tuple[str, dict[Path, bytes]]:
    """Return the Markdown text of a report, and the figure files that must be written for its links.

    Args:
        report: content of the report.
        folder: folder of the Markdown file. Links are relative to this folder.
        figure_folder: folder for the figures that the report has plotted, and for copies of the runs' figures.
        copy: whether to copy the figures of the runs. If False, links point to the files in the run folders.

    Returns:
        The Markdown text, and path -> bytes for each figure file to write.
    """
    links = FigureLinks(folder, figure_folder, copy)
    blocks = [f"# {escape_markdown(report.title)}", *map(escape_markdown, report.question)]
    if report.conclusion:
        blocks.append(f"**Conclusion.** {escape_markdown(' '.join(report.conclusion))}")
    if report.commands:
        blocks.append(_render_commands(report))
    for section in report.sections:
        blocks += _render_section(section, links)
    if report.metadata:
        blocks += ["## Runs", "\n".join(map(_render_metadata, report.metadata))]
    return "\n\n".join(blocks) + "\n", links.files


def escape_markdown(text: str) -> str:
    """Return a text on one line, with all special characters of Markdown and HTML escaped."""
    flat = re.sub(r"[&<>|~$]", lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
    return re.sub(r"(?<!&)#|[\\`*_\[\]!]", lambda match: f"\\{match[0]}", flat)


def _render_commands(report: Report) -> str:
    """Return a Markdown code block with the training command of each run.

    The fence of the code block has more backticks than any sequence of backticks in the commands.
    """
    lines = [f"{report.common_command} {command.overrides}".strip() for command in report.commands]
    longest = max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}bash", *lines, fence])


def _render_section(section: Section, links: FigureLinks) -> list[str]:
    blocks = [f"## {escape_markdown(section.title)}"]
    for table in section.tables:
        blocks += [f"**{escape_markdown(table.title)}**", "\n".join(table_lines(table))]
        notes = list(table.notes)
        if table.has_better_baseline:
            notes.insert(0, BETTER_BASELINE_NOTE)
        if table.has_best:
            notes.insert(0, BEST_NOTE)
        if notes:
            blocks.append(f"*{escape_markdown(' '.join(notes))}*")
    for group in section.groups:
        blocks.append("\n".join([f"**{escape_markdown(group.title)}**", "", *_figure_lines(group, links)]))
    return [*blocks, *map(escape_markdown, section.texts)]


def table_lines(table: Table) -> list[str]:
    """Return the lines of a Markdown pipe table.

    The best values are bold. Baselines that are better than their run are marked with `◂`.
    """
    headers, alignment = [escape_markdown(table.header)], ["---"]
    for column in table.columns:
        unit = f" ({escape_markdown(column.unit)})" if column.unit and column.baseline_of is None else ""
        headers.append(escape_markdown(column.label) + unit)
        alignment.append("---" if column.is_text else "---:")
    rows = [[_render_row_header(row), *map(_render_cell, row.cells)] for row in table.rows]
    return [_table_line(cells) for cells in (headers, alignment, *rows)]


def _render_row_header(row: Row) -> str:
    header = f"*{escape_markdown(row.header)}*" if row.baseline else escape_markdown(row.header)
    return f"{header} ({escape_markdown(row.detail)})" if row.detail else header


def _render_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    if cell.error_text:
        text += f" ± {escape_markdown(cell.error_text)}"
    if cell.best:
        return f"**{text}**"
    if cell.beats_run and cell.value is not None:  # a cell without a number has the mark in its text
        return f"{text} {BETTER_BASELINE_MARK}"
    return text or ABSENT_TEXT


def _figure_lines(group: FigureGroup, links: FigureLinks) -> list[str]:
    """Return the Markdown lines for a group of figures.

    The figures are in one row of a table, with captions above them. Wide figures and single figures are below each
    other, with captions below them.
    """
    captions = [_caption(picture) for picture in group.pictures]
    images = [links.link(group.title, picture) for picture in group.pictures]
    if group.wide or len(images) == 1:
        lines: list[str] = []
        for image, caption in zip(images, captions, strict=True):
            lines += [f"{image}\\", f"*{caption}*", ""]
        return lines
    return [_table_line(cells) for cells in (captions, ["---"] * len(images), images)]


def _caption(picture: Picture) -> str:
    return escape_markdown(f"{picture.caption} ({picture.detail})" if picture.detail else picture.caption)


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _render_metadata(metadata: RunMetadata) -> str:
    facts = "; ".join(f"{name} {escape_markdown(text)}" for name, text in metadata.facts.items())
    title, status = escape_markdown(metadata.title), escape_markdown(metadata.status)
    return f"- **{escape_markdown(metadata.label)}**, {title}: {status}. {facts}"
