"""Accuracy of classifiers over the labels they had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from autoencoders.figures.style import BLUE, FAINT, GREEN, INK, LABEL, ORANGE, TITLE, canvas, plain

if TYPE_CHECKING:
    import pandas as pd


def accuracy_over_labels(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """A line per method.

    Args:
        table: columns `method`, `labels`, `accuracy` and `accuracy +-`.
        title: one line above.
        caption: a smaller one under it.
    """
    figure = canvas(7.8, 4.4)
    figure.text(0.018, 0.97, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.018, 0.912, caption, va="top", fontsize=LABEL, color=FAINT)
    ax = figure.add_axes((0.085, 0.12, 0.7, 0.7))
    for (name, rows), color in zip(table.groupby("method", sort=False), (BLUE, ORANGE, GREEN, FAINT), strict=False):
        ax.errorbar(
            rows["labels"], rows["accuracy"], rows["accuracy +-"], color=color, marker="o", ms=4, lw=1.6, capsize=3,
            label=name,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter("")
    ax.set_xticks(sorted(table["labels"].unique()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    plain(ax, "", "training labels", "accuracy of logistic regression")
    ax.legend(frameon=False, fontsize=LABEL, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
