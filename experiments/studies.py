"""What a study says (`experiments/<name>/study.yaml`), the numbers its runs left behind, and its verdicts."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CLEAR = 2.0
"""Standard errors of a difference from which it counts."""
TRUTH = {"met": "true", "missed": "false", "level": "undecided"}
"""What the verdicts on a statement are called; the others are on bars to clear."""


@dataclass(frozen=True)
class Number:
    """A mean with its standard error (NaN where there is none), over `runs` runs."""

    mean: float
    error: float
    runs: int

    def __str__(self) -> str:
        words = f"{self.mean:.4g}"
        return words if math.isnan(self.error) else f"{words} ± {self.error:.1g}"


@dataclass(frozen=True)
class Verdict:
    """`met`, `level`, `missed` or `not run here`, and the bars that were not cleared."""

    outcome: str
    uncleared: tuple[str, ...] = ()
    statement: bool = False

    def __str__(self) -> str:
        if self.statement:
            return TRUTH.get(self.outcome, self.outcome)
        if self.outcome in ("missed", "level"):
            return f"{self.outcome} ({', '.join(self.uncleared)})"
        return self.outcome


class Study:
    """One folder of `experiments/` and its runs under `<root>/<name>/`.

    Args:
        name: the folder's.
        root: where runs are.
        told: the study; None reads `study.yaml`.
    """

    def __init__(self, name: str, root: str | Path, told: Mapping[str, Any] | None = None) -> None:
        self.name, self.folder, self.runs_folder = name, HERE / name, Path(root, name)
        self.told = told if told is not None else yaml.safe_load((self.folder / "study.yaml").read_text())

    @cached_property
    def runs(self) -> dict[str, str]:
        """Folder -> options of the training."""
        return {name: told["train"] for name, told in expanded(self.told.get("runs", {}), "train").items()}

    @cached_property
    def asks(self) -> dict[str, dict[str, str]]:
        """Folder -> the run asked (`run`), the options of `autoencoders.apply` (`apply`), a classifier's run (`classifier`)."""
        return expanded(self.told.get("asks", {}), "apply")

    def finished(self, name: str) -> bool:
        """Whether a run has ended well, or a question has been answered."""
        folder = self.runs_folder / name
        if name in self.asks:
            return any(folder.glob("tables/*/metrics.json"))
        return (folder / "metrics.json").is_file()

    def folders(self, pattern: str) -> list[Path]:
        """The finished runs a name or pattern stands for; `../<study>/<run>` is one of another study."""
        found = sorted(self.runs_folder.parent.glob(f"{self.name}/{pattern}".replace(f"{self.name}/../", "")))
        return [path for path in found if (path / "metrics.json").is_file() or any(path.glob("tables/*/metrics.json"))]

    def number(self, told: Mapping[str, Any]) -> Number | None:
        """A number of runs: `run` (a name or pattern), `key` (`<file>: <metric>`), `times` a factor; or a `value`."""
        if "value" in told:
            return Number(float(told["value"]), math.nan, 0)
        found = [read(folder, told["key"]) for folder in self.folders(told["run"])]
        found = [pair for pair in found if pair is not None]
        if not found:
            return None
        times, values = told.get("times", 1), [pair[0] for pair in found]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else found[0][1]
        return Number(statistics.fmean(values) * times, error * times, len(values))

    def bars(self, claim: Mapping[str, Any]) -> dict[str, Number | None]:
        """What a claim has to be better than: the source's number where there is one, and the baselines'."""
        told = [claim["source"], *claim.get("bars", [])]
        return {bar.get("name", bar.get("by")): self.number(bar) for bar in told if "value" in bar or "run" in bar}

    def paired(self, bar: Mapping[str, Any]) -> Number | None:
        """A bar less ours, of the same images, where that was measured."""
        return self.number({**bar, "key": bar["paired"]}) if "paired" in bar else None

    def verdict(self, claim: Mapping[str, Any]) -> Verdict:
        """By rule: better than every bar by two standard errors of the difference.

        The difference from a bar with a `paired` key is that of the same images: the bar's less ours, and its error. A
        trend holds where its ends differ by that much, and no step goes the other way by that much.
        """
        statement = claim.get("statement", False)
        if "trend" in claim:
            levels = self.trend(claim)
            if any(level is None for level in levels):
                return Verdict("not run here", statement=statement)
            sign = 1 if claim["trend"]["goes"] == "up" else -1
            steps = [gain(sign, b, a) for a, b in itertools.pairwise(levels)]
            along = min(steps) > -CLEAR and gain(sign, levels[-1], levels[0]) >= CLEAR
            return Verdict("met" if along else "missed", ("not at every step",), statement)
        ours, bars = self.number(claim["ours"]), self.bars(claim)
        if ours is None or not bars or any(bar is None for bar in bars.values()):
            return Verdict("not run here", statement=statement)
        sign = -1 if claim["better"] == "lower" else 1
        gains = {name: gain(sign, ours, bar) for name, bar in bars.items()}
        for told in claim.get("bars", []):
            if (above := self.paired(told)) is not None:  # measured image by image
                gains[told["name"]] = gain(sign, Number(0.0, math.nan, 0), above)
        for outcome, low, high in (("missed", -math.inf, -CLEAR), ("level", -CLEAR, CLEAR)):
            uncleared = tuple(name for name, value in gains.items() if low <= value < high)
            if uncleared:
                return Verdict(outcome, uncleared, statement)
        return Verdict("met", (), statement)

    def trend(self, claim: Mapping[str, Any]) -> list[Number | None]:
        """The numbers of a trend, step by step: of a `key` over runs, or of `keys`; `minus` is another, taken off."""
        told, found = claim["trend"], []
        for level, key in itertools.product(told["over"], told.get("keys", [told.get("key")])):
            parts = [self.number({"run": level, "key": k}) for k in (key, told.get("minus")) if k]
            if any(part is None for part in parts):
                found.append(None)
                continue
            first, *rest = parts
            error = math.hypot(first.error, *(part.error for part in rest))
            found.append(Number(first.mean - sum(part.mean for part in rest), error, first.runs))
        return found


