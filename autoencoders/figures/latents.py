"""Density plot of codes that are projected to two dimensions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter, map_coordinates

from autoencoders.figures.labels import place_labels
from autoencoders.figures.style import (
    BLUE,
    LABEL_SIZE,
    MARKERS,
    MUTED_COLOR,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    add_axes_header,
    add_legend,
    class_colors,
    new_figure,
    plain_text,
    style_axes,
)
from autoencoders.utils.texts import MAX_CLASSES

MAX_DOTS = 600
"""Maximum number of codes that are plotted as dots. More codes are plotted as densities, with evenly spaced dots."""
MIN_CONTOUR = 30
"""Minimum number of codes in a class for contours."""
CELLS, SHARES = 100, (0.9, 0.5)
"""Cells per axis of the grid for densities, and shares of the codes that the contours of a class contain."""
HEXAGONS = 40
"""Number of hexagons along the horizontal axis for codes without classes."""


def plot_codes(
    points: np.ndarray,
    title: str,
    axes: tuple[str, str],
    labels: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    prior: bool = False,
    caption: str = "",
) -> Figure:
    """Plot projected codes, colored by class, with the name of each class at the median of its codes.

    The contours of a class contain 50 % and 90 % of its codes. Without classes, the color of a hexagon is the number of
    codes in it. Few codes are only plotted as dots.

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
    figure = new_figure(6.4 if labels is None else max(7.2, 6.2 + 0.09 * longest), 5.8)
    ax = figure.add_axes((0.1, 0.1, 5.0 / figure.get_figwidth(), 0.76))
    if prior:
        _draw_prior(ax)
    style_axes(ax, "", *axes)
    if labels is not None:
        if len(points) > MAX_DOTS:
            caption = f"{caption}; contours: 50 % and 90 % of the codes of a class".removeprefix("; ")
        _plot_classes(ax, points, labels, names)
    elif len(points) > MAX_DOTS:
        _plot_density(ax, points)
    else:
        ax.scatter(points[:, 0], points[:, 1], s=14, c=BLUE, alpha=0.65, linewidths=0)
    add_axes_header(ax, title, caption)
    return figure


def _plot_density(ax: Axes, points: np.ndarray) -> None:
    """Plot the number of codes per hexagon, with a color bar."""
    mesh = ax.hexbin(points[:, 0], points[:, 1], gridsize=HEXAGONS, mincnt=1, cmap="viridis_r", linewidths=0.2)
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0.0, 0.03, 1.0)))
    bar.set_label("codes per hexagon", fontsize=LABEL_SIZE, color=TEXT_COLOR)
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR)
    bar.outline.set_visible(False)


def _plot_classes(ax: Axes, points: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Plot contours and dots of each class in its color, its name at the median of its codes, and a legend.

    If there are more than MAX_CLASSES classes, only the most frequent ones have a color, a name and a legend entry.
    """
    shown = np.sort(np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[:MAX_CLASSES])
    size = float(np.clip(8000 / max(len(points), 1), 8, 26))
    step = -(-len(points) // MAX_DOTS)
    others = points[~np.isin(labels, shown)][::step]
    ax.scatter(others[:, 0], others[:, 1], s=size, color=MUTED_COLOR, alpha=0.35, linewidths=0)
    handles = [Line2D([], [], color=MUTED_COLOR, marker="o", ls="")]
    limits = np.stack([points.min(0), points.max(0)])
    for position, (label, color) in enumerate(zip(shown, class_colors(len(shown)), strict=True)):
        chosen = points[labels == label]
        marker = MARKERS[position % len(MARKERS)]
        if step > 1 and len(chosen) >= MIN_CONTOUR:
            _draw_contours(ax, chosen, limits, color)
        dots = chosen[::step]
        ax.scatter(dots[:, 0], dots[:, 1], s=size, color=color, marker=marker, alpha=0.75, linewidths=0)
        handles.append(Line2D([], [], color=color, marker=marker, ls="", ms=6))
    entries = [f"{len(names) - len(shown):,} other classes", *(names[label] for label in shown)]
    first = 0 if len(shown) < len(names) else 1
    legend = add_legend(
        ax, handles[first:], entries[first:], loc="center left", bbox_to_anchor=(1.01, 0.5), handletextpad=0.2
    )
    for text in legend.get_texts():
        text.set_color(TEXT_COLOR)
    present = [label for label in shown if (labels == label).any()]
    centers = np.array([np.median(points[labels == label], axis=0) for label in present])
    place_labels(ax, centers, [names[label] for label in present], centered=True, weight="bold")


def _draw_contours(ax: Axes, points: np.ndarray, limits: np.ndarray, color: str) -> None:
    """Draw the contours of a smoothed histogram that contain the SHARES of the points, and fill the inner one.

    Args:
        ax: axes of the plot.
        points: (N, 2) codes of one class.
        limits: (2, 2) minima and maxima of all codes.
        color: color of the class.
    """
    low, high = limits
    margin = 0.08 * (high - low) + 1e-12
    edges = [np.linspace(low[i] - margin[i], high[i] + margin[i], CELLS + 1) for i in range(2)]
    widths = np.array([edge[1] - edge[0] for edge in edges])
    counts = np.histogram2d(points[:, 0], points[:, 1], edges)[0]
    # Scott's rule with a robust spread, because the codes of a class may lie in several clusters.
    spread = 1.48 * np.median(np.abs(points - np.median(points, axis=0)), axis=0) / widths
    density = gaussian_filter(counts, np.clip(spread * len(points) ** (-1 / 6), 1, 6), mode="constant")
    cells = (points - [edge[0] for edge in edges]) / widths - 0.5
    levels = np.quantile(map_coordinates(density, cells.T, order=1), [1 - share for share in SHARES])
    if not 0 < levels[0] < levels[1] < density.max():
        return
    centers = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    ax.contourf(*centers, density.T, levels=[levels[1], density.max()], colors=[color], alpha=0.28)
    ax.contour(*centers, density.T, levels=levels, colors=[color], linewidths=(0.9, 1.4))


def _draw_prior(ax: Axes) -> None:
    """Plot the circles that contain 50 % and 95 % of a two-dimensional standard normal distribution."""
    angle = np.linspace(0, 2 * np.pi, 200)
    for share, line in ((0.5, ":"), (0.95, "--")):
        radius = np.sqrt(-2 * np.log(1 - share))  # quantile of the Rayleigh distribution
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), line, color=TEXT_COLOR, lw=0.8, alpha=0.6)
        ax.annotate(
            f"{share:.0%} of N(0, I)", (0, radius), ha="center", va="bottom", fontsize=SMALL_SIZE, color=TEXT_COLOR,
            path_effects=[withStroke(linewidth=2, foreground="white")], **PLAIN,
        )  # fmt: skip
