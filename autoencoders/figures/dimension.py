"""How many dimensions there are: cumulative spectra, and errors over the components kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from autoencoders.figures.style import BLUE, FAINT, INK, LABEL, ORANGE, TITLE, canvas, plain

if TYPE_CHECKING:
    import pandas as pd


def spectra_and_errors(
    variances: Mapping[str, np.ndarray], kept: pd.DataFrame, baseline: str, title: str, caption: str
) -> Figure:
    """Left: variance explained over components. Right: reconstruction error over the components kept.

    Args:
        variances: name -> variances along components, largest first; the codes first.
        kept: columns `components`, `mse, codes`, `mse, image PCA`, and their errors.
        baseline: what image PCA at full size is called.
        title: one line above.
        caption: a smaller one under it.
    """
    figure = canvas(9.2, 4.0)
    figure.text(0.012, 0.97, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.012, 0.905, caption, va="top", fontsize=LABEL, color=FAINT)
    left, right = (figure.add_axes((x, 0.13, 0.4, 0.62)) for x in (0.075, 0.575))
    for (name, values), color in zip(variances.items(), (BLUE, ORANGE), strict=False):
        explained = np.cumsum(values) / max(values.sum(), 1e-300)
        left.plot(np.arange(1, len(values) + 1), explained, color=color, lw=1.6, label=name)
    for share in (0.9, 0.95, 0.99):
        left.axhline(share, color=FAINT, lw=0.7, ls=":")
    left.set_xscale("log")
    left.set_ylim(0, 1.02)
    plain(left, "variance explained", "components", "share")
    k = kept["components"].to_numpy(dtype=float)
    for column, name, color in (
        ("mse, codes", "codes", BLUE),
        ("mse, image PCA", f"images, up to {baseline}", ORANGE),
    ):
        mean, error = kept[column].to_numpy(), kept[f"{column} +-"].to_numpy()
        right.plot(k, mean, color=color, lw=1.6, marker="o", ms=3, label=name)
        right.fill_between(k, mean - error, mean + error, color=color, alpha=0.25, lw=0)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xticks(k)
    plain(right, "test error over components kept", "components kept", "MSE of [0, 1] pixels")
    low, high = right.get_ylim()
    ticks = [m * 10.0**e for e in range(-8, 1) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
    right.set_yticks(ticks, [f"{v:g}" for v in ticks])
    right.yaxis.set_minor_formatter("")
    for ax in (left, right):
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter("")
        ax.legend(frameon=False, fontsize=LABEL)
    return figure
