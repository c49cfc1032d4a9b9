"""Plots of explained variance and reconstruction error as functions of the number of principal components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from autoencoders.figures.style import BLUE, MUTED_COLOR, ORANGE, add_axes_legend, add_header, new_figure, style_axes

if TYPE_CHECKING:
    import pandas as pd


def spectra_and_errors(
    variances: Mapping[str, np.ndarray], kept: pd.DataFrame, baseline: str, title: str, caption: str
) -> Figure:
    """Plot explained variance (left) and reconstruction error (right) as functions of the number of components.

    Args:
        variances: dict from the name of a representation (first the codes, then the images) to the variances (D,) along
            its principal components, largest first.
        kept: one row per number of kept components. Columns: `components`, `mse, codes` (only these components of the
            codes are kept), `mse, image PCA` (PCA of the images with this number of components), and `<column> +-` with
            the standard errors.
        baseline: display name of the largest image PCA, for the legend.
        title: one line above the panels.
        caption: one line of smaller text below the title.
    """
    figure = new_figure(9.2, 4.0)
    add_header(figure, title, caption, 0.012, 0.97, 0.905)
    left, right = (figure.add_axes((x, 0.13, 0.4, 0.62)) for x in (0.075, 0.575))
    _plot_explained_variance(left, variances)
    _plot_errors(right, kept, baseline)
    for ax in (left, right):
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter("")
        add_axes_legend(ax)
    return figure


def _plot_explained_variance(ax: Axes, variances: Mapping[str, np.ndarray]) -> None:
    for (name, values), color in zip(variances.items(), (BLUE, ORANGE), strict=False):
        explained = np.cumsum(values) / max(values.sum(), 1e-300)
        ax.plot(np.arange(1, len(values) + 1), explained, color=color, lw=1.6, label=name)
    for share in (0.9, 0.95, 0.99):
        ax.axhline(share, color=MUTED_COLOR, lw=0.7, ls=":")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    style_axes(ax, "explained variance", "components", "fraction of the total variance")


def _plot_errors(ax: Axes, kept: pd.DataFrame, baseline: str) -> None:
    counts = kept["components"].to_numpy(dtype=float)
    for column, name, color in (
        ("mse, codes", "codes", BLUE),
        ("mse, image PCA", f"images, up to {baseline}", ORANGE),
    ):
        mean, error = kept[column].to_numpy(), kept[f"{column} +-"].to_numpy()
        ax.plot(counts, mean, color=color, lw=1.6, marker="o", ms=3, label=name)
        ax.fill_between(counts, mean - error, mean + error, color=color, alpha=0.25, lw=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(counts)
    style_axes(ax, "test error by number of kept components", "kept components", "MSE of pixels in [0, 1]")
    low, high = ax.get_ylim()
    ticks = [m * 10.0**e for e in range(-8, 1) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_formatter("")
