"""Histograms of anomaly scores, and maps of the reconstruction error per pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.grids import image_grid
from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import (
    BLUE,
    LABEL_SIZE,
    MAX_TITLE,
    ORANGE,
    PLAIN,
    TEXT_COLOR,
    TITLE_ID,
    TITLE_SIZE,
    add_legend,
    new_figure,
    plain_text,
    style_axes,
)


def score_histograms(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray, float]], title: str, names: tuple[str, str]
) -> Figure:
    """Plot histograms of anomaly scores for normal and anomalous images, with one panel per kind of score.

    A dashed vertical line marks the detection threshold.

    Args:
        scores: dict from `<panel title>; <unit>` to the scores of normal images (N,), the scores of anomalous images
            (M,), and the threshold.
        title: one line above the panels.
        names: legend entries for the normal and the anomalous images.
    """
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = new_figure(3.4 * columns + 0.3, 2.5 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, (normal, anomalous, threshold)) in zip(panels, scores.items(), strict=False):
        low, high = np.quantile(np.concatenate([normal, anomalous]), (0.002, 0.98))
        bins = np.linspace(low, max(high, threshold * 1.05 if threshold > 0 else threshold), 41)
        for values, color, label in ((normal, BLUE, "normal"), (anomalous, ORANGE, "anomalous")):
            weights = np.full(len(values), 1 / max(len(values), 1))
            clipped = np.clip(values, bins[0], bins[-1])  # count values outside the range in the outermost bins
            ax.hist(clipped, bins, weights=weights, color=color, alpha=0.6, label=label)
        ax.locator_params(axis="x", nbins=5)
        ax.axvline(threshold, color=TEXT_COLOR, ls="--", lw=1)
        panel_title, _, unit = name.partition("; ")
        style_axes(ax, "", unit, "fraction of images")
        ax.set_title(panel_title, loc="left", fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
    for ax in panels[len(scores) :]:
        ax.set_axis_off()
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / height))
    handles = panels[0].get_legend_handles_labels()[0]
    title = plain_text(title, MAX_TITLE)
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=TITLE_SIZE, color=TEXT_COLOR, gid=TITLE_ID, **PLAIN)
    add_legend(figure, handles, names, loc="upper left", bbox_to_anchor=(0.0, 1 - 0.27 / height), ncols=2)
    return figure


def error_maps(
    inputs: np.ndarray,
    outputs: np.ndarray,
    title: str,
    columns: tuple[str, ...] = (),
    caption: str = "",
    baseline: tuple[str, np.ndarray] | None = None,
    masks: np.ndarray | None = None,
) -> Figure:
    """Plot a grid with three rows: input images, output images, and the absolute error per pixel.

    A baseline adds a row with its errors, and masks add a row with the anomalous pixels in white.

    All errors have the same color scale, in which black is 0.

    Args:
        inputs: (N, C, H, W) input images in [0, 1].
        outputs: (N, C, H, W) output images.
        title: one line above the grid.
        columns: text above each image, N strings.
        caption: one line of smaller text below the title.
        baseline: name of a baseline, and its output images (N, C, H, W).
        masks: (N, H, W) bool, whether a pixel is anomalous.
    """
    from matplotlib import colormaps

    errors = {"absolute error": pixel_errors(inputs, outputs)}
    if baseline is not None:
        errors[f"error of {baseline[0]}"] = pixel_errors(inputs, baseline[1])
    limit = float(np.quantile(np.stack(list(errors.values())), 0.998)) or 1.0
    rows = {"input": np.moveaxis(to_rgb(inputs), -1, -3), "output": np.moveaxis(to_rgb(outputs), -1, -3)}
    for name, error in errors.items():
        rows[name] = colormaps["inferno"](np.clip(error / limit, 0, 1))[..., :3].transpose(0, 3, 1, 2)
    if masks is not None:
        rows["mask"] = np.repeat(masks[:, None], 3, axis=1).astype(float)
    color_bar = ("absolute error per pixel", "inferno", limit)
    return image_grid(np.stack(list(rows.values())), title, list(rows), columns, caption, color_bar)


def pixel_errors(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the absolute error per pixel (N, H, W), averaged over the channels, of outputs clipped to [0, 1]."""
    return np.abs(np.clip(outputs, 0, 1) - inputs).mean(1)
