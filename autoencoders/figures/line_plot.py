"""Several methods over one quantity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, CLASSES, FAINT, LABEL, canvas, plain


def line_plot(
    lines: Mapping[str, np.ndarray], title: str, x: str, y: str, mark: tuple[float, str] | None = None
) -> Figure:
    """A line per method, the first one (the model) in front; error bars of one standard error.

    Args:
        lines: name -> (n, 3) array of positions, values and standard errors.
        title: one line above.
        x: what the horizontal axis is, with its unit.
        y: what the vertical axis is, with its unit.
        mark: a position, and a word for it.
    """
    figure = canvas(7.2, 4.4)
    ax = figure.add_subplot()
    for i, (name, points) in enumerate(lines.items()):
        color, front = (BLUE, 3) if i == 0 else (CLASSES[i % len(CLASSES)], 2)
        ax.errorbar(*points.T[:2], yerr=points[:, 2], color=color, lw=2.2 if i == 0 else 1.3, marker="o",
                    ms=4 if i == 0 else 3, capsize=2, label=name, zorder=front)  # fmt: skip
    if mark is not None:
        ax.axvline(mark[0], color=FAINT, ls=":", lw=1, zorder=0)
        ax.annotate(mark[1], (mark[0], 1), xycoords=("data", "axes fraction"), xytext=(4, -2), va="top",
                    textcoords="offset points", fontsize=LABEL, color=FAINT)  # fmt: skip
    plain(ax, title, x, y)
    ax.legend(frameon=False, fontsize=LABEL, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    return figure
