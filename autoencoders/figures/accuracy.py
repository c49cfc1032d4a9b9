"""Plot of classifier accuracy as a function of the number of training labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from autoencoders.figures.style import (
    BLUE,
    GREEN,
    MUTED_COLOR,
    ORANGE,
    PURPLE,
    add_axes_legend,
    add_header,
    new_figure,
    style_axes,
)

if TYPE_CHECKING:
    import pandas as pd


def accuracy_over_labels(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Plot accuracy as a function of the number of training labels, with one line per method.

    Args:
        table: one row per method and number of training labels. Columns: `method`, `labels` (number of training
            labels), `accuracy` and `accuracy +-` (its standard error).
        title: one line above the axes.
        caption: one line of smaller text below the title.
    """
    figure = new_figure(7.8, 4.4)
    add_header(figure, title, caption, 0.018, 0.97, 0.912)
    ax = figure.add_axes((0.085, 0.12, 0.7, 0.7))
    colors = (BLUE, ORANGE, PURPLE, GREEN, MUTED_COLOR)
    for (name, rows), color in zip(table.groupby("method", sort=False), colors, strict=False):
        ax.errorbar(
            rows["labels"], rows["accuracy"], rows["accuracy +-"], color=color, marker="o", ms=4, lw=1.6, capsize=3,
            ls="--" if color == PURPLE else "-", label=name,  # the lines of PCA and whitened PCA coincide
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter("")
    ax.set_xticks(sorted(table["labels"].unique()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    style_axes(ax, "", "training labels", "accuracy of logistic regression")
    add_axes_legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
