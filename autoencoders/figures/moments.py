"""Distributions of a code's dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, INK, LABEL, ORANGE, canvas, plain


def code_histograms(codes: np.ndarray, names: Sequence[str], title: str, normal: bool) -> Figure:
    """A panel per dimension with its histogram, beside a normal density.

    Args:
        codes: (N, K), K dimensions that are worth showing.
        names: a label per dimension.
        title: one line above.
        normal: draw the standard normal (a prior), else a normal of each dimension's mean and variance.
    """
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure = canvas(max(2.0 * columns + 0.3, 7.2), 1.7 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name, values in zip(panels, names, codes.T, strict=False):
        ax.hist(values, 40, density=True, color=BLUE, alpha=0.65)
        center, width = (0.0, 1.0) if normal else (values.mean(), values.std() + 1e-12)
        grid = np.linspace(min(values.min(), center - 3 * width), max(values.max(), center + 3 * width), 200)
        ax.plot(
            grid, np.exp(-0.5 * ((grid - center) / width) ** 2) / (width * np.sqrt(2 * np.pi)), color=ORANGE, lw=1.3
        )
        plain(ax)
        ax.set_title(name, loc="left", fontsize=LABEL, color=INK)
        ax.set_yticks([])
    for ax in panels[len(names) :]:
        ax.set_axis_off()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.32 / figure.get_figheight()))
    figure.text(0.01, 1 - 0.08 / figure.get_figheight(), title, va="top", fontsize=11, color=INK)
    return figure


def moment_panels(moments: dict[str, tuple[np.ndarray, float, float]], title: str) -> Figure:
    """A panel per moment: every dimension's value, sorted, and the band that a standard normal's would lie in.

    Args:
        moments: name -> values (Z,), a standard normal's value, and its standard error with as many codes.
        title: one line above.
    """
    figure = canvas(2.7 * len(moments) + 0.3, 3.0)
    for ax, (name, (values, expected, error)) in zip(figure.subplots(1, len(moments)), moments.items(), strict=True):
        ax.axhspan(expected - 2 * error, expected + 2 * error, color=ORANGE, alpha=0.25, lw=0)
        ax.axhline(expected, color=ORANGE, lw=1)
        ax.plot(np.arange(1, len(values) + 1), np.sort(values)[::-1], "o", ms=3, color=BLUE)
        plain(ax, "", "dimensions, sorted", name)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / figure.get_figheight()))
    figure.text(0.01, 1 - 0.1 / figure.get_figheight(), title, va="top", fontsize=11, color=INK)
    return figure
