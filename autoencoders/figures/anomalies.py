"""Scores of normal and anomalous images, and where in an image the error is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.grids import image_grid
from autoencoders.figures.style import BLUE, INK, LABEL, ORANGE, canvas, plain


def score_histograms(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray, float]], title: str, names: tuple[str, str]
) -> Figure:
    """A panel per score: normal and anomalous images, and the threshold.

    Args:
        scores: a panel's title, `; ` and the unit -> scores of normal (N,) and anomalous images (M,), the threshold.
        title: one line above.
        names: of normal and anomalous images.
    """
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = canvas(3.4 * columns + 0.3, 2.5 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, (normal, anomalous, threshold)) in zip(panels, scores.items(), strict=False):
        low, high = np.quantile(np.concatenate([normal, anomalous]), (0.002, 0.98))
        bins = np.linspace(low, max(high, threshold * 1.05 if threshold > 0 else threshold), 41)
        for values, color, label in ((normal, BLUE, names[0]), (anomalous, ORANGE, names[1])):
            weights = np.full(len(values), 1 / max(len(values), 1))
            clipped = np.clip(values, bins[0], bins[-1])  # what lies beyond is gathered at the edge
            ax.hist(clipped, bins, weights=weights, color=color, alpha=0.6, label=label)
        ax.locator_params(axis="x", nbins=5)
        ax.axvline(threshold, color=INK, ls="--", lw=1)
        word, _, unit = name.partition("; ")
        plain(ax, "", unit, "share of images")
        ax.set_title(word, loc="left", fontsize=LABEL, color=INK)
    for ax in panels[len(scores) :]:
        ax.set_axis_off()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / figure.get_figheight()))
    handles, labels = panels[0].get_legend_handles_labels()
    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=11, color=INK)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.0, 1 - 0.27 / height), ncols=2, frameon=False,
                  fontsize=LABEL)  # fmt: skip
    return figure


def error_maps(
    inputs: np.ndarray, outputs: np.ndarray, title: str, columns: tuple[str, ...] = (), caption: str = ""
) -> Figure:
    """Rows of input, output and absolute error per pixel, dark for none, all on one scale.

    Args:
        inputs: (N, C, H, W) in [0, 1].
        outputs: (N, C, H, W).
        title: one line above.
        columns: a label per image.
        caption: a smaller line under the title.
    """
    from matplotlib import colormaps

    error = np.abs(np.clip(outputs, 0, 1) - inputs).mean(1)  # (N, H, W)
    limit = float(np.quantile(error, 0.998)) or 1.0
    heat = colormaps["inferno"](np.clip(error / limit, 0, 1))[..., :3].transpose(0, 3, 1, 2)
    color = [np.broadcast_to(part, heat.shape) for part in (inputs, outputs)]
    rows = ["input", "output", f"|error|, 0 .. {limit:.2f}"]
    return image_grid(np.stack([*color, heat]), title, rows, columns, caption)
