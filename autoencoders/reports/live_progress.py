"""Compute the progress of runs during training, and their curves, from the files in the run folders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoencoders.config.diff import lookup
from autoencoders.reports.metric_info import get_metric_info
from autoencoders.reports.run_folder import RunFolder, to_number
from autoencoders.runs.status import INTERRUPTED, RUNNING
from autoencoders.utils.console import format_number

Points = Sequence[tuple[float, float]]
"""Points of a curve: pairs of optimizer step and metric value."""

ACTIVITY_FILES = ("run.json", "metrics.csv", "checkpoints/last.ckpt", "figures")
"""Files that are updated during training. Their newest modification time is the time of the last activity."""

SPEED_WINDOW = 30
"""Maximum number of recent observations from which the training speed is computed."""

CHART_METRICS = ("objective", "distortion", "rate", "mse", "accuracy", "active_units")
"""Metrics that are plotted, in the order of the charts. A metric without nonzero values has no chart."""

STEP_METRICS = ("loss", "distortion", "rate")
"""Metrics of single optimizer steps. They are shown until the first validation has finished."""

MAX_POINTS = 300
"""Approximate maximum number of points per curve."""


@dataclass
class StepHistory:
    """Recent observations of the optimizer step of a run, from which the training speed is computed.

    Attributes:
        observations: pairs of time (in seconds since 1970) and optimizer step. The list contains the last
            `SPEED_WINDOW` pairs.
    """

    observations: list[tuple[float, float]] = field(default_factory=list)

    def add(self, time: float, step: float) -> None:
        """Add an observation if the optimizer step has changed.

        If the step is smaller than the last observed step, the run was restarted and all earlier observations are
        deleted.

        Args:
            time: time of the observation, in seconds since 1970.
            step: number of finished optimizer steps.
        """
        if self.observations and step < self.observations[-1][1]:
            self.observations.clear()
        if not self.observations or step > self.observations[-1][1]:
            self.observations = [*self.observations[1 - SPEED_WINDOW :], (time, step)]

    @property
    def speed(self) -> float | None:
        """Optimizer steps per second, or None if there are fewer than two observations.

        The time for validation and figures is included.
        """
        if len(self.observations) < 2:
            return None
        (first_time, first_step), (last_time, last_step) = self.observations[0], self.observations[-1]
        return (last_step - first_step) / (last_time - first_time) if last_time > first_time else None


def last_activity(path: Path) -> float | None:
    """Return the time of the last file update in a run folder, in seconds since 1970.

    Return None if the folder contains none of the files in `ACTIVITY_FILES`.
    """
    times = []
    for name in ACTIVITY_FILES:
        try:
            times.append((path / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _batch_size(run: RunFolder) -> Any:
    """Return the batch size in the config or, if it is `auto` there, the one in the run record; None if unknown."""
    configured = run.config_value("data", "batch_size")
    return lookup(run.record, "data", "batch_size") if configured == "auto" else configured


def planned_steps(run: RunFolder) -> tuple[int | None, int | None]:
    """Return the number of optimizer steps per epoch, and the total number of optimizer steps.

    A number is None if the files in the run folder do not determine it.
    """
    images, batch_size = lookup(run.record, "data", "images", "train"), _batch_size(run)
    if not isinstance(images, int) or not isinstance(batch_size, int) or batch_size < 1:
        return None, None
    batches, limit = images // batch_size, run.config_value("trainer", "limit_train_batches")
    limit_number = to_number(limit)
    if limit_number is not None:
        is_fraction = isinstance(limit, float) and limit <= 1
        batches = int(batches * limit) if is_fraction else min(batches, int(limit_number))
    epoch_steps = math.ceil(batches / (to_number(run.config_value("trainer", "accumulate_grad_batches")) or 1))
    max_epochs, max_steps = (to_number(run.config_value("trainer", key)) for key in ("max_epochs", "max_steps"))
    totals = []
    if max_epochs is not None and max_epochs >= 0:
        totals.append(epoch_steps * int(max_epochs))
    if max_steps is not None and max_steps >= 0:
        totals.append(int(max_steps))
    return epoch_steps or None, min(totals, default=0) or None


def describe_progress(run: RunFolder, history: StepHistory, now: float, brief: bool = False) -> dict[str, Any]:
    """Return the progress of a run as a JSON-compatible dictionary.

    The dictionary contains the status, the completed fraction of the training, the epoch, the step, the speed, the
    latest metrics, the warnings and the error of the run.

    Args:
        run: folder of the run.
        history: earlier observations of the optimizer step. The current step is added to it.
        now: current time, in seconds since 1970.
        brief: whether to include only the objective instead of all metrics.
    """
    status, activity = str(run.record.get("status", "starting")), last_activity(run.path)
    step = max((points[-1][0] + 1 for points in run.curves.values()), default=0.0)
    inactive = 0.0
    if status in (RUNNING, INTERRUPTED) and activity is not None:
        history.add(activity, step)
        inactive = now - activity
    epoch_steps, total_steps = planned_steps(run)
    if status == "done":
        facts = _finished_facts(run)
    else:
        facts = _position_facts(run, step, epoch_steps, total_steps)
        if status == RUNNING:
            facts += _speed_facts(run, step, total_steps, history)
    if inactive > 60:
        facts.append(f"last activity {inactive / 60:.0f} min ago")
    return {
        "label": run.label,
        "setting": run.setting,
        "state": status,
        "share": _completed_fraction(status, step, total_steps),
        "facts": facts,
        "values": [[name, format_number(value)] for name, value in _latest_values(run, brief)],
        "warnings": [str(warning) for warning in run.record.get("warnings") or [] if warning],
        "error": str(run.record.get("error") or ""),
    }


def _completed_fraction(status: str, step: float, total_steps: int | None) -> float | None:
    """Return the completed fraction of the training in [0, 1], or None if the total number of steps is unknown."""
    if status == "done":
        return 1.0
    return min(step / total_steps, 1.0) if total_steps else None


def _position_facts(run: RunFolder, step: float, epoch_steps: int | None, total_steps: int | None) -> list[str]:
    """Return texts with the current epoch and the current optimizer step of an unfinished run.

    Args:
        run: folder of the run.
        step: number of finished optimizer steps.
        epoch_steps: optimizer steps per epoch, or None if unknown. The result is then empty.
        total_steps: total number of optimizer steps, or None if unknown.
    """
    if not epoch_steps:
        return []
    epoch, position = f"epoch {max(math.ceil(step / epoch_steps), 1)}", f"step {step:,.0f}"
    max_epochs = to_number(run.config_value("trainer", "max_epochs"))
    if max_epochs is not None and max_epochs >= 0:
        epoch += f" of {max_epochs:.0f}"
    if total_steps:
        position += f" of {total_steps:,}"
    return [epoch, position]


def _speed_facts(run: RunFolder, step: float, total_steps: int | None, history: StepHistory) -> list[str]:
    """Return texts with the training speed and the remaining time of a run that is training."""
    if not history.speed:
        return []
    batch_size = to_number(_batch_size(run)) or 0
    accumulated = to_number(run.config_value("trainer", "accumulate_grad_batches")) or 1
    facts = [f"{history.speed * batch_size * accumulated:,.0f} images/s"]
    if total_steps and total_steps > step:
        facts.append(f"{_format_duration((total_steps - step) / history.speed)} left")
    return facts


def _finished_facts(run: RunFolder) -> list[str]:
    """Return texts with the number of epochs, the duration and the training speed of a finished run."""
    names = ("epochs", "seconds", "images_per_second", "training_seconds")
    epochs, seconds, speed, training = (to_number(run.record.get(key)) for key in names)
    facts = []
    if epochs:
        facts.append(f"{epochs:.0f} epochs")
    if seconds:
        facts.append(f"in {_format_duration(seconds)}")
    if speed:
        facts.append(f"{speed:,.0f} images/s" + (f" in {_format_duration(training)} of training" if training else ""))
    return facts


def _format_duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _latest_values(run: RunFolder, brief: bool) -> list[tuple[str, float]]:
    """Return pairs of name and value: the latest validation metrics, and the lowest validation objective so far.

    Before the first validation, the pairs contain the metrics of the latest optimizer step.

    Args:
        run: folder of the run.
        brief: whether to return only the latest and the lowest validation objective.
    """
    curves = _nonempty_curves(run, "val", CHART_METRICS) or _nonempty_curves(run, "step", STEP_METRICS)
    objective = curves.get("val/objective")
    if brief and objective:
        curves = {"val/objective": objective}
    values = [(name, points[-1][1]) for name, points in curves.items()]
    if objective:
        values.insert(1, ("lowest", min(value for _, value in objective)))
    return values


def _nonempty_curves(run: RunFolder, split: str, metrics: Sequence[str]) -> dict[str, Points]:
    """Return `<split>/<metric>` -> points of the curve, for the metrics whose curve has points."""
    curves = {f"{split}/{metric}": run.curves.get(f"{split}/{metric}", []) for metric in metrics}
    return {name: points for name, points in curves.items() if points}


def build_charts(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Return the charts of the live page as JSON-compatible dictionaries, one per metric.

    For a single run, each chart has a training curve and a validation curve. For several runs, each chart has one
    validation curve per run.
    """
    charts = []
    for metric in CHART_METRICS:
        lines = _chart_lines(runs, metric)
        if any(value != 0 for line in lines for _, value in line["points"]):
            title = metric.replace("_", " ")
            if len(runs) > 1:
                title = f"validation {title}"
            charts.append({"title": title, "unit": get_metric_info(metric).unit, "series": lines})
    return charts


def _chart_lines(runs: Sequence[RunFolder], metric: str) -> list[dict[str, Any]]:
    """Return the curves of one chart. Curves without points are omitted.

    Each curve has a fixed color number, which does not change when other curves get their first points.
    """
    if len(runs) == 1:
        curves = runs[0].curves
        series = {"training": curves.get(f"train/{metric}", []), "validation": curves.get(f"val/{metric}", [])}
    else:
        series = {run.setting or run.label: run.curves.get(f"val/{metric}", []) for run in runs}
    return [
        {"name": name, "color": i, "points": thin_points(points)}
        for i, (name, points) in enumerate(series.items())
        if points
    ]


def thin_points(points: Points) -> list[tuple[float, float]]:
    """Reduce a curve to at most about `MAX_POINTS` evenly spaced points. The last point is always kept."""
    stride = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:stride], points[-1]] if stride > 1 else list(points)
