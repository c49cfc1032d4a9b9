"""Pictures that only several runs can give: curves over their steps, rate against distortion."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoencoders.reports.comparison import SEEDS, alike_but, settings
from autoencoders.reports.images import Group, Picture, size_of
from autoencoders.reports.metric_info import BASELINES, measure
from autoencoders.reports.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVER_STEPS = ("neg_elbo", "distortion", "rate", "mse")
"""Validation metrics that are drawn over the steps of all runs."""

BETA = ("beta", "beta.value", "beta.share", "beta.cycles", "beta.capacity")
"""Keys of the price of the rate."""

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
            priced = run.has_prior or name not in ("neg_elbo", "rate")
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
    words = settings(runs)
    if not all(words) or len(set(words)) < len(runs):
        words = [run.label for run in runs]
    short = [_short(word) for word in words]
    return short if len(set(short)) == len(runs) else [f"{i}: {word}" for i, word in enumerate(short)]


def _short(words: str) -> str:
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."


def _shared_baselines(runs: Sequence[RunFolder], name: str) -> dict[str, float]:
    """Baselines of validation that are the same for all these runs."""
    found = {}
    for key, word in BASELINES.get(name, {}).items():
        values = {run.metrics.get(f"val/{key}") for run in runs}
        if len(values) == 1 and None not in values:
            found[word] = values.pop()
    return found


def rate_distortion(runs: Sequence[RunFolder]) -> Group:
    """Rate against distortion, a picture for each group of runs that differ in beta and seed alone."""
    from autoencoders.figures.curves import rate_distortion as figure_of

    drawings = Group("Rate against distortion", large=True)
    needed = {"test/rate", "test/distortion"}
    measured = [run for run in runs if run.config and run.has_prior and needed <= set(run.metrics)]
    places = settings(measured, (*BETA, *SEEDS))
    for group in alike_but(measured, (*BETA, *SEEDS)):
        if len({str(run.at("beta")) for run in group}) < 2 or len({run.bound for run in group}) > 1:
            continue
        rates, distortions = ([run.metrics[f"test/{key}"] for run in group] for key in ("rate", "distortion"))
        words = settings(group, SEEDS)
        first = [_short(word) if word not in words[:i] else "" for i, word in enumerate(words)]  # a setting once
        title = str(group[0].at("data", "name") or "test")
        figure = figure_of(rates, distortions, first, title)
        where = ", ".join(filter(None, (f"test split of {title}", places[measured.index(group[0])])))
        drawings.pictures.append(drawn(figure, where, f"{len(group)} runs"))
    return drawings


def drawn(figure: Figure, caption: str, detail: str) -> Picture:
    """A matplotlib figure as a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    content = stream.getvalue()
    return Picture(content, "image/png", size_of(content), caption, detail)
