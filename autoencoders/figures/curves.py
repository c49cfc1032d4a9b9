"""Metrics over the optimizer steps of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, FAINT, INK, LABEL, ORANGE, canvas, plain

COLOURS = {"train": BLUE, "val": ORANGE}


NEAR = 3.0
"""A baseline above so many times a curve's first value is left out: it would press the curve flat."""


def loss_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]], title: str, baselines: Mapping[str, Mapping[str, float]]
) -> Figure:
    """A panel per metric with its training and validation curves; the best validation value is marked.

    Args:
        curves: metric -> split (`train` or `val`) -> (n, 2) array of steps and values.
        title: one line above.
        baselines: metric -> name -> value of a baseline, a dotted line where it is near.
    """
    figure = canvas(3.3 * len(curves) + 0.4, 3.2)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for ax, (metric, splits) in zip(panels, curves.items(), strict=True):
        for split, points in splits.items():
            ax.plot(*points.T, color=COLOURS[split], lw=1.6, marker="o", ms=2.5, label=split)
        if "val" in splits and metric != "rate":
            best = np.argmax if metric == "accuracy" else np.argmin
            step, value = splits["val"][best(splits["val"][:, 1])]
            words = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
            ax.annotate(words, (step, value), xytext=(0, 8), textcoords="offset points", ha="right",
                        fontsize=LABEL, color=ORANGE)  # fmt: skip
            ax.plot([step], [value], "o", color=ORANGE, ms=5)
        first = max(points[0, 1] for points in splits.values())
        for name, value in baselines.get(metric, {}).items():
            if value <= NEAR * first:
                ax.axhline(value, color=FAINT, ls=":", lw=1)
                ax.annotate(name, (0.02, value), xycoords=("axes fraction", "data"), ha="left", va="bottom",
                            fontsize=LABEL - 1, color=FAINT)  # fmt: skip
        unit = {"mse": "mse of [0, 1] pixels", "accuracy": "accuracy"}.get(metric, f"{metric}, nats per image")
        plain(ax, "", "optimizer step", unit)
    panels[0].legend(frameon=False, fontsize=LABEL)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    return figure


def rate_distortion(rates: Sequence[float], distortions: Sequence[float], labels: Sequence[str], title: str) -> Figure:
    """A point per run: what it spends on codes against what is left to explain; lines of equal nats behind.

    Args:
        rates: nats per image.
        distortions: nats per image.
        labels: a word per point.
        title: one line above.
    """
    figure = canvas(6.4, 4.8)
    ax = figure.add_subplot()
    order = np.argsort(rates)
    x, y = np.asarray(rates)[order], np.asarray(distortions)[order]
    ax.plot(x, y, color=FAINT, lw=1, zorder=1)
    ax.scatter(x, y, color=BLUE, s=36, zorder=2)
    for i, a, b in zip(order, x, y, strict=True):  # the curve falls and is convex: above, to the right, it is free
        ax.annotate(labels[i], (a, b), xytext=(6, 5), textcoords="offset points", fontsize=LABEL, color=INK,
                    parse_math=False)  # fmt: skip
    ax.margins(0.15)
    best = int(np.argmin(x + y))
    ax.axline((x[best], y[best]), slope=-1, color=ORANGE, lw=1, ls=":", zorder=0)
    title = f"{title}: at best {x[best] + y[best]:.2f} nats (dotted: as many)"
    plain(ax, title, "rate, nats per image", "distortion, nats per image")
    ax.title.set_parse_math(False)  # names are no formulas
    figure.tight_layout()
    return figure
