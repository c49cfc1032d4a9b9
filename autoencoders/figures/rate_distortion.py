"""Plot of distortion as a function of the rate, with one curve per model and one point per beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.labels import place_labels
from autoencoders.figures.style import (
    MUTED_COLOR,
    SeriesStyle,
    add_axes_header,
    add_legend,
    class_colors,
    new_figure,
    style_axes,
)


@dataclass(frozen=True)
class RatePoint:
    """Means and standard deviations over seeds, in nats per image. A deviation is NaN for a single seed.

    Attributes:
        label: text next to the point, such as `beta=4`.
        rate: mean KL divergence of the posterior from the prior.
        rate_deviation: standard deviation of the rate.
        distortion: mean reconstruction term of the negative ELBO.
        distortion_deviation: standard deviation of the distortion.
    """

    label: str
    rate: float
    rate_deviation: float
    distortion: float
    distortion_deviation: float


def rate_distortion_plot(
    curves: Mapping[str, Sequence[RatePoint]], title: str, caption: str, styles: Sequence[SeriesStyle] | None = None
) -> Figure:
    """Plot distortion as a function of the rate, with one curve per model and error bars in both directions.

    The sum of rate and distortion is the negative ELBO. It has the same value along a dotted line, which goes through
    the point with the lowest sum of all curves.

    Args:
        curves: name of the curve, such as a model -> its points.
        title: one line above the axes.
        caption: one line of smaller text below the title.
        styles: style of each curve; None for one color per curve.
    """
    figure = new_figure(7.4, 5.0)
    ax = figure.add_subplot()
    styles = styles or [SeriesStyle(color, "-", "o") for color in class_colors(len(curves))]
    handles, points, labels = [], [], []
    for curve, style in zip(curves.values(), styles, strict=True):
        ordered = sorted(curve, key=lambda point: point.rate)
        values = np.array([(p.rate, p.distortion, p.rate_deviation, p.distortion_deviation) for p in ordered])
        errors = np.nan_to_num(values[:, 2:])
        bars = ax.errorbar(
            values[:, 0], values[:, 1], errors[:, 1], errors[:, 0], color=style.color, ls=style.line,
            marker=style.marker, ms=5, lw=1.4, elinewidth=1, capsize=2.5,
        )  # fmt: skip
        handles.append(bars.lines[0])
        points.append(values[:, :2])
        labels += [point.label for point in ordered]
    positions = np.concatenate(points)
    ax.margins(0.12)
    ax.autoscale_view()
    ax.autoscale(False)
    best = positions[positions.sum(1).argmin()]
    ax.axline(best, slope=-1, color=MUTED_COLOR, lw=1, ls=":", zorder=0)
    style_axes(ax, "", "rate: information in the code, nats", "distortion: reconstruction error, nats")
    add_axes_header(ax, title, caption)
    add_legend(ax, handles, list(curves), loc="upper right")
    figure.tight_layout()
    place_labels(ax, positions, labels)
    return figure
