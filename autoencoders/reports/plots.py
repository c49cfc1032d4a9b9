"""Figures that the report draws from several runs: validation curves, and rate against distortion."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoencoders.reports.comparison import SEED_KEYS, describe_settings, group_by_settings
from autoencoders.reports.images import FigureGroup, Picture, read_size
from autoencoders.reports.metric_info import BASELINES, get_metric_info
from autoencoders.reports.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_METRICS = ("neg_elbo", "distortion", "rate", "mse")
"""Validation metrics that are plotted over the steps of all runs."""

BETA_KEYS = ("beta", "beta.value", "beta.share", "beta.cycles", "beta.capacity")
"""Keys of the beta schedule."""

DPI = 144
MAX_LABEL_LENGTH = 40


def plot_training_curves(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot each validation metric over the steps, with one figure per group of comparable runs."""
    figures = FigureGroup("Validation metrics during training")
    for name in CURVE_METRICS:
        groups: dict[str, list[RunFolder]] = {}
        for run in runs:
            has_metric = run.has_prior or name not in ("neg_elbo", "rate")
            if has_metric and len(run.curves.get(f"val/{name}", ())) > 1:
                key = run.images_key if name == "mse" else run.likelihood_key
                groups.setdefault(key or "", []).append(run)
        figures.pictures += [_plot_metric(group, name) for group in groups.values() if len(group) > 1]
    return figures


def _plot_metric(runs: Sequence[RunFolder], name: str) -> Picture:
    """Plot one validation metric of several runs."""
    import numpy as np

    from autoencoders.figures.runs import metric_over_runs

    curves = {label: np.array(run.curves[f"val/{name}"]) for label, run in zip(legend_labels(runs), runs, strict=True)}
    axis_label = f"{name}, {get_metric_info(name).unit}"
    figure = metric_over_runs(curves, f"validation {name}", axis_label, _shared_baselines(runs, name))
    return to_picture(figure, f"val/{name}", f"{len(runs)} runs")


def legend_labels(runs: Sequence[RunFolder]) -> list[str]:
    """Return a short unique label per run: its settings if they are unique, else its name."""
    labels = describe_settings(runs)
    if not all(labels) or len(set(labels)) < len(runs):
        labels = [run.label for run in runs]
    short_labels = [_shorten(label) for label in labels]
    if len(set(short_labels)) == len(runs):
        return short_labels
    return [f"{i}: {label}" for i, label in enumerate(short_labels)]


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LENGTH else f"{label[: MAX_LABEL_LENGTH - 3]}..."


def _shared_baselines(runs: Sequence[RunFolder], name: str) -> dict[str, float]:
    """Return the validation baselines of a metric that are equal in all runs."""
    baselines = {}
    for key, label in BASELINES.get(name, {}).items():
        values = {run.metrics.get(f"val/{key}") for run in runs}
        value = values.pop()
        if value is not None and not values:
            baselines[label] = value
    return baselines


def plot_rate_distortion(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot rate against distortion, with one figure per group of runs that differ only in beta and seed."""
    from autoencoders.figures.curves import rate_distortion_curve

    figures = FigureGroup("Rate against distortion", large=True)
    required = {"test/rate", "test/distortion"}
    measured = [run for run in runs if run.config and run.has_prior and required <= set(run.metrics)]
    ignored = (*BETA_KEYS, *SEED_KEYS)
    settings = describe_settings(measured, ignored)
    for group in group_by_settings(measured, ignored):
        if len({str(run.config_value("beta")) for run in group}) < 2 or len({run.neg_elbo_key for run in group}) > 1:
            continue
        rates, distortions = ([run.metrics[f"test/{key}"] for run in group] for key in ("rate", "distortion"))
        labels = describe_settings(group, SEED_KEYS)
        labels = [_shorten(label) if label not in labels[:i] else "" for i, label in enumerate(labels)]
        title = str(group[0].config_value("data", "name") or "test")
        figure = rate_distortion_curve(rates, distortions, labels, title)
        caption = ", ".join(filter(None, (f"test split of {title}", settings[measured.index(group[0])])))
        figures.pictures.append(to_picture(figure, caption, f"{len(group)} runs"))
    return figures


def to_picture(figure: Figure, caption: str, detail: str) -> Picture:
    """Render a matplotlib figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    content = stream.getvalue()
    size = read_size(content)
    assert size is not None  # matplotlib has just written a PNG file
    return Picture(content, "image/png", size, caption, detail)
