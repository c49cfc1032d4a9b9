"""Codes in the plane."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, CLASSES, FAINT, INK, LABEL, canvas, plain


def scatter(
    points: np.ndarray,
    title: str,
    axes: tuple[str, str],
    labels: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    prior: bool = False,
    caption: str = "",
) -> Figure:
    """Points colored by class.

    Args:
        points: (N, 2).
        title: one line above.
        axes: names of the two axes.
        labels: (N,) class numbers, or None.
        names: of the classes.
        prior: draw the circles that hold 50 and 95 % of a standard normal.
        caption: a smaller line under the title.
    """
    longest = max(map(len, names), default=0)
    figure = canvas(max(6.8, 6.2 + 0.09 * longest) if labels is not None else 5.8, 5.4)
    ax = figure.add_axes((0.1, 0.1, 5.0 / figure.get_figwidth(), 0.8))
    size = float(np.clip(20000 / max(len(points), 1), 5, 26))
    if labels is None:
        ax.scatter(*points.T, s=size, c=BLUE, alpha=0.65, linewidths=0)
    else:
        for i, name in enumerate(names):
            chosen = points[labels == i]
            color = CLASSES[i % len(CLASSES)]
            ax.scatter(*chosen.T, s=size, color=color, alpha=0.75, linewidths=0, label=name)
        legend = ax.legend(
            loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=LABEL, markerscale=20 / size,
            handletextpad=0.2,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_color(INK)
    if prior:
        angle = np.linspace(0, 2 * np.pi, 200)
        for share, line in ((0.5, ":"), (0.95, "--")):
            radius = np.sqrt(-2 * np.log(1 - share))  # a 2-D standard normal's radius is Rayleigh
            ax.plot(radius * np.cos(angle), radius * np.sin(angle), line, color=INK, lw=0.8, alpha=0.6)
            ax.annotate(f"{share:.0%} of N(0, I)", (0, radius), ha="center", va="bottom", fontsize=LABEL - 2, color=INK)
    plain(ax, f"{title}\n", *axes)
    ax.text(0, 1.015, caption, transform=ax.transAxes, fontsize=LABEL, color=FAINT)
    return figure
