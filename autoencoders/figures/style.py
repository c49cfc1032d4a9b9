"""Colors, font sizes and axes style of all figures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

TEXT_COLOR, MUTED_COLOR = "#1f2430", "#8a90a0"
BLUE, ORANGE, GREEN, PURPLE = "#3b6fb6", "#e07b39", "#3d9970", "#8172b3"
CLASS_COLORS = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#7f7f7f", "#ccb974", "#64b5cd",
)  # fmt: skip
TITLE_SIZE, LABEL_SIZE = 11, 9
"""Font sizes in points."""

PLAIN: dict[str, Any] = {"parse_math": False}
"""Argument of every text in a figure. Names of the user are text, so a dollar sign does not start a formula."""

MAX_TITLE, MAX_CAPTION, MAX_NAME = 160, 320, 24
"""Maximum numbers of characters of a title, of a caption, and of a name such as a class in a legend."""

# A font may not contain all characters of the user's names. Matplotlib then draws a box.
warnings.filterwarnings("ignore", message="Glyph .* missing from", module=r"autoencoders\.")


def plain_text(text: object, limit: int = MAX_NAME) -> str:
    """Return a text as one line of printable characters, cut off after `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def add_legend(target: Axes | Figure, handles: Sequence[Artist], names: Sequence[str], **options: Any) -> Legend:
    """Add a legend without a frame, whose entries are plain text.

    Args:
        target: axes or figure to which the legend is added.
        handles: artist of each entry.
        names: text of each entry. It may start with an underscore, which Matplotlib would leave out.
        **options: arguments of `Axes.legend`.
    """
    legend = target.legend(handles, [" "] * len(handles), **{"frameon": False, "fontsize": LABEL_SIZE, **options})
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(plain_text(name, 2 * MAX_NAME))
    return legend


def add_axes_legend(axes: Axes, **options: Any) -> Legend:
    """Add a legend with all labeled artists of the axes; see `add_legend`."""
    handles, names = axes.get_legend_handles_labels()
    return add_legend(axes, handles, names, **options)


def new_figure(width: float, height: float) -> Figure:
    """Create an empty white figure that can be saved without a display.

    Args:
        width: width of the figure in inches.
        height: height of the figure in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_header(figure: Figure, title: str, caption: str, x: float, title_y: float, caption_y: float) -> None:
    """Add a title and a caption in smaller text to a figure.

    Args:
        figure: figure to which the texts are added.
        title: text of the title, one line.
        caption: text of the caption, one line. An empty string means no caption.
        x: left edge of title and caption, as a fraction of the figure width.
        title_y: top edge of the title, as a fraction of the figure height.
        caption_y: top edge of the caption, as a fraction of the figure height.
    """
    title, caption = plain_text(title, MAX_TITLE), plain_text(caption, MAX_CAPTION)
    figure.text(x, title_y, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR, **PLAIN)
    if caption:
        figure.text(x, caption_y, caption, va="top", fontsize=LABEL_SIZE, color=MUTED_COLOR, **PLAIN)


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Set the title and the axis labels of axes, and apply the common style.

    The title is aligned left. The top and right spines are hidden, and the other spines are gray.

    Args:
        axes: axes to change.
        title: text above the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    # With a fixed y position, matplotlib does not need to compute the layout of all tick labels to place the title.
    axes.set_title(title, loc="left", fontsize=TITLE_SIZE, color=TEXT_COLOR, y=1.0, **PLAIN)
    axes.set_xlabel(plain_text(x, MAX_TITLE), fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
    axes.set_ylabel(plain_text(y, MAX_TITLE // 2), fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
    axes.tick_params(labelsize=LABEL_SIZE - 1, colors=MUTED_COLOR)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED_COLOR)
