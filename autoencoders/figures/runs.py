"""One metric of several runs over their optimizer steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import CLASSES, FAINT, LABEL, canvas, plain

STYLES = ("-", "--", ":", "-.")
"""Line styles: the next one each time the colors are used up."""

BEGINNING, MUCH = 0.15, 1.5
"""Steps before this share of all may leave the axes at the top, where they would take so many times its height."""


def metric_over_runs(
    curves: Mapping[str, np.ndarray], title: str, y: str, baselines: Mapping[str, float] | None = None
) -> Figure:
    """A line per run; dotted lines for baselines.

    The first epochs may leave the axes at the top, where they would press flat what follows.

    Args:
        curves: run -> (n, 2) array of steps and values.
        title: one line above.
        y: what the vertical axis is, with its unit.
        baselines: name -> value; one beyond the axis is left out.
    """
    figure = canvas(5.0, 3.6)
    ax = figure.add_subplot()
    for i, (name, points) in enumerate(curves.items()):
        style = STYLES[i // len(CLASSES) % len(STYLES)]
        marker = "o" if len(points) < 40 else None
        ax.plot(*points.T, color=CLASSES[i % len(CLASSES)], ls=style, lw=1.6, marker=marker, ms=2.5, label=name)
    ax.set_ylim(*_limits(list(curves.values())))
    for name, value in (baselines or {}).items():
        if ax.get_ylim()[0] <= value <= ax.get_ylim()[1]:
            ax.axhline(value, color=FAINT, ls=":", lw=1)
            ax.annotate(name, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                        fontsize=LABEL - 1, color=FAINT)  # fmt: skip
    plain(ax, title, "optimizer step", y)
    legend = ax.legend(frameon=False, fontsize=LABEL - 1, loc="upper left", bbox_to_anchor=(-0.1, -0.18), ncols=2)
    for text in legend.get_texts():  # names of runs are no formulas
        text.set_parse_math(False)
    figure.tight_layout()
    return figure


def _limits(curves: list[np.ndarray]) -> tuple[float, float]:
    """What the vertical axis spans."""
    steps, values = np.concatenate(curves).T
    low, high = values.min(), values[steps >= BEGINNING * steps.max()].max()
    if values.max() - low <= MUCH * (high - low):
        high = values.max()
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room
