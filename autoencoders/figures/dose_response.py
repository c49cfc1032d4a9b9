"""Plot of the effect of an attribute edit as a function of its strength."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.figures.style import (
    BLUE,
    GREEN,
    MUTED_COLOR,
    ORANGE,
    PURPLE,
    add_header,
    add_legend,
    class_colors,
    new_figure,
    plain_text,
    style_axes,
)

Curve = tuple[np.ndarray, np.ndarray]
"""Means (n,) and standard errors (n,) at n strengths of an edit."""

MAX_LABELED_CURVES = 7
"""Maximum number of curves for other attributes that have a color and a legend entry."""
MAX_CURVES = 40
"""Maximum number of curves for other attributes. They are those with the largest shifts."""


def dose_response(
    strengths: np.ndarray,
    methods: Mapping[str, Curve],
    other_attributes: Mapping[str, Curve],
    attribute: str,
    title: str,
    caption: str,
) -> Figure:
    """Plot the shift of a classifier's output as a function of the strength of an attribute edit.

    The left panel shows the shift of the edited attribute, with one line per editing method. The right panel shows the
    shifts of the other attributes for the first method. A shift of 1 is the difference of the classifier's output
    between real images with and without the attribute.

    Args:
        strengths: (n,) strengths of the edit.
        methods: dict from editing method to the curve of the edited attribute.
        other_attributes: dict from attribute to its curve for the first method, sorted from the largest shift to the
            smallest.
        attribute: name of the edited attribute.
        title: one line above the panels.
        caption: one line of smaller text below the title.
    """
    figure = new_figure(9.6, 4.0)
    add_header(figure, title, caption, 0.012, 0.97, 0.905)
    left, right = (figure.add_axes((x, 0.13, 0.34, 0.6)) for x in (0.08, 0.51))
    colors = (BLUE, ORANGE, PURPLE, GREEN) if len(methods) > 3 else (BLUE, ORANGE, GREEN)  # purple: whitened PCA
    lines = _plot_curves(left, strengths, methods, [colors[i % len(colors)] for i in range(len(methods))])
    drawn = dict(itertools.islice(other_attributes.items(), MAX_CURVES))
    colored = class_colors(MAX_LABELED_CURVES)
    other_colors = [colored[i] if i < MAX_LABELED_CURVES else MUTED_COLOR for i in range(len(drawn))]
    other_lines = _plot_curves(right, strengths, drawn, other_colors)
    style_axes(left, f"shift of {plain_text(attribute)}", "strength of the edit", "classifier shift (1 = real images)")
    which = f"{MAX_CURVES} of {len(other_attributes):,}" if len(other_attributes) > MAX_CURVES else "other"
    style_axes(right, f"shift of {which} attributes, {plain_text(next(iter(methods)))}", "strength of the edit")
    limits = [*left.get_ylim(), *right.get_ylim()]
    for ax in (left, right):  # with the same scale, side effects can be compared with the intended effect
        ax.set_ylim(min(limits), max(limits))
    add_legend(left, lines, list(methods))
    if other_attributes:
        names = [plain_text(name) for name in other_attributes][:MAX_LABELED_CURVES]
        if len(other_attributes) > MAX_LABELED_CURVES:
            names.append(f"{len(other_attributes) - MAX_LABELED_CURVES:,} others")
        add_legend(right, other_lines[: len(names)], names, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _plot_curves(ax: Axes, strengths: np.ndarray, curves: Mapping[str, Curve], colors: list[str]) -> list[Line2D]:
    """Plot curves with bands of one standard error, and return their lines."""
    lines = []
    ax.axhline(0, color=MUTED_COLOR, lw=0.8)
    ax.axhline(1, color=MUTED_COLOR, lw=0.8, ls=":")
    for (mean, error), color in zip(curves.values(), colors, strict=True):
        lines += ax.plot(strengths, mean, color=color, marker="o", ms=3, lw=1.5)
        ax.fill_between(strengths, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    return lines
