"""Plot of the effect of an attribute edit as a function of its strength."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    BLUE,
    CLASS_COLORS,
    GREEN,
    LABEL_SIZE,
    MUTED_COLOR,
    ORANGE,
    add_header,
    new_figure,
    style_axes,
)

Curve = tuple[np.ndarray, np.ndarray]
"""Means (n,) and standard errors (n,) at n strengths of an edit."""

MAX_LABELED_CURVES = 8
"""Maximum number of curves for other attributes that have a color and a legend entry."""


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
    colors = (BLUE, ORANGE, GREEN)
    _plot_curves(left, strengths, methods, [colors[i % len(colors)] for i in range(len(methods))], len(methods))
    other_colors = [CLASS_COLORS[i] if i < MAX_LABELED_CURVES else MUTED_COLOR for i in range(len(other_attributes))]
    _plot_curves(right, strengths, other_attributes, other_colors, MAX_LABELED_CURVES)
    style_axes(left, f"shift of {attribute}", "strength of the edit", "classifier shift (1 = real images)")
    style_axes(right, f"shift of other attributes, {next(iter(methods))}", "strength of the edit")
    limits = [*left.get_ylim(), *right.get_ylim()]
    for ax in (left, right):  # with the same scale, side effects can be compared with the intended effect
        ax.set_ylim(min(limits), max(limits))
    left.legend(frameon=False, fontsize=LABEL_SIZE)
    if other_attributes:
        right.legend(frameon=False, fontsize=LABEL_SIZE, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _plot_curves(ax: Axes, strengths: np.ndarray, curves: Mapping[str, Curve], colors: list[str], labeled: int) -> None:
    """Plot curves with bands of one standard error. Only the first `labeled` curves have a legend entry."""
    ax.axhline(0, color=MUTED_COLOR, lw=0.8)
    ax.axhline(1, color=MUTED_COLOR, lw=0.8, ls=":")
    for i, (name, (mean, error)) in enumerate(curves.items()):
        label = name if i < labeled else None
        ax.plot(strengths, mean, color=colors[i], marker="o", ms=3, lw=1.5, label=label)
        ax.fill_between(strengths, mean - error, mean + error, color=colors[i], alpha=0.2, lw=0)
