"""How a terminal looks: blocks of facts, a few lines that follow a training, a bar. The only file that says rich.

Where there is none (a pipe, a log file, CI, NO_COLOR, TERM=dumb) doors print plain lines, and rich is not loaded.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table

T = TypeVar("T")

PER_SECOND = 2
"""How often what follows a training is drawn, by a thread of its own: a step knows nothing of it."""

MARGIN = 8
"""Characters of the labels at the left."""


def is_interactive() -> bool:
    """Whether a person looks at a terminal that can move its cursor, and this process has it for itself.

    Jobs that run side by side (joblib) share one, and print plain lines.
    """
    import multiprocessing

    moves = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    plain = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    draws = str(sys.stdout.encoding).lower().startswith("utf")
    alone = multiprocessing.current_process().name == "MainProcess"
    return sys.stdout.isatty() and moves and draws and alone and not plain


def line_width() -> int:
    """Characters in a line."""
    return _console().width


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


class Block(NamedTuple):
    """Lines under a label.

    Attributes:
        label: at the left.
        rows: cells.
        head: of the columns; empty for none.
        right: columns that are aligned at the right.
        faint: rows that matter less.
    """

    label: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    right: Collection[int] = ()
    faint: Collection[int] = ()


def print_blocks(blocks: Iterable[Block], title: str = "") -> None:
    """Print blocks below each other, labels at the left."""
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
    """What is shown of a training while it goes on.

    Attributes:
        share: of it that is done, in [0, 1]; None where it has no end.
        before: words before the bar.
        after: words behind it.
        values: words below.
    """

    share: float | None
    before: str
    after: Sequence[str]
    values: Sequence[str]


class LiveDisplay:
    """Lines at the bottom of a terminal that follow a training; what is printed meanwhile goes above them.

    A thread draws them, from what `state` then says: that must be cheap, and wait for nothing.

    Args:
        state: called for every drawing.
    """

    def __init__(self, state: Callable[[], TrainingState]) -> None:
        from rich.live import Live

        self._state, self._console = state, _console()
        # Words for a stderr that is a file stay there.
        self._live = Live(
            console=self._console,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
            get_renderable=self._drawn,
        )
        self._live.start()

    def say(self, line: str, style: str = "") -> None:
        """Print a line above."""
        from rich.text import Text

        self._console.print(Text(line, style))

    def close(self) -> None:
        """Take the lines away, and give the terminal back as it was."""
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

        # One column is left free: a line that fills a terminal breaks in some.
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
    """Words in lines of at most so many characters, where one word alone is not longer."""
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
    """Print a table that fits the terminal, or 80 columns where there is none.

    Columns are left out from the right until the others fit; a cell of the first column that is still too long is
    folded between words. Numbers are aligned at the right.

    Args:
        headers: one per column.
        rows: cells, formatted.
        title: a line above the table; empty for none.

    Returns:
        The number of columns left out.
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
    """A value and its standard error in one cell, `0.629 ± 0.041`, with two digits of the error."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return format_number(value)
    decimals = min(8, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


def format_number(value: float) -> str:
    """Four digits, and no exponents of large numbers."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def track_progress(
    items: Iterable[T], what: str, total: int | None, unit: str = "images", size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """The items, with a bar while they come; without one where there is no terminal.

    Args:
        items: whatever is counted.
        what: is being done.
        total: units in all; None where nobody knows.
        unit: of the count; `bytes` are told in their multiples.
        size: units that an item stands for.
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
