"""The look all figures share."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT = "#1f2430", "#8a90a0"
BLUE, ORANGE, GREEN = "#3b6fb6", "#e07b39", "#3d9970"
CLASSES = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#7f7f7f", "#ccb974", "#64b5cd",
)  # fmt: skip
TITLE, LABEL = 11, 9
"""Font sizes in points."""


def canvas(width: float, height: float) -> Figure:
    """A white figure of this size in inches that renders without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Left-aligned title, quiet spines, small labels."""
    # A place of its own: matplotlib would lay all tick labels out once more to look for one above them.
    axes.set_title(title, loc="left", fontsize=TITLE, color=INK, y=1.0)
    axes.set_xlabel(x, fontsize=LABEL, color=INK)
    axes.set_ylabel(y, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=LABEL - 1, colors=FAINT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
