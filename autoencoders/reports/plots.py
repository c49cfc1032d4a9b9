"""Plot figures from the metrics of several runs: validation curves, and distortion against rate."""

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
"""Validation metrics that are plotted as a function of the optimizer step."""

BETA_KEYS = ("beta", "beta.value", "beta.share", "beta.cycles", "beta.capacity")
"""Config keys of the beta schedule."""

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
    """Plot the validation metric `val/<name>` of several runs as a function of the optimizer step."""
    import numpy as np

    from autoencoders.figures.runs import metric_over_runs

    curves = {label: np.array(run.curves[f"val/{name}"]) for label, run in zip(legend_labels(runs), runs, strict=True)}
    axis_label = f"{name}, {get_metric_info(name).unit}"
    figure = metric_over_runs(curves, f"validation {name}", axis_label, _shared_baselines(runs, name))
    return to_picture(figure, f"val/{name}", f"{len(runs)} runs")


def legend_labels(runs: Sequence[RunFolder]) -> list[str]:
    """Return a short unique label for each run.

    The labels are the settings that differ between the runs, or the names of the runs if the settings are not unique.
    """
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
    """Return display name -> value for the validation baselines of a metric that have the same value in all runs."""
    baselines = {}
    for key, label in BASELINES.get(name, {}).items():
        values = {run.metrics.get(f"val/{key}") for run in runs}
        value = values.pop()
        if value is not None and not values:
            baselines[label] = value
    return baselines


def plot_rate_distortion(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot the distortion against the rate (KL divergence of the posterior from the prior), with one point per run.

    Both metrics are from the test split. Runs that differ only in beta and seed form a group, and each group is plotted
    in its own figure. A group is skipped if all its runs have the same beta, or if the runs have different likelihoods
    or kinds of conditioning, because their negative ELBOs are then not comparable.
    """
    from autoencoders.figures.curves import rate_distortion_curve

    figures = FigureGroup("Distortion against rate", large=True)
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
    """Render a matplotlib figure as a PNG image with a caption for the report.

    Args:
        figure: matplotlib figure to render.
        caption: subject of the figure.
        detail: text after the caption, such as the number of runs.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    content = stream.getvalue()
    size = read_size(content)
    assert size is not None  # matplotlib has just written a PNG file
    return Picture(content, "image/png", size, caption, detail)
