"""How far runs are, from their folders alone: what a page shows while they go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoencoders.config.diff import lookup
from autoencoders.reports.metric_info import measure
from autoencoders.reports.run_folder import RunFolder, number
from autoencoders.utils.console import format_number

STATUS = ("run.json", "metrics.csv", "checkpoints/last.ckpt", "figures")
"""What a training touches; the newest is its last sign."""

QUIET = 600
"""Seconds without a sign after which a run that says it runs may have been killed."""

WINDOW = 30
"""How many pairs of time and step the speed is taken from."""

DRAWN = ("objective", "distortion", "rate", "mse", "accuracy", "active_units")
"""Metrics that are drawn, in this order."""

POINTS = 300
"""Of a curve, at most."""


@dataclass
class Seen:
    """When a run was at which step, as its server has seen it.

    Attributes:
        at: pairs of seconds since 1970 and optimizer steps.
    """

    at: list[tuple[float, float]] = field(default_factory=list)

    def note(self, time: float, step: float) -> None:
        """One more pair, where something is new."""
        if self.at and step < self.at[-1][1]:  # it began anew
            self.at.clear()
        if not self.at or step > self.at[-1][1]:
            self.at = [*self.at[1 - WINDOW :], (time, step)]

    @property
    def speed(self) -> float | None:
        """Optimizer steps per second, with validation and figures; None before there are two pairs."""
        if len(self.at) < 2 or self.at[-1][0] <= self.at[0][0]:
            return None
        return (self.at[-1][1] - self.at[0][1]) / (self.at[-1][0] - self.at[0][0])


def last_sign(path: Path) -> float | None:
    """When a training last touched its folder, in seconds since 1970; None where there is nothing."""
    times = []
    for name in STATUS:
        try:
            times.append((path / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def planned(run: RunFolder) -> tuple[int | None, int | None]:
    """Optimizer steps of an epoch and of the whole run, None where they cannot be told."""
    images, batch = lookup(run.record, "data", "images", "train"), run.at("data", "batch_size")
    if not isinstance(images, int) or not isinstance(batch, int) or batch < 1:
        return None, None
    batches, limit = images // batch, run.at("trainer", "limit_train_batches")
    if number(limit) is not None:
        share = isinstance(limit, float) and limit <= 1
        batches = int(batches * limit) if share else min(batches, int(number(limit)))
    epoch = math.ceil(batches / (number(run.at("trainer", "accumulate_grad_batches")) or 1))
    epochs, steps = number(run.at("trainer", "max_epochs")), number(run.at("trainer", "max_steps"))
    limits = [epoch * int(epochs)] if epochs is not None and epochs >= 0 else []
    limits += [int(steps)] if steps is not None and steps >= 0 else []
    return epoch or None, min(limits, default=0) or None


def progress(run: RunFolder, seen: Seen, now: float, brief: bool = False) -> dict[str, Any]:
    """What a page shows of a run: plain values, for JSON.

    Args:
        run: its folder.
        seen: what was seen of it before; this is noted too.
        now: seconds since 1970.
        brief: tell one metric alone.
    """
    status, sign = str(run.record.get("status", "starting")), last_sign(run.path)
    step = max((points[-1][0] + 1 for points in run.curves.values()), default=0.0)
    if status == "running" and sign is not None:
        seen.note(sign, step)
    epoch, steps = planned(run)
    quiet = now - sign if sign is not None and status == "running" else 0.0
    facts = {
        "label": run.label,
        "setting": run.setting,
        "state": "quiet" if quiet > QUIET else status,
        "share": 1.0 if status == "done" else min(step / steps, 1.0) if steps else None,
        "facts": _facts(run, status, step, epoch, steps, seen),
        "values": [[name, format_number(value)] for name, value in _latest(run, brief)],
        "warnings": [str(words) for words in run.record.get("warnings") or [] if words],
        "error": str(run.record.get("error") or ""),
    }
    if quiet > 60:
        facts["facts"].append(f"last sign {quiet / 60:.0f} min ago")
    return facts


def _facts(run: RunFolder, status: str, step: float, epoch: int | None, steps: int | None, seen: Seen) -> list[str]:
    of = number(run.at("trainer", "max_epochs"))
    words = []
    if epoch and status != "done":
        last = f" of {of:.0f}" if of is not None and of >= 0 else ""
        words.append(f"epoch {max(math.ceil(step / epoch), 1)}{last}")
        words.append(f"step {step:,.0f}" + (f" of {steps:,}" if steps else ""))
    batch = (number(run.at("data", "batch_size")) or 0) * (number(run.at("trainer", "accumulate_grad_batches")) or 1)
    if status == "running" and seen.speed:
        words.append(f"{seen.speed * batch:,.0f} images/s")
        words += [f"{_duration((steps - step) / seen.speed)} left"] if steps and steps > step else []
    elif status == "done":
        epochs, seconds, speed = (number(run.record.get(k)) for k in ("epochs", "seconds", "images_per_second"))
        words += [f"{epochs:.0f} epochs"] if epochs else []
        words += [f"in {_duration(seconds)}"] if seconds else []
        words += [f"{speed:,.0f} images/s"] if speed else []
    return words


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _latest(run: RunFolder, brief: bool) -> list[tuple[str, float]]:
    """The newest validation metrics and the lowest objective so far; before there are any, the newest of the steps."""
    found = {f"{split}/{name}": points for split, names in (("val", DRAWN), ("step", ("loss", "distortion", "rate")))
             for name in names if (points := run.curves.get(f"{split}/{name}"))}  # fmt: skip
    if validated := {name: points for name, points in found.items() if name.startswith("val/")}:
        found = {"val/objective": found["val/objective"]} if brief and "val/objective" in found else validated
    values = [(name, points[-1][1]) for name, points in found.items()]
    lowest = [("lowest", min(value for _, value in found["val/objective"]))] if "val/objective" in found else []
    return [*values[:1], *lowest, *values[1:]]


def charts(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Curves to draw, plain values: of one run training beside validation, of several the validation of each."""
    found = []
    for name in DRAWN:
        if len(runs) == 1:
            keys = {"training": f"train/{name}", "validation": f"val/{name}"}
            series = {word: runs[0].curves.get(key, []) for word, key in keys.items()}
        else:
            series = {run.setting or run.label: run.curves.get(f"val/{name}", []) for run in runs}
        lines = enumerate(series.items())
        drawn = [{"name": word, "color": i, "points": thinned(points)} for i, (word, points) in lines if points]
        if drawn and not all(value == 0 for line in drawn for _, value in line["points"]):
            split = "" if len(runs) == 1 else "validation "
            found.append({"title": f"{split}{name.replace('_', ' ')}", "unit": measure(name).unit, "series": drawn})
    return found


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them, the last among them."""
    stride = math.ceil(len(points) / POINTS)
    return [*points[:-1:stride], points[-1]] if stride > 1 else list(points)
