"""Plot figures that compare runs: distortion against rate for each beta, and the metrics that differ between models."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from autoencoders.reports.comparison import SEED_KEYS, describe_settings, group_by_settings
from autoencoders.reports.images import FigureGroup, Picture
from autoencoders.reports.metric_info import get_metric_info
from autoencoders.reports.plots import shared_baselines, shorten, to_picture
from autoencoders.reports.result_tables import metric_value
from autoencoders.reports.run_folder import RunFolder
from autoencoders.utils.statistics import mean_and_deviation
from autoencoders.utils.texts import display_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoencoders.figures.comparison import MetricPanel
    from autoencoders.figures.rate_distortion import RatePoint

BETA_KEYS = ("beta", "beta.value", "beta.share", "beta.cycles", "beta.capacity")
"""Config keys of the beta schedule."""

COMPARED = {
    "test/mse": "MSE of reconstructions",
    "test/psnr": "PSNR of reconstructions",
    "evaluate/SSIM/model": "SSIM of reconstructions",
    "test/distortion": "distortion",
    "test/rate": "rate",
    "test/neg_elbo": "negative ELBO",
    "test/active_units": "active units",
    "latent_map/knn/model": "nearest-neighbor accuracy",
    "latent_map/linear/model": "linear-probe accuracy",
    "retrieve/map/model": "retrieval, mean AP",
    "evaluate/FID, samples/model": "FID of samples",
    "evaluate/KID, samples/model": "KID of samples",
}
"""Metric -> title of its panel in the comparison of models."""

MAX_COMPARED = 16
"""Maximum number of rows in the comparison of models."""

DIRECTIONS = {-1: "lower is better", 0: "", 1: "higher is better"}


def plot_rate_distortion(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot the distortion against the rate for the report; see `rate_distortion_figures`."""
    figures = FigureGroup("Distortion against rate", large=True)
    for figure, caption, detail in rate_distortion_figures(runs):
        figures.pictures.append(to_picture(figure, caption, detail))
    return figures


def rate_distortion_figures(runs: Sequence[RunFolder]) -> list[tuple[Figure, str, str]]:
    """Plot the distortion against the rate (KL divergence of the posterior from the prior), with one point per beta.

    Both metrics are from the test split. Runs that differ only in beta and seed form a curve. A point is the mean over
    seeds. Curves share a figure if their runs have the same images and likelihood. A curve with a single beta is
    skipped, and so are models without a prior.

    Returns:
        Matplotlib figure, caption and number of runs, for each group of comparable curves.
    """
    required = {"test/rate", "test/distortion"}
    measured = [run for run in runs if run.config and run.has_prior and required <= set(run.metrics)]
    groups = [group for group in group_by_settings(measured, (*BETA_KEYS, *SEED_KEYS)) if _betas(group) > 1]
    by_model = len({run.model_name for run in runs}) > 1
    return [_plot_curves(comparable, by_model) for comparable in _split_groups(groups, lambda run: run.likelihood_key)]


def _betas(runs: Sequence[RunFolder]) -> int:
    return len({str(run.config_value("beta")) for run in runs})


def _split_groups(
    groups: Sequence[list[RunFolder]], key: Callable[[RunFolder], str | None]
) -> list[list[list[RunFolder]]]:
    """Split groups of runs into lists of groups whose first runs have the same key."""
    split: dict[str | None, list[list[RunFolder]]] = {}
    for group in groups:
        split.setdefault(key(group[0]), []).append(group)
    return list(split.values())


def _plot_curves(groups: Sequence[list[RunFolder]], by_model: bool) -> tuple[Figure, str, str]:
    """Plot one curve per group, with one point per beta; return figure, caption and number of runs."""
    from autoencoders.figures.rate_distortion import rate_distortion_plot
    from autoencoders.figures.style import series_styles

    curves = {
        name: [_rate_point(point, label) for point, label in _points(group)]
        for name, group in zip(name_groups(groups, (*BETA_KEYS, *SEED_KEYS)), groups, strict=True)
    }
    best = min((point for curve in curves.values() for point in curve), key=lambda point: point.rate + point.distortion)
    data = str(groups[0][0].config_value("data", "name") or "test")
    runs = [run for group in groups for run in group]
    lowest = f"dotted: lowest rate + distortion, {best.rate + best.distortion:.2f} nats ({best.label})"
    caption = "; ".join(filter(None, (_describe_seeds(runs), lowest)))
    title = f"{data}: reconstruction error and information in the code for each beta"
    styles = series_styles([group[0].model_name for group in groups], by_model)
    figure = rate_distortion_plot(curves, title, caption, styles)
    return figure, ", ".join((f"test split of {data}", *curves)), f"{len(runs)} runs"


