"""Bar chart of the KL divergence for each latent."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autoencoders.figures.style import BLUE, TEXT_COLOR, add_header, add_legend, new_figure, style_axes

MAX_LABELED_BARS = 40
"""Maximum number of bars that have a label and an error bar. If there are more bars, all labels are left out."""
INACTIVE_COLOR = "#c9cdd6"


def kl_bars(
    latents: np.ndarray, kl: np.ndarray, errors: np.ndarray, active: np.ndarray, title: str, caption: str
) -> Figure:
    """Plot the KL divergence of each latent as one bar. Bars of inactive latents are gray.

    The bars have the order of the arrays, which should be sorted by KL divergence.

    Args:
        latents: (Z,) indices of the latents.
        kl: (Z,) KL divergences in nats.
        errors: (Z,) standard errors of the KL divergences, in nats.
        active: (Z,) bool, True for active latents.
        title: one line above the axes.
        caption: one line of smaller text below the title.
    """
    labeled = len(kl) <= MAX_LABELED_BARS
    figure = new_figure(7.8, 4.2)
    add_header(figure, title, caption, 0.018, 0.965, 0.9)
    ax = figure.add_axes((0.085, 0.13, 0.89, 0.67))
    positions, colors = np.arange(len(kl)), np.where(active, BLUE, INACTIVE_COLOR)
    if labeled:
        ax.bar(positions, kl, width=0.8, color=colors, yerr=errors, ecolor=TEXT_COLOR, capsize=2)
        ax.set_xticks(positions, [str(i) for i in latents])
    else:
        ax.bar(positions, kl, width=1.0, linewidth=0, color=colors)
    ax.set_xlim(-0.7, len(kl) - 0.3)
    style_axes(ax, "", "latent, sorted by KL" if labeled else "rank of the latent by KL", "KL(q || p), nats")
    handles = [Patch(color=BLUE, label=f"active ({active.sum()})")]
    if not active.all():
        handles.append(Patch(color=INACTIVE_COLOR, label=f"inactive ({(~active).sum()})"))
    add_legend(ax, handles, [str(handle.get_label()) for handle in handles], loc="upper right")
    return figure