def expanded(told: Mapping[str, Any], single: str) -> dict[str, dict[str, str]]:
    """Folder -> its fields; one told `over` values stands for one per combination, a text for its `single` field."""
    found = {}
    for name, fields in told.items():
        fields = {single: fields} if isinstance(fields, str) else dict(fields)
        over = fields.pop("over", {})
        for values in itertools.product(*over.values()):
            chosen = dict(zip(over, values, strict=True))
            found[name.format(**chosen)] = {key: text.format(**chosen) for key, text in fields.items()}
    return found


def gain(sign: int, ours: Number, bar: Number) -> float:
    """By how many standard errors of the difference ours is better; a number without an error counts as exact."""
    error = math.hypot(*(e for e in (ours.error, bar.error) if not math.isnan(e)), 0.0)
    difference = sign * (ours.mean - bar.mean)
    if error:
        return difference / error
    return math.copysign(math.inf, difference) if difference else 0.0


def read(folder: Path, key: str) -> tuple[float, float] | None:
    """A metric and its standard error, from `metrics: test/mse` or `tables/<application>: <column>/<row>`."""
    file, _, metric = key.partition(": ")
    path = folder / ("metrics.json" if file == "metrics" else f"{file}/metrics.json")
    metrics = json.loads(path.read_text()) if path.is_file() else {}
    if metric not in metrics:
        return None
    parts = metric.split("/")  # <group>/<column>/<row>, and rows may have a "/" too
    named = ("/".join([*parts[:i], f"{parts[i]}_error", *parts[i + 1 :]]) for i in range(len(parts) - 1))
    return metrics[metric], next((metrics[name] for name in named if name in metrics), math.nan)


def all_studies(root: str | Path) -> list[Study]:
    """Every study by name; first the classifiers, whom others ask."""
    names = sorted(
        (file.parent.name for file in HERE.glob("*/study.yaml")), key=lambda name: (name != "classifiers", name)
    )
    return [Study(name, root) for name in names]
