"""Colors, font sizes and axes style shared by all figures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT_COLOR, MUTED_COLOR = "#1f2430", "#8a90a0"
BLUE, ORANGE, GREEN = "#3b6fb6", "#e07b39", "#3d9970"
CLASS_COLORS = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#7f7f7f", "#ccb974", "#64b5cd",
)  # fmt: skip
TITLE_SIZE, LABEL_SIZE = 11, 9
"""Font sizes in points."""


def new_figure(width: float, height: float) -> Figure:
    """Create a white figure that renders without a display.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_header(figure: Figure, title: str, caption: str, x: float, title_y: float, caption_y: float) -> None:
    """Write a title and a smaller caption below it.

    Args:
        figure: the figure to write on.
        title: one line.
        caption: one line; empty for no caption.
        x: left edge of both lines, as a fraction of the figure's width.
        title_y: top of the title, as a fraction of the figure's height.
        caption_y: top of the caption, as a fraction of the figure's height.
    """
    figure.text(x, title_y, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR)
    if caption:
        figure.text(x, caption_y, caption, va="top", fontsize=LABEL_SIZE, color=MUTED_COLOR)


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Set a left-aligned title and small axis labels, hide the top and right spines, and color the other spines gray.

    Args:
        axes: the axes to style.
        title: title of the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    # With a fixed y position, matplotlib does not lay out all tick labels again to place the title above them.
    axes.set_title(title, loc="left", fontsize=TITLE_SIZE, color=TEXT_COLOR, y=1.0)
    axes.set_xlabel(x, fontsize=LABEL_SIZE, color=TEXT_COLOR)
    axes.set_ylabel(y, fontsize=LABEL_SIZE, color=TEXT_COLOR)
    axes.tick_params(labelsize=LABEL_SIZE - 1, colors=MUTED_COLOR)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED_COLOR)
