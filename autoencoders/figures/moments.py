"""Plots of the histogram and the moments of each dimension of codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    BLUE,
    LABEL_SIZE,
    MAX_TITLE,
    ORANGE,
    PLAIN,
    TEXT_COLOR,
    TITLE_ID,
    TITLE_SIZE,
    new_figure,
    plain_text,
    style_axes,
)


def code_histograms(codes: np.ndarray, names: Sequence[str], title: str, normal: bool) -> Figure:
    """Plot a histogram of each code dimension and the curve of a normal density, with one panel per dimension.

    Args:
        codes: (N, K) codes, restricted to the K dimensions to plot.
        names: K panel titles, one per dimension.
        title: one line above the panels.
        normal: True to plot the standard normal density (the prior), False to plot a normal density with the mean and
            variance of the dimension.
    """
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(max(2.0 * columns + 0.3, 7.2), 1.7 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name, values in zip(panels, names, codes.T, strict=False):
        ax.hist(values, 40, density=True, color=BLUE, alpha=0.65)
        mean, std = (0.0, 1.0) if normal else (values.mean(), values.std() + 1e-12)
        grid = np.linspace(min(values.min(), mean - 3 * std), max(values.max(), mean + 3 * std), 200)
        density = np.exp(-0.5 * ((grid - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        ax.plot(grid, density, color=ORANGE, lw=1.3)
        style_axes(ax)
        ax.set_title(name, loc="left", fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
        ax.set_yticks([])
    for ax in panels[len(names) :]:
        ax.set_axis_off()
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.32 / height))
    title = plain_text(title, MAX_TITLE)
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR, gid=TITLE_ID, **PLAIN)
    return figure


def moment_panels(moments: dict[str, tuple[np.ndarray, float, float]], title: str) -> Figure:
    """Plot the moments of all code dimensions, with one panel per moment (such as mean or variance).

    The values are sorted. A line shows the moment of a standard normal distribution, and a band around the line shows
    two standard errors.

    Args:
        moments: dict from the name of a moment to its values (Z,) for Z dimensions, its value for a standard normal
            distribution, and the standard error of the latter for the same number of codes.
        title: one line above the panels.
    """
    figure = new_figure(2.7 * len(moments) + 0.3, 3.0)
    for ax, (name, (values, expected, error)) in zip(figure.subplots(1, len(moments)), moments.items(), strict=True):
        ax.axhspan(expected - 2 * error, expected + 2 * error, color=ORANGE, alpha=0.25, lw=0)
        ax.axhline(expected, color=ORANGE, lw=1)
        ax.plot(np.arange(1, len(values) + 1), np.sort(values)[::-1], "o", ms=3, color=BLUE)
        style_axes(ax, "", "rank of the dimension", name)
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / height))
    title = plain_text(title, MAX_TITLE)
    figure.text(0.01, 1 - 0.1 / height, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR, gid=TITLE_ID, **PLAIN)
    return figure
