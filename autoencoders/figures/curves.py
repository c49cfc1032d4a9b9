"""Plots of loss curves for one run, and of distortion as a function of rate for several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    BLUE,
    LABEL_SIZE,
    MAX_NAME,
    MAX_TITLE,
    MUTED_COLOR,
    ORANGE,
    PLAIN,
    TEXT_COLOR,
    TITLE_SIZE,
    add_axes_legend,
    new_figure,
    plain_text,
    style_axes,
)

SPLIT_COLORS = {"train": BLUE, "val": ORANGE}
AXIS_LABELS = {"mse": "MSE of pixels in [0, 1]", "accuracy": "accuracy"}

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
    figure = new_figure(3.3 * len(curves) + 0.4, 3.2)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for ax, (metric, splits) in zip(panels, curves.items(), strict=True):
        for split, points in splits.items():
            ax.plot(*points.T, color=SPLIT_COLORS[split], lw=1.6, marker="o", ms=2.5, label=split)
        if "val" in splits and metric != "rate":
            _mark_best(ax, splits["val"], higher_is_better=metric == "accuracy")
        first = max(points[0, 1] for points in splits.values())
        for name, value in baselines.get(metric, {}).items():
            if value <= MAX_BASELINE_RATIO * first:
                ax.axhline(value, color=MUTED_COLOR, ls=":", lw=1)
                ax.annotate(name, (0.02, value), xycoords=("axes fraction", "data"), ha="left", va="bottom",
                            fontsize=LABEL_SIZE - 1, color=MUTED_COLOR, **PLAIN)  # fmt: skip
        style_axes(ax, "", "optimizer step", AXIS_LABELS.get(metric, f"{metric}, nats per image"))
    add_axes_legend(panels[0])
    figure.suptitle(plain_text(title, MAX_TITLE), x=0.01, ha="left", fontsize=TITLE_SIZE, **PLAIN)
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


def rate_distortion_curve(
    rates: Sequence[float], distortions: Sequence[float], labels: Sequence[str], title: str
) -> Figure:
    """Plot distortion as a function of rate (KL divergence of the posterior from the prior), with one point per run.

    The sum of rate and distortion is the negative ELBO. A dotted line with slope -1 goes through the run with the
    lowest negative ELBO. The negative ELBO is the same at every position on this line.

    Args:
        rates: rate of each run, in nats per image.
        distortions: distortion (reconstruction term of the negative ELBO) of each run, in nats per image.
        labels: text next to the point of each run.
        title: one line above the axes. The lowest sum is appended to this text.
    """
    figure = new_figure(6.4, 4.8)
    ax = figure.add_subplot()
    order = np.argsort(rates)
    x, y = np.asarray(rates)[order], np.asarray(distortions)[order]
    ax.plot(x, y, color=MUTED_COLOR, lw=1, zorder=1)
    ax.scatter(x, y, color=BLUE, s=36, zorder=2)
    # The curve is convex and decreasing, so there is free space for text at the upper right of each point.
    for i, rate, distortion in zip(order, x, y, strict=True):
        label = plain_text(labels[i], 2 * MAX_NAME)
        ax.annotate(label, (rate, distortion), xytext=(6, 5), textcoords="offset points", fontsize=LABEL_SIZE,
                    color=TEXT_COLOR, **PLAIN)  # fmt: skip
    ax.margins(0.15)
    best = int(np.argmin(x + y))
    ax.axline((x[best], y[best]), slope=-1, color=ORANGE, lw=1, ls=":", zorder=0)
    title = f"{title}: lowest rate + distortion {x[best] + y[best]:.2f} nats (dotted)"
    style_axes(ax, plain_text(title, MAX_TITLE), "rate, nats per image", "distortion, nats per image")
    figure.tight_layout()
    return figure
