"""Scatter plot of codes that are projected to two dimensions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    BLUE,
    CLASS_COLORS,
    LABEL_SIZE,
    MAX_CAPTION,
    MAX_TITLE,
    MUTED_COLOR,
    PLAIN,
    TEXT_COLOR,
    add_legend,
    new_figure,
    plain_text,
    style_axes,
)
from autoencoders.utils.texts import MAX_CLASSES

MARKERS = ("o", "s")
"""Markers of classes. If there are more classes than colors, the colors are repeated with the next marker."""


def scatter_codes(
    points: np.ndarray,
    title: str,
    axes: tuple[str, str],
    labels: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    prior: bool = False,
    caption: str = "",
) -> Figure:
    """Plot projected codes as points, colored by class.

    Args:
        points: (N, 2) projected codes.
        title: one line above the axes.
        axes: labels of the horizontal and the vertical axis.
        labels: (N,) class indices for the colors, or None to use one color.
        names: names of the classes, for the legend.
        prior: whether to plot the circles that contain 50 % and 95 % of a two-dimensional standard normal distribution.
        caption: one line of smaller text below the title.
    """
    names = tuple(plain_text(name) for name in names)
    longest = max(map(len, names), default=0)
    figure = new_figure(
        max(7.2 if len(names) > MAX_CLASSES else 6.8, 6.2 + 0.09 * longest) if labels is not None else 5.8, 5.4
    )
    ax = figure.add_axes((0.1, 0.1, 5.0 / figure.get_figwidth(), 0.8))
    size = float(np.clip(20000 / max(len(points), 1), 5, 26))
    if labels is None:
        ax.scatter(points[:, 0], points[:, 1], s=size, c=BLUE, alpha=0.65, linewidths=0)
    else:
        _scatter_classes(ax, points, labels, names, size)
    if prior:
        _draw_prior(ax)
    style_axes(ax, f"{plain_text(title, MAX_TITLE)}\n", *axes)
    caption = plain_text(caption, MAX_CAPTION)
    ax.text(0, 1.015, caption, transform=ax.transAxes, fontsize=LABEL_SIZE, color=MUTED_COLOR, **PLAIN)
    return figure


def _scatter_classes(ax: Axes, points: np.ndarray, labels: np.ndarray, names: tuple[str, ...], size: float) -> None:
    """Plot the points of each class in its color, with a legend.

    If there are more than MAX_CLASSES classes, only the most frequent ones have a color and a legend entry.
    """
    shown = np.sort(np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[:MAX_CLASSES])
    others = points[~np.isin(labels, shown)]
    handles = [ax.scatter(others[:, 0], others[:, 1], s=size, color=MUTED_COLOR, alpha=0.35, linewidths=0)]
    for position, label in enumerate(shown):
        color = CLASS_COLORS[position % len(CLASS_COLORS)]
        marker = MARKERS[position // len(CLASS_COLORS) % len(MARKERS)]
        chosen = points[labels == label]
        handles.append(
            ax.scatter(chosen[:, 0], chosen[:, 1], s=size, color=color, marker=marker, alpha=0.75, linewidths=0)
        )
    entries = [f"{len(names) - len(shown):,} other classes", *(names[label] for label in shown)]
    first = 0 if len(shown) < len(names) else 1
    legend = add_legend(
        ax, handles[first:], entries[first:], loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=20 / size,
        handletextpad=0.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(TEXT_COLOR)


def _draw_prior(ax: Axes) -> None:
    """Plot the circles that contain 50 % and 95 % of a two-dimensional standard normal distribution."""
    angle = np.linspace(0, 2 * np.pi, 200)
    for share, line in ((0.5, ":"), (0.95, "--")):
        radius = np.sqrt(-2 * np.log(1 - share))  # quantile of the Rayleigh distribution
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), line, color=TEXT_COLOR, lw=0.8, alpha=0.6)
        ax.annotate(
            f"{share:.0%} of N(0, I)", (0, radius), ha="center", va="bottom", fontsize=LABEL_SIZE - 2, color=TEXT_COLOR,
            **PLAIN,
        )  # fmt: skip
