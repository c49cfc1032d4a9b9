"""Terminal output: blocks of text, tables, progress bars, and a live display of the training state.

Only this module imports Rich. Without an interactive terminal (for example with a pipe, a log file, CI, NO_COLOR or
TERM=dumb) there are no progress bars and no live display, only printed lines.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from autoencoders.utils.signals import is_worker

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table

T = TypeVar("T")

PER_SECOND = 2
"""Number of refreshes of the live display per second. A separate thread draws it, so that training does not wait."""

MARGIN = 8
"""Width of the block labels on the left, in characters."""


def is_interactive() -> bool:
    """Return whether stdout is a terminal that supports cursor movement, and only this process uses the terminal.

    Parallel jobs of a sweep (joblib) share a terminal. For such jobs, the result is False.
    """
    moves = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    plain = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    draws = str(sys.stdout.encoding).lower().startswith("utf")
    return sys.stdout.isatty() and moves and draws and not is_worker() and not plain


def line_width() -> int:
    """Return the width of the terminal in characters."""
    return _console().width


def _console() -> Console:
    from rich.console import Console

    class VisibleCursor(Console):
        """Console that never hides the cursor, because a process that is killed could not show it again."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    return VisibleCursor(highlight=False)


class Block(NamedTuple):
    """A table of text with one label on its left.

    Attributes:
        label: text on the left of the table.
        rows: rows of the table; each row is a sequence of cells.
        head: column headers; empty for no headers.
        right: indices of the right-aligned columns.
        faint: indices of the rows that are printed in a dim style.
    """

    label: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    right: Collection[int] = ()
    faint: Collection[int] = ()


def print_blocks(blocks: Iterable[Block], title: str = "") -> None:
    """Print blocks below each other, with their labels on the left, and an optional title above the blocks."""
    from rich.table import Table
    from rich.text import Text

    console = _console()
    if title:
        console.print(Text(f"\n{title}", "bold", overflow="fold"))
    outer = Table.grid(padding=(0, 1, 0, 0))
    outer.add_column(style="cyan", width=MARGIN, no_wrap=True)
    outer.add_column(overflow="fold")
    for block in blocks:
        outer.add_row(block.label, _inner(block))
    console.print(outer)


def _inner(block: Block) -> Table:
    from rich.table import Table
    from rich.text import Text

    inner = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(block.head), header_style="dim")
    for i in range(max(map(len, [*block.rows, block.head]), default=0)):
        head = Text(block.head[i]) if block.head else ""
        inner.add_column(head, justify="right" if i in block.right else "left", overflow="fold")
    for i, row in enumerate(block.rows):
        inner.add_row(*map(Text, row), style="dim" if i in block.faint else "")
    return inner


class TrainingState(NamedTuple):
    """State of the training that the live display shows.

    Attributes:
        share: completed fraction of the training, in [0, 1]; None if the training has no fixed end.
        before: text before the progress bar.
        after: texts after the progress bar. Texts that do not fit into the line are omitted.
        values: formatted metrics below the progress bar.
    """

    share: float | None
    before: str
    after: Sequence[str]
    values: Sequence[str]


class LiveDisplay:
    """Lines at the bottom of the terminal that show the state of the training. Other output is printed above the lines.

    Args:
        state: function that returns the current state. A separate thread calls this function for every refresh, so the
            function must be fast and must not wait for the device.
    """

    def __init__(self, state: Callable[[], TrainingState]) -> None:
        from rich.live import Live

        self._state, self._console = state, _console()
        # If stderr is redirected to a file, Rich must not print the output of stderr to the terminal.
        self._live = Live(
            console=self._console,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
            get_renderable=self._drawn,
        )
        self._live.start()

    def say(self, line: str, style: str = "") -> None:
        """Print a line above the display, in a Rich style such as `bold`."""
        from rich.text import Text

        self._console.print(Text(line, style))

    def close(self) -> None:
        """Remove the display and restore the terminal."""
        self._live.stop()

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        state = self._state()
        lines = [Text(line) for line in wrap_words(state.values, self._console.width)]
        return Group(self._bar(state), *lines)

    def _bar(self, state: TrainingState) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        # One column stays free, because some terminals wrap a line that has their full width.
        room = self._console.width - len(state.before) - 2 - 1
        after = next(wrap_words(state.after, max(room - 12, 0)), "")
        bar = max(min(room - len(after) - 2, 40), 4)
        line = Table.grid(padding=(0, 2, 0, 0))
        share = (
            ""
            if state.share is None
            else ProgressBar(1.0, state.share, bar, complete_style="cyan", finished_style="cyan")
        )
        line.add_row(Text(state.before, "bold"), share, Text(after))
        return line


def wrap_words(words: Iterable[str], room: int, gap: str = "   ") -> Iterator[str]:
    """Yield lines of at most `room` characters with words separated by `gap`. A longer word gets its own line."""
    line = ""
    for word in words:
        if line and len(line) + len(gap) + len(word) > room:
            yield line
            line = word
        else:
            line = f"{line}{gap}{word}" if line else word
    if line:
        yield line


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> int:
    """Print a table that fits the width of the terminal, or 80 characters without a terminal.

    Columns on the right are omitted until the table fits. If the first column alone is too wide, its cells are wrapped.
    Columns of numbers are aligned to the right.

    Args:
        headers: one header per column.
        rows: rows of formatted cells.
        title: line above the table; empty for no title.

    Returns:
        The number of omitted columns.
    """
    from rich.table import Table
    from rich.text import Text

    console, gap = _console(), 2
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    shown = len(headers)
    while shown > 1 and sum(widths[:shown]) + gap * (shown - 1) > console.width:
        shown -= 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for i, header in enumerate(headers[:shown]):
        numeric = all(not row[i] or row[i].lstrip("-.")[:1].isdigit() for row in rows)
        table.add_column(Text(header), justify="right" if numeric and i else "left", overflow="fold", no_wrap=i > 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[:shown]))
    if title:
        console.print(Text(title, "bold"))
    console.print(table)
    return len(headers) - shown


def format_with_error(value: float, error: float) -> str:
    """Return a value with its standard error as text, such as `0.629 ± 0.041`. The error has two significant digits.

    If the error is 0 or not finite, only the value is returned.
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return format_number(value)
    decimals = min(8, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


def format_number(value: float) -> str:
    """Return a number as text with four significant digits, or without decimals from 10,000 on."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def track_progress(
    items: Iterable[T], what: str, total: int | None, unit: str = "images", size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """Yield the items unchanged, and show a progress bar if the terminal is interactive.

    Args:
        items: items to iterate over.
        what: description of the task, shown before the progress bar.
        total: total number of units; None if unknown.
        unit: name of the unit in which progress is counted. `bytes` are shown as kB, MB or GB.
        size: function that returns the number of units in an item.
    """
    if not is_interactive():
        yield from items
        return
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = [DownloadColumn()] if unit == "bytes" else [MofNCompleteColumn(), TextColumn(unit)]
    with Progress(
        TextColumn(what), BarColumn(), *count, TimeRemainingColumn(), console=_console(), transient=True
    ) as bar:
        task = bar.add_task(what, total=total)
        for item in items:
            yield item
            bar.advance(task, size(item))
