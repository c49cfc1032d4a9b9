"""Plot the validation curves of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoencoders.reports.comparison import describe_settings
from autoencoders.reports.images import FigureGroup, Picture, read_size
from autoencoders.reports.metric_info import BASELINES, get_metric_info
from autoencoders.reports.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_METRICS = ("neg_elbo", "distortion", "rate", "mse")
"""Validation metrics that are plotted as a function of the optimizer step."""

DPI = 144
"""Resolution of the plots, in dots per inch."""

MAX_LABEL_LENGTH = 40
"""Maximum number of characters in the label of a run in a plot. Longer labels are cut off."""


def plot_training_curves(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot each metric of `CURVE_METRICS` as a function of the optimizer step, with one curve per run.

    Runs share a figure only if their values can be compared: they have the same images for `mse`, and also the same
    likelihood for all other metrics. A metric is plotted only if at least two comparable runs have a curve.
    """
    figures = FigureGroup("Validation metrics during training")
    by_model = len({run.model_name for run in runs}) > 1
    for name in CURVE_METRICS:
        groups: dict[str, list[RunFolder]] = {}
        for run in runs:
            has_metric = run.has_prior or name not in ("neg_elbo", "rate")
            if has_metric and len(run.curves.get(f"val/{name}", ())) > 1:
                key = run.images_key if name == "mse" else run.likelihood_key
                groups.setdefault(key or "", []).append(run)
        figures.pictures += [_plot_metric(group, name, by_model) for group in groups.values() if len(group) > 1]
    return figures


def _plot_metric(runs: Sequence[RunFolder], name: str, by_model: bool) -> Picture:
    """Plot the validation metric `val/<name>` of several runs as a function of the optimizer step."""
    import numpy as np

    from autoencoders.figures.runs import metric_over_runs
    from autoencoders.figures.style import series_styles

    curves = {label: np.array(run.curves[f"val/{name}"]) for label, run in zip(legend_labels(runs), runs, strict=True)}
    axis_label = f"{name}, {get_metric_info(name).unit}"
    styles = series_styles([run.model_name for run in runs], by_model)
    figure = metric_over_runs(curves, f"validation {name}", axis_label, shared_baselines(runs, name), styles)
    return to_picture(figure, f"val/{name}", f"{len(runs)} runs")


def legend_labels(runs: Sequence[RunFolder]) -> list[str]:
    """Return a short unique label for each run.

    The labels are the settings that differ between the runs, or the names of the runs if the settings are not unique.
    """
    labels = describe_settings(runs)
    if not all(labels) or len(set(labels)) < len(runs):
        labels = [run.label for run in runs]
    short_labels = [shorten(label) for label in labels]
    if len(set(short_labels)) == len(runs):
        return short_labels
    return [f"{i}: {label}" for i, label in enumerate(short_labels)]


def shorten(label: str) -> str:
    """Cut off a label after `MAX_LABEL_LENGTH` characters."""
    return label if len(label) <= MAX_LABEL_LENGTH else f"{label[: MAX_LABEL_LENGTH - 3]}..."


def shared_baselines(runs: Sequence[RunFolder], name: str, split: str = "val") -> dict[str, float]:
    """Return display name -> value for the baselines of a metric that have the same value in all runs."""
    baselines = {}
    for key, label in BASELINES.get(name, {}).items():
        values = {run.metrics.get(f"{split}/{key}") for run in runs}
        value = values.pop()
        if value is not None and not values:
            baselines[label] = value
    return baselines


def to_picture(figure: Figure, caption: str, detail: str) -> Picture:
    """Render a matplotlib figure as a PNG image with a caption for the report.

    Args:
        figure: matplotlib figure to render.
        caption: subject of the figure.
        detail: text after the caption, such as the number of runs.
    """
    from autoencoders.figures.files import render_figure

    content = render_figure(figure, dpi=DPI)
    size = read_size(content)
    assert size is not None  # matplotlib has just written a PNG file
    return Picture(content, "image/png", size, caption, detail, dpi=DPI)
