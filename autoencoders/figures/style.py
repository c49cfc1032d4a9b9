"""Colors, font sizes and axes style of all figures."""

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
    figure.text(x, title_y, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR)
    if caption:
        figure.text(x, caption_y, caption, va="top", fontsize=LABEL_SIZE, color=MUTED_COLOR)


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
    axes.set_title(title, loc="left", fontsize=TITLE_SIZE, color=TEXT_COLOR, y=1.0)
    axes.set_xlabel(x, fontsize=LABEL_SIZE, color=TEXT_COLOR)
    axes.set_ylabel(y, fontsize=LABEL_SIZE, color=TEXT_COLOR)
    axes.tick_params(labelsize=LABEL_SIZE - 1, colors=MUTED_COLOR)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED_COLOR)
