"""Figure of training diagnostics: active units, KL per latent, gradient norm, and gap to the prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoencoders.figures.style import (
    BLUE,
    MUTED_COLOR,
    ORANGE,
    PLAIN,
    SMALL_SIZE,
    add_header,
    new_figure,
    style_axes,
)

MIN_KL = 0.01
"""Lower end of the color scale for KL divergences, in nats.

The value has the order of magnitude of the KL divergence at which a latent becomes active. A latent is active if the
variance of its posterior mean exceeds 0.01 (Burda et al., 2016). At this variance, the posterior means contribute
0.005 nats to the KL divergence.
"""

MAX_MARKED_POINTS = 60
"""A line with this many points or more has no markers."""


@dataclass
class LatentHealthHistory:
    """Diagnostics recorded at E epochs and S optimizer steps of a training. A diagnostic that is None is not plotted.

    Attributes:
        latents: number of latents Z.
        active: (E, 2) epochs and numbers of active units.
        kl: (E, Z) KL divergence of each latent in nats.
        kl_epochs: (E,) epochs at which `kl` was measured.
        gap: (E, 2) epochs and KL divergences of the aggregate posterior from the prior, in nats.
        floor: expected value of `gap` if the codes were samples from the prior.
        dimension: (E, 2) epochs and effective dimensions (participation ratios) of the codes.
        spread: (Z,) standard deviation of the codes for each latent.
        gradient: (S, 2) optimizer steps and gradient norms before clipping.
        clip: gradient norm to which gradients are clipped, or None without clipping.
    """

    latents: int
    active: np.ndarray | None = None
    kl: np.ndarray | None = None
    kl_epochs: np.ndarray | None = None
    gap: np.ndarray | None = None
    floor: float | None = None
    dimension: np.ndarray | None = None
    spread: np.ndarray | None = None
    gradient: np.ndarray | None = None
    clip: float | None = None


def latent_health_panel(history: LatentHealthHistory, title: str, caption: str) -> Figure:
    """Plot the recorded training diagnostics, with one panel per diagnostic.

    Args:
        history: diagnostics of one run.
        title: one line above the panels.
        caption: one line of smaller text below the title.
    """
    panels = _panels(history)
    columns = min(max(len(panels), 1), 2)
    rows = max(-(-len(panels) // columns), 1)
    width, height = max(4.3 * columns, 5.6), 2.8 * rows + 0.6
    figure = new_figure(width, height)
    add_header(figure, title, caption, 0.17 / width, 1 - 0.12 / height, 1 - 0.36 / height)
    # Use fixed margins in inches, because `tight_layout` measures all labels and doubles the time for the figure.
    figure.subplots_adjust(left=0.72 / width, right=1 - 0.3 / width, bottom=0.5 / height, top=1 - 0.9 / height,
                           wspace=0.28, hspace=0.42)  # fmt: skip
    for i, draw in enumerate(panels):
        draw(figure.add_subplot(rows, columns, i + 1))
    return figure


def _panels(history: LatentHealthHistory) -> list[Callable[[Axes], None]]:
    """Return one plot function for each diagnostic that is not None, in the order of the panels."""
    panels: list[Callable[[Axes], None]] = []
    if history.active is not None:
        panels.append(partial(_draw_active_units, active=history.active, latents=history.latents))
    if history.kl is not None and history.kl_epochs is not None:
        panels.append(partial(_draw_kl, kl=history.kl, epochs=history.kl_epochs))
    if history.dimension is not None:
        panels.append(partial(_draw_dimensions, dimension=history.dimension, latents=history.latents))
    if history.spread is not None:
        panels.append(partial(_draw_spread, spread=history.spread))
    if history.gradient is not None:
        panels.append(partial(_draw_gradient_norm, gradient=history.gradient, clip=history.clip))
    if history.gap is not None:
        panels.append(partial(_draw_gap, gap=history.gap, floor=history.floor))
    return panels


def _draw_active_units(ax: Axes, active: np.ndarray, latents: int) -> None:
    _plot_line(ax, active)
    ax.set_ylim(-0.04 * latents, 1.16 * latents)
    _draw_reference(ax, latents, f"all {latents} latents")
    style_axes(ax, "active units", "epoch", "latents")


def _draw_dimensions(ax: Axes, dimension: np.ndarray, latents: int) -> None:
    _plot_line(ax, dimension)
    ax.set_ylim(0, 1.16 * latents)
    _draw_reference(ax, latents, f"{latents} if all variances are equal")
    style_axes(ax, "effective dimensions of codes", "epoch", "participation ratio")


def _draw_kl(ax: Axes, kl: np.ndarray, epochs: np.ndarray) -> None:
    """Plot KL divergences (E, Z) as a heat map with one column per epoch and one row per latent.

    Latents are sorted by the KL divergence at the last epoch.
    """
    from matplotlib.colors import LogNorm

    order = np.argsort(-np.nan_to_num(kl[-1]), kind="stable")
    values = np.clip(kl.T[order], MIN_KL, None)
    step = max(float(np.diff(epochs).min()), 1.0) if len(epochs) > 1 else 1.0
    edges = np.append(epochs - step / 2, epochs[-1] + step / 2)
    top = max(float(np.nanmax(values)), 10 * MIN_KL)
    mesh = ax.pcolormesh(edges, np.arange(len(order) + 1) + 0.5, values, cmap="Blues", norm=LogNorm(MIN_KL, top))
    ax.invert_yaxis()
    if len(epochs) == 1:
        ax.set_xticks(epochs)
    else:
        ax.xaxis.set_major_locator(_integer_locator())
    ax.yaxis.set_major_locator(_integer_locator())
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, format=lambda value, _: f"{value:g}")
    bar.minorticks_off()  # matplotlib spends half of the time for this figure on minor ticks
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR)
    bar.outline.set_visible(False)
    style_axes(ax, "KL per latent, nats", "epoch", "rank of the latent")


def _draw_spread(ax: Axes, spread: np.ndarray) -> None:
    values = np.sort(spread)[::-1]
    marker_size = 3 if len(values) < MAX_MARKED_POINTS else 0
    ax.plot(np.arange(1, len(values) + 1), values, color=BLUE, lw=1.6, marker="o", ms=marker_size)
    ax.set_ylim(0, 1.08 * max(values[0], 1e-12))
    ax.xaxis.set_major_locator(_integer_locator())
    style_axes(ax, "standard deviation per latent", "rank of the latent", "standard deviation of codes")


def _draw_gradient_norm(ax: Axes, gradient: np.ndarray, clip: float | None) -> None:
    positive = gradient[np.isfinite(gradient[:, 1]) & (gradient[:, 1] > 0)]
    _plot_line(ax, positive if len(positive) else gradient)
    if clip is not None:
        _draw_reference(ax, clip, f"clipped to {clip:g}")
    if len(positive):
        _set_log_scale(ax)
    style_axes(ax, "gradient norm", "optimizer step", "norm before clipping")


def _draw_gap(ax: Axes, gap: np.ndarray, floor: float | None) -> None:
    _plot_line(ax, gap, ORANGE)
    if floor is not None:
        _draw_reference(ax, floor, "samples from the prior")
    _set_log_scale(ax)
    style_axes(ax, "aggregate posterior vs. prior", "epoch", "KL(Gaussian fit || prior), nats")


def _plot_line(ax: Axes, points: np.ndarray, color: str = BLUE) -> None:
    """Plot points (n, 2) as a line, with integer ticks on the horizontal axis."""
    ax.plot(*points.T, color=color, lw=1.6, marker="o", ms=3 if len(points) < MAX_MARKED_POINTS else 0)
    ax.xaxis.set_major_locator(_integer_locator())
    if len(points) == 1:
        ax.set_xlim(points[0, 0] - 1, points[0, 0] + 1)


def _integer_locator() -> MaxNLocator:
    """Return matplotlib's default tick locator, restricted to integers."""
    return MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True)


def _set_log_scale(ax: Axes) -> None:
    """Make the vertical axis logarithmic, with a range of at least half a decade and decimal tick labels."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    middle = math.sqrt(low * high)
    low, high = min(low, middle / 1.8), max(high, middle * 1.8)
    ax.set_ylim(low, high)
    digits: tuple[float, ...] = (1,)
    if high < 5 * low:
        digits = (1, 1.5, 2, 3, 4, 5, 7)
    elif high < 100 * low:
        digits = (1, 2, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**e for e in exponents for digit in digits if low <= digit * 10.0**e <= high]
    ax.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.minorticks_off()


def _draw_reference(ax: Axes, height: float, label: str) -> None:
    """Plot a dotted horizontal line for a reference value, with text at its right end."""
    ax.axhline(height, color=MUTED_COLOR, ls=":", lw=1)
    ax.annotate(label, (0.99, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
                ha="right", va="bottom", fontsize=SMALL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
