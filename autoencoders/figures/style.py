"""Colors, font sizes, titles and axes style of all figures."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

TEXT_COLOR, MUTED_COLOR = "#1f2430", "#6b7180"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
FEW_COLORS = (BLUE, ORANGE, GREEN, PURPLE, "#e69f00", "#56b4e9", "#000000", "#f0e442")
"""Colors of up to 8 categories (Okabe and Ito, 2008)."""
MANY_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Colors of up to 10 categories (Petroff, 2021, arXiv:2107.02270)."""
MODEL_COLORS = {"vae": BLUE, "ae": ORANGE, "cvae": GREEN, "pca": "#000000", "classifier": PURPLE}
"""Name of a model -> its color in all figures that compare models."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINE_STYLES = ("-", "--", ":", "-.")
"""Markers and line styles, which distinguish categories of the same color."""
TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 11, 9, 8
"""Font sizes in points. No text is smaller than SMALL_SIZE."""
TITLE_CHARACTER, CAPTION_CHARACTER = 0.078, 0.068
"""Average width of a character of a title and of a caption, in inches."""
TITLE_ID, CAPTION_ID = "figure-title", "figure-caption"
"""Ids (`Artist.get_gid`) of the title and the caption of a figure."""

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


def class_colors(count: int) -> list[str]:
    """Return one color per category. Up to 10 colors are distinct, also for readers with a color vision deficiency."""
    palette = FEW_COLORS if count <= len(FEW_COLORS) else MANY_COLORS
    return [palette[i % len(palette)] for i in range(count)]


@dataclass(frozen=True)
class SeriesStyle:
    """Color, line style and marker of one series of a plot."""

    color: str
    line: str
    marker: str


def series_styles(models: Sequence[str], by_model: bool) -> list[SeriesStyle]:
    """Return one style per series.

    Args:
        models: name of the model of each series.
        by_model: True for one color per model; the series of a model then differ in line style and marker. False for
            one color per series.
    """
    if not by_model:
        colors = class_colors(len(models))
        return [SeriesStyle(c, LINE_STYLES[i // len(MANY_COLORS) % 4], "o") for i, c in enumerate(colors)]
    unknown = [name for name in dict.fromkeys(models) if name not in MODEL_COLORS]
    free = [color for color in FEW_COLORS if color not in MODEL_COLORS.values()]
    palette = {**MODEL_COLORS, **{name: free[i % len(free)] for i, name in enumerate(unknown)}}
    styles = []
    for i, name in enumerate(models):
        index = models[:i].count(name)
        marker = MARKERS[index // len(LINE_STYLES) % len(MARKERS)]
        styles.append(SeriesStyle(palette[name], LINE_STYLES[index % len(LINE_STYLES)], marker))
    return styles


def wrap_text(text: str, limit: int, width: float, character: float) -> list[str]:
    """Break a text into lines that fit a width.

    Args:
        text: text of at most `limit` characters. The rest is cut off.
        limit: maximum number of characters.
        width: width of a line in inches.
        character: average width of a character in inches.
    """
    return textwrap.wrap(plain_text(text, limit), max(int(width / character), 20)) or [""]


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
        title: text of the title; one line, or lines of `wrap_text`.
        caption: text of the caption, as for the title. An empty string means no caption.
        x: left edge of title and caption, as a fraction of the figure width.
        title_y: top edge of the title, as a fraction of the figure height.
        caption_y: top edge of the caption, as a fraction of the figure height.
    """
    title = "\n".join(plain_text(line, MAX_TITLE) for line in title.split("\n"))
    caption = "\n".join(plain_text(line, MAX_CAPTION) for line in caption.split("\n"))
    figure.text(x, title_y, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR, gid=TITLE_ID, **PLAIN)
    if caption:
        figure.text(x, caption_y, caption, va="top", fontsize=LABEL_SIZE, color=MUTED_COLOR, gid=CAPTION_ID, **PLAIN)


def add_axes_header(axes: Axes, title: str, caption: str = "") -> None:
    """Add the title and the caption of a figure above its only axes, aligned with their left edge.

    Args:
        axes: axes below the texts.
        title: text of the title, one line.
        caption: text of the caption, which is broken into lines. An empty string means no caption.
    """
    width = axes.figure.bbox.width / axes.figure.dpi * (1 - axes.get_position().x0)  # inches
    lines = wrap_text(caption, MAX_CAPTION, width, CAPTION_CHARACTER) if caption else []
    # With a fixed y position, matplotlib does not need to compute the layout of all tick labels to place the title.
    axes.set_title(
        plain_text(title, MAX_TITLE) + "\n" * len(lines), loc="left", fontsize=TITLE_SIZE, color=TEXT_COLOR, y=1.0,
        gid=TITLE_ID, **PLAIN,
    )  # fmt: skip
    if lines:
        axes.annotate("\n".join(lines), (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
                      va="bottom", fontsize=LABEL_SIZE, color=MUTED_COLOR, gid=CAPTION_ID, **PLAIN)  # fmt: skip


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
    axes.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED_COLOR)
