"""One metric of several runs over their optimizer steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import CLASS_COLORS, LABEL_SIZE, MUTED_COLOR, new_figure, style_axes

LINE_STYLES = ("-", "--", ":", "-.")
"""The next style is used each time all colors have been used."""

EARLY_SHARE, MAX_EARLY_RATIO = 0.15, 1.5
"""Values before this share of all steps are cut off if they would stretch the axis by more than this ratio."""


def metric_over_runs(
    curves: Mapping[str, np.ndarray], title: str, y: str, baselines: Mapping[str, float] | None = None
) -> Figure:
    """Plot one line per run, and baselines as dotted lines.

    The vertical axis may cut off the high values of the first epochs, which would flatten the rest of the curves.

    Args:
        curves: run -> (n, 2) array of steps and values.
        title: one line above the axes.
        y: label of the vertical axis, with its unit.
        baselines: name -> value. A baseline outside the axis is not drawn.
    """
    figure = new_figure(5.0, 3.6)
    ax = figure.add_subplot()
    for i, (name, points) in enumerate(curves.items()):
        style = LINE_STYLES[i // len(CLASS_COLORS) % len(LINE_STYLES)]
        marker = "o" if len(points) < 40 else None
        ax.plot(*points.T, color=CLASS_COLORS[i % len(CLASS_COLORS)], ls=style, lw=1.6, marker=marker, ms=2.5,
                label=name)  # fmt: skip
    ax.set_ylim(*_vertical_limits(list(curves.values())))
    for name, value in (baselines or {}).items():
        if ax.get_ylim()[0] <= value <= ax.get_ylim()[1]:
            ax.axhline(value, color=MUTED_COLOR, ls=":", lw=1)
            ax.annotate(name, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                        fontsize=LABEL_SIZE - 1, color=MUTED_COLOR)  # fmt: skip
    style_axes(ax, title, "optimizer step", y)
    legend = ax.legend(frameon=False, fontsize=LABEL_SIZE - 1, loc="upper left", bbox_to_anchor=(-0.1, -0.18), ncols=2)
    for text in legend.get_texts():  # a dollar sign in a name does not start a formula
        text.set_parse_math(False)
    figure.tight_layout()
    return figure


def _vertical_limits(curves: list[np.ndarray]) -> tuple[float, float]:
    """Return the limits of the vertical axis; see `EARLY_SHARE`."""
    steps, values = np.concatenate(curves).T
    low, high = values.min(), values[steps >= EARLY_SHARE * steps.max()].max()
    if values.max() - low <= MAX_EARLY_RATIO * (high - low):
        high = values.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
