"""How a training is doing, beyond its loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.style import BLUE, FAINT, INK, LABEL, ORANGE, TITLE, canvas, plain

DEAD = 0.01
"""Nats below which a latent's KL is drawn as nothing. Where posterior means vary by .01, the least that counts as an
active unit (Burda et al., 2016), their part of the KL is .005."""


@dataclass
class History:
    """What the panel shows; a part that is None is left out.

    Attributes:
        latents: Z.
        active: (E, 2) epochs, and how many latents were active.
        kl: (E, Z) nats per latent.
        kl_epochs: (E,) their epochs.
        gap: (E, 2) epochs, and the gap of the aggregate posterior to the prior in nats.
        floor: the gap that a true sample of the prior, of the same size, has on average.
        dimension: (E, 2) epochs, and the effective number of dimensions that codes fill.
        spread: (Z,) standard deviations of codes along each latent.
        gradient: (S, 2) optimizer steps, and the gradient's norm.
        clip: the norm that gradients are clipped to, or None.
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


def health(history: History, title: str, caption: str) -> Figure:
    """One panel: active units, KL per latent, gradient norm and gap to the prior, or what an AE has of these.

    Args:
        history: what to show.
        title: one line above.
        caption: a smaller one under it.
    """
    parts: dict[str, Callable[[Axes, History], None]] = {
        "active": _active, "kl": _kl, "dimension": _dimension, "spread": _spread, "gradient": _gradient, "gap": _gap,
    }  # fmt: skip
    drawn = [draw for name, draw in parts.items() if getattr(history, name) is not None]
    columns = 2 if len(drawn) == 4 else max(len(drawn), 1)
    rows = max(-(-len(drawn) // columns), 1)
    width, height = max(4.3 * columns, 5.6), 2.8 * rows + 0.6
    figure = canvas(width, height)
    figure.text(0.17 / width, 1 - 0.12 / height, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.17 / width, 1 - 0.36 / height, caption, va="top", fontsize=LABEL, color=FAINT)
    # Margins in inches: measuring what the labels need takes as long as drawing the rest.
    figure.subplots_adjust(left=0.72 / width, right=1 - 0.3 / width, bottom=0.5 / height, top=1 - 0.9 / height,
                           wspace=0.28, hspace=0.42)  # fmt: skip
    for i, draw in enumerate(drawn):
        draw(figure.add_subplot(rows, columns, i + 1), history)
    return figure


def _points(ax: Axes, points: np.ndarray, color: str = BLUE) -> None:
    ax.plot(*points.T, color=color, lw=1.6, marker="o", ms=3 if len(points) < 60 else 0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if len(points) == 1:
        ax.set_xlim(points[0, 0] - 1, points[0, 0] + 1)


def _logarithmic(ax: Axes) -> None:
    """A logarithmic axis of at least half a decade, with plain numbers on it."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    middle = math.sqrt(low * high)
    low, high = min(low, middle / 1.8), max(high, middle * 1.8)
    ax.set_ylim(low, high)
    leading = (1, 1.5, 2, 3, 4, 5, 7) if high < 5 * low else (1, 2, 5) if high < 100 * low else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in leading if low <= m * 10.0**e <= high]
    ax.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.yaxis.set_minor_formatter("")
    ax.tick_params(which="minor", color=FAINT)


def _dotted(ax: Axes, height: float, words: str) -> None:
    ax.axhline(height, color=FAINT, ls=":", lw=1)
    ax.annotate(words, (0.99, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
                ha="right", va="bottom", fontsize=LABEL - 1, color=FAINT)  # fmt: skip


def _active(ax: Axes, history: History) -> None:
    _points(ax, history.active)
    ax.set_ylim(-0.04 * history.latents, 1.16 * history.latents)
    _dotted(ax, history.latents, f"all {history.latents}")
    plain(ax, "active units", "epoch", "latents")


def _dimension(ax: Axes, history: History) -> None:
    _points(ax, history.dimension)
    ax.set_ylim(0, 1.16 * history.latents)
    _dotted(ax, history.latents, f"all {history.latents} alike")
    plain(ax, "dimensions that codes fill", "epoch", "participation ratio")


def _kl(ax: Axes, history: History) -> None:
    """A column per epoch, a row per latent, those that cost most at the last epoch on top."""
    from matplotlib.colors import LogNorm

    order = np.argsort(-np.nan_to_num(history.kl[-1]), kind="stable")
    values = np.clip(history.kl.T[order], DEAD, None)
    epochs = history.kl_epochs
    step = max(float(np.diff(epochs).min()), 1.0) if len(epochs) > 1 else 1.0
    edges = np.append(epochs - step / 2, epochs[-1] + step / 2)
    top = max(float(np.nanmax(values)), 10 * DEAD)
    mesh = ax.pcolormesh(edges, np.arange(len(order) + 1) + 0.5, values, cmap="Blues", norm=LogNorm(DEAD, top))
    ax.invert_yaxis()
    if len(epochs) == 1:
        ax.set_xticks(epochs)
    else:
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.get_major_locator().set_params(integer=True)
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, format=lambda value, _: f"{value:g}")
    bar.ax.yaxis.set_minor_formatter("")
    bar.ax.tick_params(labelsize=LABEL - 1, colors=FAINT)
    bar.outline.set_visible(False)
    plain(ax, "KL per latent, nats", "epoch", "latent, by rank")


def _spread(ax: Axes, history: History) -> None:
    values = np.sort(history.spread)[::-1]
    ax.plot(np.arange(1, len(values) + 1), values, color=BLUE, lw=1.6, marker="o", ms=3 if len(values) < 60 else 0)
    ax.set_ylim(0, 1.08 * max(values[0], 1e-12))
    ax.xaxis.get_major_locator().set_params(integer=True)
    plain(ax, "spread of each latent", "latent, by rank", "standard deviation of codes")


def _gradient(ax: Axes, history: History) -> None:
    finite = history.gradient[np.isfinite(history.gradient[:, 1]) & (history.gradient[:, 1] > 0)]
    _points(ax, finite if len(finite) else history.gradient)
    if history.clip is not None:
        _dotted(ax, history.clip, f"clipped to {history.clip:g}")
    if len(finite):
        _logarithmic(ax)
    plain(ax, "gradient norm", "optimizer step", "before clipping")


def _gap(ax: Axes, history: History) -> None:
    _points(ax, history.gap, ORANGE)
    if history.floor is not None:
        _dotted(ax, history.floor, "a sample of the prior itself")
    _logarithmic(ax)
    plain(ax, "aggregate posterior to prior", "epoch", "KL of the Gaussian fit, nats")
