"""Pictures that only several runs can give: curves over their steps, rate against distortion."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoencoders.reports.folders import RunFolder
from autoencoders.reports.measures import BASELINES, measure
from autoencoders.reports.pictures import Group, Picture, size_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVER_STEPS = ("nats", "distortion", "rate", "mse")
"""Validation metrics that are drawn over the steps of all runs."""

DPI = 144
LONGEST = 40
"""Characters of a run's words in a picture, at most."""


def training_curves(runs: Sequence[RunFolder]) -> Group:
    """A picture per validation metric, of all runs whose values can be compared."""
    from autoencoders.figures.runs import metric_over_runs

    drawings = Group("Validation over the steps of training")
    for name in OVER_STEPS:
        groups: dict[str, list[RunFolder]] = {}
        for run in runs:
            priced = run.has_prior or name not in ("nats", "rate")
            if priced and len(run.curves.get(f"val/{name}", ())) > 1:
                groups.setdefault((run.images if name == "mse" else run.likelihood) or "", []).append(run)
        for group in groups.values():
            if len(group) > 1:
                import numpy as np

                words = legend(group)
                curves = {word: np.array(run.curves[f"val/{name}"]) for word, run in zip(words, group, strict=True)}
                unit = f"{name}, {measure(name).unit}"
                figure = metric_over_runs(curves, f"validation {name}", unit, _shared_baselines(group, name))
                drawings.pictures.append(drawn(figure, f"val/{name}", f"{len(group)} runs"))
    return drawings


def legend(runs: Sequence[RunFolder]) -> list[str]:
    """Runs in a few words each: their settings where these tell them apart, else their labels."""
    words = [run.setting for run in runs]
    if not all(words) or len(set(words)) < len(runs):
        words = [run.label for run in runs]
    short = [f"{word[: LONGEST - 3]}..." if len(word) > LONGEST else word for word in words]
    return short if len(set(short)) == len(runs) else [f"{i}: {word}" for i, word in enumerate(short)]


def _shared_baselines(runs: Sequence[RunFolder], name: str) -> dict[str, float]:
    """Baselines of validation that are the same for all these runs."""
    found = {}
    for key, word in BASELINES.get(name, {}).items():
        values = {run.metrics.get(f"val/{key}") for run in runs}
        if len(values) == 1 and None not in values:
            found[word] = values.pop()
    return found


def rate_distortion(runs: Sequence[RunFolder]) -> Group:
    """Rate against distortion of runs that differ in beta and whose nats can be compared, a picture per such group."""
    from autoencoders.figures.curves import rate_distortion as figure_of

    drawings, groups = Group("Rate against distortion", large=True), {}
    for run in runs:
        if run.has_prior and {"test/rate", "test/distortion"} <= set(run.metrics) and run.bound:
            groups.setdefault(run.bound, []).append(run)
    for group in groups.values():
        if len({run.at("beta", "value") for run in group}) < 2:
            continue
        rates, distortions = ([run.metrics[f"test/{key}"] for run in group] for key in ("rate", "distortion"))
        title = str(group[0].at("data", "name") or "test")
        figure = figure_of(rates, distortions, legend(group), title)
        drawings.pictures.append(drawn(figure, f"test split of {title}", f"{len(group)} runs"))
    return drawings


def drawn(figure: Figure, caption: str, detail: str) -> Picture:
    """A matplotlib figure as a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    content = stream.getvalue()
    return Picture(content, "image/png", size_of(content), caption, detail)
