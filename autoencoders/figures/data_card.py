"""Figure that describes a dataset: examples, images per class, brightness, and correlations of attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.grids import tile_images
from autoencoders.figures.style import (
    BLUE,
    GREEN,
    LABEL_SIZE,
    ORANGE,
    PLAIN,
    add_axes_legend,
    add_header,
    new_figure,
    plain_text,
    style_axes,
)
from autoencoders.utils.texts import MAX_CLASSES, describe_shown

SPLIT_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN}


def data_card(
    examples: np.ndarray,
    brightness: Mapping[str, np.ndarray],
    classes: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    correlations: np.ndarray,
    title: str,
    caption: str,
) -> Figure:
    """Plot example images, and one panel each for brightness and, if known, classes or attributes.

    Args:
        examples: (N, C, H, W) images in [0, 1].
        brightness: split -> mean pixel values (M,) of images.
        classes: split -> number of images per class (K,); empty without classes.
        names: names of the K classes or, without classes, of the A attributes.
        correlations: (A, A) correlations of the attributes; empty without attributes.
        title: one line above the panels.
        caption: one line of smaller text below the title.
    """
    figure = new_figure(11.0, 5.4)
    add_header(figure, title, caption, 0.012, 0.98, 0.935)
    ax = figure.add_axes((0.012, 0.6, 0.976, 0.26))
    ax.imshow(tile_images(examples[None]), interpolation="nearest", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.set_anchor("W")
    _plot_brightness(figure.add_axes((0.06, 0.12, 0.36, 0.36)), brightness)
    right = figure.add_axes((0.5, 0.2, 0.46, 0.28))
    if classes:
        _plot_classes(right, classes, names)
    elif correlations.size:
        _plot_correlations(right, correlations, names)
    else:
        right.set_axis_off()
        right.text(0, 0.9, "no labels", fontsize=LABEL_SIZE, **PLAIN)
    return figure


def _plot_brightness(ax: Axes, brightness: Mapping[str, np.ndarray]) -> None:
    for split, values in brightness.items():
        weights = np.full(len(values), 1 / len(values))
        edges = [i / 40 for i in range(41)]
        ax.hist(values, edges, weights=weights, histtype="step", lw=1.5, color=SPLIT_COLORS[split],
                label=split)  # fmt: skip
    style_axes(ax, "brightness", "mean pixel value of an image", "fraction of images")
    add_axes_legend(ax)


def _plot_classes(ax: Axes, classes: Mapping[str, np.ndarray], names: tuple[str, ...]) -> None:
    """Plot stacked bars of the most frequent classes in order of their total number of images."""
    total = np.sum(list(classes.values()), axis=0)
    shown = np.argsort(-total, kind="stable")[:MAX_CLASSES]
    bottom = np.zeros(len(shown))
    for split, counts in classes.items():
        ax.bar(np.arange(len(shown)), counts[shown], bottom=bottom, color=SPLIT_COLORS[split], label=split)
        bottom += counts[shown]
    labels = [plain_text(names[i], 14) for i in shown]
    ax.set_xticks(np.arange(len(shown)), labels, rotation=0 if max(map(len, labels)) < 4 else 90, **PLAIN)
    which = describe_shown(len(names)) or f"{len(names)} classes"
    style_axes(ax, f"{which}, from {total.min():,} to {total.max():,} images", "", "images")


def _plot_correlations(ax: Axes, correlations: np.ndarray, names: tuple[str, ...]) -> None:
    """Plot the correlations of the first attributes as a heat map."""
    count = min(len(names), MAX_CLASSES)
    mesh = ax.imshow(correlations[:count, :count], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    labels = [plain_text(name, 14) for name in names[:count]]
    ax.set_xticks(np.arange(count), labels, rotation=90 if count > 4 else 0, **PLAIN)
    ax.set_yticks(np.arange(count), labels, **PLAIN)
    which = describe_shown(len(names), "attributes") or f"{len(names)} attributes"
    style_axes(ax, f"correlations of {which}")
    ax.figure.colorbar(mesh, ax=ax, pad=0.02)
