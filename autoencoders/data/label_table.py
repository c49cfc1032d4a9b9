"""Read a file with one row of labels per image, join it to the images, and interpret its columns.

All cells are read as text, so that words such as `None` and `NA` stay words. This module decides the type of a column:

- A single label column of integers or words gives classes. A single column with decimal numbers gives one attribute.
- Several label columns give attributes. Each must contain numbers, or two different words, which become 0 and 1.
- An empty cell is an unknown label.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import Context, UserError
from autoencoders.utils.names import comparable_name, printable_name

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""Separators of cells -> name for messages."""
INTEGER = re.compile(r"-?(0|[1-9]\d*)")
"""Pattern of an integer. Text such as 007 is a word, because it is not equal to 7."""
MAX_LISTED = 12
"""Maximum number of columns or classes that a note lists."""


@dataclass(frozen=True)
class LabelTable:
    """Cells of a label file, one row per image after `join`.

    Attributes:
        path: path of the file.
        columns: names of the label columns, without the first column, which contains the image paths.
        keys: image paths in the first column, in the form of `comparable_name`.
        cells: rows of text, without the first column.
        lines: line in the file at which each row ends, from 1.
        notes: sentences on how the file was read.
    """

    path: Path
    columns: list[str]
    keys: list[str]
    cells: list[list[str]]
    lines: list[int]
    notes: list[str]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column, one per row."""
        index = self.columns.index(name)
        return [row[index] for row in self.cells]


def read_label_table(path: Path) -> LabelTable:
    """Read a label file: UTF-8, UTF-16 with a byte order mark, or Latin-1; separated by commas, semicolons or tabs.

    Spaces around a cell are removed.

    Raises:
        UserError: if the file is not a table of this form, or a path is listed twice.
    """
    text, notes = _decode(path)
    header_line = text.lstrip("\r\n").partition("\n")[0]
    try:
        separator = csv.Sniffer().sniff(header_line, "".join(SEPARATORS)).delimiter
    except csv.Error:  # a single column
        separator = ","
    if separator != ",":
        notes.append(f"The cells of {path.name} are separated by a {SEPARATORS[separator]}.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"Line {reader.line_num} of {path} cannot be read ({error}). Correct the line.") from error
    if not rows:
        raise UserError(f"{path} must contain a header and one row per image, got an empty file.")
    header = rows[0]
    _check_shape(path, rows, lines, SEPARATORS[separator])
    keys = [comparable_name(row[0]).removeprefix("./") for row in rows[1:]]
    _check_unique(path, keys, lines[1:])
    return LabelTable(path, header[1:], keys, [row[1:] for row in rows[1:]], lines[1:], notes)


def _decode(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file, and notes on its encoding."""
    content, notes = path.read_bytes(), []
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        notes.append(f"{path.name} is not valid UTF-8 and is read as Latin-1.")
    if "\0" in text:
        raise UserError(
            f"{path} must be a text file in UTF-8, in UTF-16 with a byte order mark, or in Latin-1, got a file with "
            "zero bytes. Save the table as CSV in UTF-8."
        )
    return text, notes


def _check_shape(path: Path, rows: list[list[str]], lines: list[int], separator: str) -> None:
    """Check that each row has as many cells as the header, and that the label columns have different names."""
    header = rows[0]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise UserError(
                f"Line {line} of {path} must have {len(header)} cells like the header, separated by a {separator}, got "
                f"{len(row)}. Correct the line, and put a cell that contains a {separator} into double quotes."
            )
    names = header[1:]
    if "" in names:
        raise UserError(
            f"Column {names.index('') + 2} of {path} must have a name in the first line, got an empty cell."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"The columns of {path} must have different names, got {twice!r} twice. Rename one of them.")


def _check_unique(path: Path, keys: list[str], lines: list[int]) -> None:
    """Check that no image path is listed twice."""
    first: dict[str, int] = {}
    for key, line in zip(keys, lines, strict=True):
        if key in first:
            raise UserError(
                f"{path} must list each image once, got {key} in line {first[key]} and in line {line}. Remove one of "
                "the two lines."
            )
        first[key] = line


def join(table: LabelTable, paths: Sequence[str]) -> LabelTable:
    """Return the table with one row per image, in the order of the images.

    Args:
        table: table from `read_label_table`.
        paths: paths of the images relative to `data.path`.

    Raises:
        UserError: if an image has no row, or two images have the same name in different encodings.
    """
    keys = [comparable_name(path) for path in paths]
    row = {key: i for i, key in enumerate(table.keys)}
    missing = [key for key in keys if key not in row]
    if missing or not table.columns:
        raise UserError(
            f"{table.path} must contain the labels of all images, but has no label for "
            f"{missing[0] if missing else 'any image'}{f' and {len(missing) - 1:,} more' if len(missing) > 1 else ''}. "
            "Write the names of the columns into the first line, the paths of the images, relative to data.path, into "
            "the first column and the labels into further columns."
        )
    names: dict[str, str] = {}
    for key, path in zip(keys, paths, strict=True):
        if names.setdefault(key, path) != path:
            raise UserError(
                f"The images {printable_name(names[key])} and {printable_name(path)} have the same name in two "
                f"encodings, so that a row of {table.path} cannot be joined to one of them. Rename one of the images."
            )
    notes = list(table.notes)
    if unused := len(table.keys) - len(keys):
        notes.append(f"{unused:,} row{'' if unused == 1 else 's'} of {table.path.name} without an image file.")
    index = [row[key] for key in keys]
    return LabelTable(
        table.path, table.columns, keys, [table.cells[i] for i in index], [table.lines[i] for i in index], notes
    )


