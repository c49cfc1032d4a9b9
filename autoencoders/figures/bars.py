"""One number per latent."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autoencoders.figures.style import BLUE, FAINT, INK, LABEL, TITLE, canvas, plain

NAMED = 40
"""Bars that fit with a name under each."""


def kl_bars(
    latents: np.ndarray, kl: np.ndarray, errors: np.ndarray, active: np.ndarray, title: str, caption: str
) -> Figure:
    """A bar per latent, in the order given; inactive ones pale.

    Args:
        latents: (Z,) their numbers.
        kl: (Z,) in nats.
        errors: (Z,) standard errors, in nats.
        active: (Z,) bool.
        title: one line above.
        caption: a smaller one under it.
    """
    figure = canvas(7.8, 4.2)
    figure.text(0.018, 0.965, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.018, 0.9, caption, va="top", fontsize=LABEL, color=FAINT)
    ax = figure.add_axes((0.085, 0.13, 0.89, 0.67))
    colors = np.where(active, BLUE, "#c9cdd6")
    bars = {"width": 0.8} if len(kl) <= NAMED else {"width": 1.0, "linewidth": 0}
    shown = errors if len(kl) <= NAMED else None
    ax.bar(np.arange(len(kl)), kl, color=colors, yerr=shown, ecolor=INK, capsize=2, **bars)
    if len(kl) <= NAMED:
        ax.set_xticks(np.arange(len(kl)), [str(i) for i in latents])
    ax.set_xlim(-0.7, len(kl) - 0.3)
    plain(ax, "", "latent, by KL" if len(kl) <= NAMED else "rank by KL", "KL(q || p), nats")
    handles = [Patch(color=BLUE, label=f"active ({active.sum()})")]
    if not active.all():
        handles.append(Patch(color="#c9cdd6", label=f"inactive ({(~active).sum()})"))
    ax.legend(handles=handles, frameon=False, fontsize=LABEL, loc="upper right")
    return figure
