"""What edits do, over their strength."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, CLASSES, FAINT, GREEN, INK, LABEL, ORANGE, TITLE, canvas, plain

Curve = tuple[np.ndarray, np.ndarray]
SHOWN = 8
"""Other attributes with a name of their own in the legend: those that move most come first."""


def dose_response(
    strengths: np.ndarray,
    methods: Mapping[str, Curve],
    others: Mapping[str, Curve],
    attribute: str,
    title: str,
    caption: str,
) -> Figure:
    """Left: a classifier's shift in the attribute, by method. Right: in the other attributes, under the first method.

    Args:
        strengths: (n,).
        methods: name -> means and standard errors, (n,) each, 1 being the gap between real images with and without.
        others: attribute -> the same, those that move most first.
        attribute: its name.
        title: one line above.
        caption: a smaller one under it.
    """
    figure = canvas(9.6, 4.0)
    figure.text(0.012, 0.97, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.012, 0.905, caption, va="top", fontsize=LABEL, color=FAINT)
    left, right = (figure.add_axes((x, 0.13, 0.34, 0.6)) for x in (0.08, 0.51))
    named = list(others.items())
    for ax, curves, colors in ((left, methods.items(), (BLUE, ORANGE, GREEN)), (right, named, CLASSES)):
        ax.axhline(0, color=FAINT, lw=0.8)
        ax.axhline(1, color=FAINT, lw=0.8, ls=":")
        for i, (name, (mean, error)) in enumerate(curves):
            color = colors[i % len(colors)] if ax is left or i < SHOWN else FAINT
            label = name if ax is left or i < SHOWN else None
            ax.plot(strengths, mean, color=color, marker="o", ms=3, lw=1.5, label=label)
            ax.fill_between(strengths, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    plain(left, f"shift in {attribute}", "strength", "classifier's shift, 1: gap of real images")
    plain(right, f"shift in the others, {next(iter(methods))}", "strength")
    limits = [*left.get_ylim(), *right.get_ylim()]
    for ax in (left, right):  # one scale: how large leakage is beside the effect
        ax.set_ylim(min(limits), max(limits))
    left.legend(frameon=False, fontsize=LABEL)
    if named:
        right.legend(frameon=False, fontsize=LABEL, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