def group_column(table: LabelTable, name: str) -> tuple[list[str], LabelTable]:
    """Return the cells of the column that assigns images to groups, and the table without this column.

    Raises:
        UserError: if the column does not exist or has an empty cell.
    """
    if name not in table.columns:
        raise UserError(
            f"data.group must be a column of {table.path}, got {name!r}. Choose from: {', '.join(table.columns)}."
        )
    values, index = table.column(name), table.columns.index(name)
    if "" in values:
        line = table.lines[values.index("")]
        raise UserError(
            f"Column {name!r} of {table.path} must contain the group of each image, got an empty cell in line {line}. "
            "Fill the cell; an image without a group can have a value of its own."
        )
    cells = [row[:index] + row[index + 1 :] for row in table.cells]
    columns = table.columns[:index] + table.columns[index + 1 :]
    return values, LabelTable(table.path, columns, table.keys, cells, table.lines, table.notes)


def interpret(table: LabelTable) -> tuple[Context | None, Tensor | None, list[str]]:
    """Return the type and names of the labels, the labels, and notes that state how the columns were understood.

    Args:
        table: table with one row per image, from `join`.

    Returns:
        The context, and class indices (N,) int64 with -1 for an unknown class, or attributes (N, A) float32 with NaN
        for an unknown value. None and None if the table has no label column.

    Raises:
        UserError: if a column cannot be understood.
    """
    if not table.columns:
        return None, None, []
    if len(table.columns) == 1:
        cells = table.column(table.columns[0])
        _check_not_empty(table, table.columns[0], cells)
        has_decimals = any(not cell.lstrip("+-").isdecimal() for cell in cells if cell)
        if parse_numbers(cells) is None or not has_decimals:
            return _classes(table.columns[0], cells)
    texts, values = [], []
    for name in table.columns:
        column, text = _attribute(table, name)
        values.append(column)
        texts.append(f"{name}: {text}")
    more = len(texts) - MAX_LISTED
    listed = "; ".join(texts[:MAX_LISTED]) + (f"; and {more} more columns" if more > 0 else "")
    notes = [f"Attributes of {table.path.name}: {listed}."]
    notes += [f"Column {text}." for text in texts[MAX_LISTED:] if " 1 is " in text]
    return Context("attributes", tuple(table.columns)), torch.from_numpy(np.stack(values, 1)), notes


def _classes(name: str, cells: list[str]) -> tuple[Context, Tensor, list[str]]:
    """Return the classes in a column of words or integers. The class index of an empty cell is -1."""
    words = {cell for cell in cells if cell}
    known = sorted(words, key=int if all(INTEGER.fullmatch(word) for word in words) else None)
    number = {cell: i for i, cell in enumerate(known)} | {"": -1}
    more = len(known) - MAX_LISTED
    listed = ", ".join(known[:MAX_LISTED]) + (f", and {more:,} more" if more > 0 else "")
    note = f"Column {name}: {len(known):,} class{'' if len(known) == 1 else 'es'} ({listed})."
    return Context("classes", tuple(known)), torch.tensor([number[cell] for cell in cells]), [note]


def _attribute(table: LabelTable, name: str) -> tuple[np.ndarray, str]:
    """Return the values (N,) float32 of an attribute column, and a text that states how they were understood."""
    cells = table.column(name)
    _check_not_empty(table, name, cells)
    numbers = parse_numbers(cells)
    if numbers is not None:
        known = numbers[np.isfinite(numbers)]
        return numbers.astype(np.float32), f"numbers, {known.min():g} to {known.max():g}"
    words = sorted({cell for cell in cells if cell})
    if len(words) == 2 and all(parse_numbers([word]) is None for word in words):
        values = {words[0]: 0.0, words[1]: 1.0, "": np.nan}
        return np.array([values[cell] for cell in cells], np.float32), f"0 is {words[0]} and 1 is {words[1]}"
    row = next(i for i, cell in enumerate(cells) if cell and parse_numbers([cell]) is None)
    raise UserError(
        f"Column {name!r} of {table.path} must contain only numbers, or only two different words, got {cells[row]!r} "
        f"in line {table.lines[row]}. Correct the cell (leave it empty if the value is unknown), or remove the column. "
        "Words of more than two kinds are classes only if they are in the single label column of a file."
    )


def _check_not_empty(table: LabelTable, name: str, cells: list[str]) -> None:
    if not any(cells):
        raise UserError(
            f"Column {name!r} of {table.path} must contain at least one label, got only empty cells. Remove the column."
        )


def parse_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Return the numbers (N,) float64 in cells of text, NaN for an empty cell, or None if a cell is not a number.

    `nan`, `inf` and digits with underscores are words.
    """
    try:
        values = np.array([cell or "nan" for cell in cells], dtype=np.str_).astype(np.float64)
    except ValueError:
        return None
    empty = np.array([not cell for cell in cells], dtype=bool)
    finite = np.isfinite(values)
    return values if (finite | empty).all() and not any("_" in cell for cell in cells) else None
