"""Panels that compare models: one panel per metric, one row per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    LABEL_SIZE,
    MUTED_COLOR,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    SeriesStyle,
    add_header,
    new_figure,
    plain_text,
    style_axes,
)

COLUMNS = 4
"""Maximum number of panels next to each other."""
NEAR = 2.0
"""Maximum distance of a plotted baseline from the values of the models, relative to the range of the axis."""


@dataclass
class MetricPanel:
    """Values of one metric.

    Attributes:
        title: name of the metric in words.
        unit: unit of the metric, or an empty string.
        values: name of the model -> values of its runs, such as one per seed.
        errors: name of the model -> error of the mean of its values. Models without an error are left out.
        baselines: name of a baseline -> its value. A baseline that is farther from the values than NEAR times their
            range is not plotted, because the models could not be told apart.
    """

    title: str
    unit: str
    values: Mapping[str, Sequence[float]]
    errors: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)


def metric_panels(
    panels: Sequence[MetricPanel], models: Sequence[str], styles: Sequence[SeriesStyle], title: str, caption: str
) -> Figure:
    """Plot one panel per metric, with one row per model: the mean with its error bar, and one small dot per run.

    Args:
        panels: metrics to plot.
        models: names of the models, in the order of the rows.
        styles: style of each model.
        title: one line above the panels.
        caption: one line of smaller text below the title.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    names = [plain_text(name, 32) for name in models]
    left, panel_height = 0.35 + 0.075 * max(map(len, names)), 0.75 + 0.28 * len(models)
    width, height = max(left + 2.1 * columns, 6.4), (panel_height + 0.35) * rows + 0.75
    figure = new_figure(width, height)
    add_header(figure, title, caption, 0.12 / width, 1 - 0.12 / height, 1 - 0.36 / height)
    grid = figure.add_gridspec(rows, columns, left=left / width, right=1 - 0.2 / width, bottom=0.5 / height,
                               top=1 - 0.95 / height, wspace=0.18, hspace=0.95 / (panel_height - 0.5))  # fmt: skip
    for i, panel in enumerate(panels):
        ax = figure.add_subplot(grid[divmod(i, columns)])
        _draw_panel(ax, panel, models, styles)
        ax.set_yticks(range(len(models)), names if i % columns == 0 else [], fontsize=LABEL_SIZE, **PLAIN)
        ax.tick_params(axis="y", length=0, labelcolor=TEXT_COLOR)
    return figure


def _draw_panel(ax: Axes, panel: MetricPanel, models: Sequence[str], styles: Sequence[SeriesStyle]) -> None:
    for i, (name, style) in enumerate(zip(models, styles, strict=True)):
        values = np.asarray(panel.values.get(name, ()))
        if len(values):
            error = panel.errors.get(name, 0.0)
            ax.plot(values, np.full(len(values), i), ls="", marker="|", ms=8, color=style.color, alpha=0.7)
            ax.errorbar(values.mean(), i, xerr=error, color=style.color, marker=style.marker, ms=6, capsize=3, lw=1.4)
        else:
            ax.annotate("none", (0.5, i), xycoords=("axes fraction", "data"), ha="center", va="center",
                        fontsize=SMALL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
    ax.margins(x=0.12)
    low, high = ax.get_xlim()
    reach = NEAR * (high - low)
    for name, value in panel.baselines.items():
        if not low - reach <= value <= high + reach:
            continue
        ax.axvline(value, color=MUTED_COLOR, ls=":", lw=1)
        ax.annotate(plain_text(name), (value, 0.02), xycoords=("data", "axes fraction"), xytext=(2, 0),
                    textcoords="offset points", fontsize=SMALL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
    ax.set_ylim(len(models) - 0.4, -0.6)
    ax.locator_params(axis="x", nbins=4)
    style_axes(ax, "", panel.unit)
    ax.set_title(panel.title, loc="left", fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
    ax.grid(axis="y", color="#e3e4e8", lw=0.8)
    ax.set_axisbelow(True)
