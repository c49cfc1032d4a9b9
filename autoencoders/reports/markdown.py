"""A report as Markdown, for a README: pipe tables, and pictures by relative links."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from urllib.parse import quote

from autoencoders.config.diff import ABSENT_TEXT
from autoencoders.reports.content import Report, Section
from autoencoders.reports.html import anchor
from autoencoders.reports.images import Group, Picture
from autoencoders.reports.tables import AHEAD, Cell, Table

BEST, OVERTAKEN = "Bold: the best of what can be compared.", f"{AHEAD}: a baseline that is better."


def render_markdown(report: Report, folder: Path, beside: Path, copy: bool = False) -> tuple[str, dict[Path, bytes]]:
    """The file's text, and the pictures that must be written for its links.

    Args:
        report: what it says.
        folder: where the file will lie; links start there.
        beside: a folder for pictures: those the report drew, and all of them where they are copied.
        copy: whether figures of runs are copied, so that the file needs no run.
    """
    files: dict[Path, bytes] = {}
    lines = [f"# {escaped(report.title)}", *map(escaped, report.question)]
    lines += [f"**Verdict.** {escaped(' '.join(report.verdict))}"] if report.verdict else []
    lines += [_commands(report)] if report.asked else []
    for section in report.sections:
        lines += _section(section, folder, beside, copy, files)
    lines += ["## Runs", *_cards(report)] if report.cards else []
    return "\n\n".join(lines) + "\n", files


def escaped(words: str) -> str:
    """Words that Markdown and HTML leave as they are, on one line."""
    flat = re.sub(r"[&<>|~$]", lambda found: f"&#{ord(found[0])};", " ".join(words.split()))
    return re.sub(r"(?<!&)#|[\\`*_\[\]!]", lambda found: f"\\{found[0]}", flat)


def _commands(report: Report) -> str:
    lines = [f"{report.common} {asked.words}".strip() for asked in report.asked]
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
    return "\n".join([f"{fence}bash", *lines, fence])


def _section(section: Section, folder: Path, beside: Path, copy: bool, files: dict[Path, bytes]) -> list[str]:
    lines = [f"## {escaped(section.title)}"]
    for table in section.tables:
        lines += [f"**{escaped(table.title)}**", "\n".join(table_lines(table))]
        marks = [BEST] * table.marked + [OVERTAKEN] * table.overtaken
        lines += [f"*{escaped(' '.join([*marks, *table.notes]))}*"] if marks or table.notes else []
    for group in section.groups:
        links = [_link(group, picture, folder, beside, copy, files) for picture in group.pictures]
        lines.append("\n".join([f"**{escaped(group.title)}**", "", *_side_by_side(group, links)]))
    return [*lines, *(escaped(text) for text in section.texts)]


def table_lines(table: Table) -> list[str]:
    """A table as pipes: the best in bold, a baseline better than its run with `◂`."""
    units = [f" ({escaped(c.unit)})" if c.unit and c.beside is None else "" for c in table.columns]
    heads = [escaped(column.label) + unit for column, unit in zip(table.columns, units, strict=True)]
    rule = ["---", *("---" if column.words else "---:" for column in table.columns)]
    rows = [[_head(row.head, row.detail, row.baseline), *(_cell(cell) for cell in row.cells)] for row in table.rows]
    return [f"| {' | '.join(line)} |" for line in ([escaped(table.head), *heads], rule, *rows)]


def _head(head: str, detail: str, baseline: bool) -> str:
    words = f"*{escaped(head)}*" if baseline else escaped(head)
    return f"{words} ({escaped(detail)})" if detail else words


def _cell(cell: Cell) -> str:
    words = escaped(cell.text) + (f" ± {escaped(cell.error_text)}" if cell.error_text else "")
    return (
        f"**{words}**"
        if cell.best
        else f"{words} {AHEAD}"
        if cell.ahead and cell.value is not None
        else words or ABSENT_TEXT
    )


def _side_by_side(group: Group, links: Sequence[str]) -> list[str]:
    """Pictures in a row of a table, their captions above; wide ones below each other."""
    captions = [escaped(f"{p.caption}{f' ({p.detail})' if p.detail else ''}") for p in group.pictures]
    if group.wide or len(links) == 1:
        return [line for pair in zip(links, captions, strict=True) for line in (f"{pair[0]}\\", f"*{pair[1]}*", "")]
    return [f"| {' | '.join(line)} |" for line in (captions, ["---"] * len(links), links)]


def _link(group: Group, picture: Picture, folder: Path, beside: Path, copy: bool, files: dict[Path, bytes]) -> str:
    path = picture.path
    if path is None or copy:
        suffix = "." + picture.media.partition("/")[2]
        name = f"{anchor(group.title)}-{anchor(picture.caption)}"
        names = (beside / f"{name}{f'-{i}' if i else ''}{suffix}" for i in count())
        path = next(file for file in names if file not in files)  # captions may differ in their punctuation alone
        files[path] = picture.content
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return f"![{escaped(f'{group.title}: {picture.caption}')}]({quote(Path(relative).as_posix())})"


def _cards(report: Report) -> list[str]:
    cards = []
    for metadata in report.cards:
        facts = "; ".join(f"{key} {escaped(words)}" for key, words in metadata.facts.items())
        cards.append(f"- **{escaped(metadata.label)}**, {escaped(metadata.title)}: {escaped(metadata.status)}. {facts}")
    return ["\n".join(cards)]