def _points(group: Sequence[RunFolder]) -> list[tuple[list[RunFolder], str]]:
    """Return the runs of each beta of a curve, and the label of the point, such as `beta=4`."""
    labels = [shorten(label) for label in describe_settings(group, SEED_KEYS)]
    points: dict[str, list[RunFolder]] = {}
    for run, label in zip(group, labels, strict=True):
        points.setdefault(label, []).append(run)
    return [(point, label) for label, point in points.items()]


def _rate_point(runs: Sequence[RunFolder], label: str) -> RatePoint:
    from autoencoders.figures.rate_distortion import RatePoint

    values = []
    for key in ("test/rate", "test/distortion"):
        mean, deviation = mean_and_deviation([run.metrics[key] for run in runs])
        values += [math.nan if mean is None else mean, math.nan if deviation is None else deviation]
    return RatePoint(label, *values)


def name_groups(groups: Sequence[Sequence[RunFolder]], ignored: Sequence[str]) -> list[str]:
    """Return a short unique name for each group of runs: its model, and its settings if the models are not unique.

    Args:
        groups: groups of runs with the same settings, except for the ignored ones.
        ignored: config keys that are omitted.
    """
    models = [display_name(group[0].model_name) for group in groups]
    if len(set(models)) == len(models):
        return models
    settings = describe_settings([group[0] for group in groups], ignored)
    names = [", ".join(filter(None, (model, text))) for model, text in zip(models, settings, strict=True)]
    names = [shorten(re.sub(r"\bmodel=\w+(, )?", "", name).rstrip(", ")) for name in names]
    return names if len(set(names)) == len(names) else [f"{i}: {name}" for i, name in enumerate(names)]


def _describe_seeds(runs: Sequence[RunFolder]) -> str:
    """Return a sentence about means over seeds, or an empty string if all runs have the same seed."""
    seeds = len({str(run.config_value("seed")) for run in runs})
    return f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""


def plot_comparison(runs: Sequence[RunFolder]) -> FigureGroup:
    """Plot the metrics that differ between models, with one panel per metric and one row per model.

    Runs that differ only in their seed form a row. A figure contains runs that were evaluated on the same images, and a
    panel only values that can be compared. There is no figure for a single model.
    """
    figures = FigureGroup("Metrics that differ", large=True)
    finished = [run for run in runs if run.metrics and run.config]
    groups = group_by_settings(finished, SEED_KEYS)
    for comparable in _split_groups(groups, lambda run: run.images_key):
        if len({group[0].model_name for group in comparable}) > 1 and len(comparable) <= MAX_COMPARED:
            figures.pictures += _plot_panels(comparable)
    return figures


def _plot_panels(groups: Sequence[list[RunFolder]]) -> list[Picture]:
    """Return the figure that compares groups of runs, or an empty list if no metric differs."""
    from autoencoders.figures.comparison import metric_panels
    from autoencoders.figures.style import series_styles

    names = name_groups(groups, SEED_KEYS)
    panels = [panel for metric in COMPARED if (panel := _metric_panel(metric, dict(zip(names, groups, strict=True))))]
    if not panels:
        return []
    runs = [run for group in groups for run in group]
    data = str(groups[0][0].config_value("data", "name") or "test")
    errors = _describe_seeds(runs) or "bars: standard error over test images, if it is known"
    styles = series_styles([group[0].model_name for group in groups], by_model=True)
    caption = f"{errors}; dotted: baseline, if it is near" if any(panel.baselines for panel in panels) else errors
    figure = metric_panels(panels, names, styles, f"{data}: what differs between the models", caption)
    return [to_picture(figure, f"test split of {data}", f"{len(runs)} runs")]


def _metric_panel(metric: str, groups: Mapping[str, Sequence[RunFolder]]) -> MetricPanel | None:
    """Return the values of a metric; None if fewer than two groups have it, or its values are equal or incomparable."""
    from autoencoders.figures.comparison import MetricPanel

    info = get_metric_info(metric.removesuffix("/model").rpartition("/")[2])
    values: dict[str, list[float]] = {}
    errors: dict[str, float] = {}
    keys: set[str | None] = set()
    for name, group in groups.items():
        found = [
            (run, value, error) for run in group for value, error in [metric_value(run, metric)] if value is not None
        ]
        if not found:
            continue
        values[name] = [value for _, value, _ in found]
        keys |= {run.comparison_keys[info.comparison_key] for run, _, _ in found}
        error = mean_and_deviation(values[name])[1] if len(found) > 1 else found[0][2]
        if error is not None:
            errors[name] = error
    if len(values) < 2 or len(keys) > 1 or len({value for group in values.values() for value in group}) == 1:
        return None
    baselines = shared_baselines(
        [run for group in groups.values() for run in group], metric.removeprefix("test/"), "test"
    )
    unit = ", ".join(filter(None, (info.unit, DIRECTIONS[info.direction])))
    return MetricPanel(COMPARED[metric], unit, values, errors, baselines)
