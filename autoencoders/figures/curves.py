"""Plots of the loss curves of one run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    BLUE,
    LABEL_SIZE,
    MAX_TITLE,
    MUTED_COLOR,
    ORANGE,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_ID,
    TITLE_SIZE,
    add_axes_legend,
    new_figure,
    plain_text,
    style_axes,
)

SPLIT_COLORS = {"train": BLUE, "val": ORANGE}
AXIS_LABELS = {"mse": "MSE of pixels in [0, 1]", "accuracy": "accuracy"}

MAX_COLUMNS = 3
"""Maximum number of panels in one row. More panels are plotted in two rows."""

MAX_BASELINE_RATIO = 3.0
"""A baseline above this multiple of the first value of a curve is not plotted, because the curve would look flat."""


def loss_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]], title: str, baselines: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Plot the training and validation curves of a run, with one panel per metric.

    The best validation value is marked in each panel, except for the metric `rate` (KL divergence of the posterior from
    the prior), which has no best value.

    Args:
        curves: nested dict from metric to split (`train` or `val`) to an array (n, 2) of optimizer steps and values.
        title: one line above the panels.
        baselines: nested dict from metric to name to value of a baseline. A baseline is a dotted line. It is left out
            if its value is far above the curve.
    """
    rows = 1 if len(curves) <= MAX_COLUMNS else 2
    columns = -(-len(curves) // rows)
    figure = new_figure(3.3 * columns + 0.4, 2.8 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in panels[len(curves) :]:
        ax.set_axis_off()
    for ax, (metric, splits) in zip(panels, curves.items(), strict=False):
        for split, points in splits.items():
            ax.plot(*points.T, color=SPLIT_COLORS[split], lw=1.6, marker="o", ms=2.5, label=split)
        if "val" in splits and metric != "rate":
            _mark_best(ax, splits["val"], higher_is_better=metric == "accuracy")
        first = max(points[0, 1] for points in splits.values())
        for name, value in baselines.get(metric, {}).items():
            if value <= MAX_BASELINE_RATIO * first:
                ax.axhline(value, color=MUTED_COLOR, ls=":", lw=1)
                ax.annotate(name, (0.02, value), xycoords=("axes fraction", "data"), ha="left", va="bottom",
                            fontsize=SMALL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
        style_axes(ax, "", "optimizer step", AXIS_LABELS.get(metric, f"{metric}, nats per image"))
    add_axes_legend(panels[0])
    figure.suptitle(
        plain_text(title, MAX_TITLE), x=0.01, ha="left", fontsize=TITLE_SIZE, color=TEXT_COLOR, gid=TITLE_ID, **PLAIN
    )
    figure.tight_layout()
    return figure


def _mark_best(ax: Axes, points: np.ndarray, higher_is_better: bool) -> None:
    """Mark the best point of a curve, given as steps and values (n, 2), and write its value above the point."""
    best = np.argmax(points[:, 1]) if higher_is_better else np.argmin(points[:, 1])
    step, value = points[best]
    label = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    ax.annotate(label, (step, value), xytext=(0, 8), textcoords="offset points", ha="right",
                fontsize=LABEL_SIZE, color=ORANGE, **PLAIN)  # fmt: skip
    ax.plot([step], [value], "o", color=ORANGE, ms=5)
