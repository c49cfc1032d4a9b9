"""Studies (`experiments/<name>/study.yaml`): the numbers of their runs, and the result of each claim."""

from __future__ import annotations

import fnmatch
import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from results import Results

HERE = Path(__file__).resolve().parent
SIGNIFICANT = 2.0
"""Standard errors from which a difference is significant."""
MIN_SEEDS, CLEAR = 3, 4.0
"""With fewer seeds than `MIN_SEEDS`, a claim is met only by `CLEAR` standard errors, which are errors over images."""
NOT_RUN = "not run here"
STATEMENT_WORDS = {"met": "true", "missed": "false"}
"""Outcomes of a statement. The outcomes of a comparison with baselines are `met`, `missed` and `undecided`."""


@dataclass(frozen=True)
class Number:
    """A mean over `runs` runs with its standard error, which is NaN if it is not known."""

    mean: float
    error: float
    runs: int

    def __str__(self) -> str:
        mean = f"{self.mean:.4g}"
        return mean if math.isnan(self.error) else f"{mean} ± {self.error:.1g}"


@dataclass(frozen=True)
class Result:
    """The result of a claim.

    Attributes:
        outcome: `met`, `undecided`, `missed` or `not run here`.
        reasons: the baselines that are not beaten, or `1 seed` if more seeds could show a difference.
        statement: whether the claim is a statement, whose result is called true or false.
    """

    outcome: str
    reasons: tuple[str, ...] = ()
    statement: bool = False

    def __str__(self) -> str:
        if self.statement:
            return STATEMENT_WORDS.get(self.outcome, self.outcome)
        if self.outcome in ("missed", "undecided"):
            return f"{self.outcome} ({', '.join(self.reasons)})"
        return self.outcome


class Study:
    """A folder of `experiments/`, with its page and its results, and its runs under `<runs>/<name>/`.

    Args:
        name: name of the folder.
        runs: folder of the runs of all studies.
        spec: content of the study; None to read `study.yaml`.
        pages: folder of all studies.
    """

    def __init__(self, name: str, runs: str | Path, spec: Mapping[str, Any] | None = None, pages: Path = HERE) -> None:
        self.name, self.folder, self.runs_folder = name, pages / name, Path(runs, name)
        self.spec = spec if spec is not None else yaml.safe_load((self.folder / "study.yaml").read_text())

    @cached_property
    def runs(self) -> dict[str, str]:
        """Folder of each run -> its command-line arguments for `autoencoders.train`."""
        return {name: fields["train"] for name, fields in expand_grid(self.spec.get("runs", {}), "train").items()}

    @cached_property
    def applications(self) -> dict[str, dict[str, str]]:
        """Folder of each application -> `run`, `apply` (arguments of `autoencoders.apply`), and `classifier` if any."""
        return expand_grid(self.spec.get("applications", {}), "apply")

    def is_finished(self, name: str) -> bool:
        """Whether a run, or an application to a run, has finished without an error."""
        folder = self.runs_folder / name
        if name in self.applications:
            return any(folder.glob("tables/*/metrics.json"))
        return (folder / "metrics.json").is_file()

    def keep_results(self) -> None:
        """Copy the numbers of all finished runs and applications to `results/` in the folder of the study."""
        plots = [figure["plot"] for figure in self.spec.get("figures", []) if "plot" in figure]
        for name in [*self.runs, *self.applications]:
            if self.is_finished(name):
                curves = {plot["curve"] for plot in plots if name in plot.get("runs", {}).values()}
                results = Results.of_folder(self.runs_folder / name, curves)
                results.write(self.folder / "results" / f"{name}.json")
        self.__dict__.pop("results", None)

    @cached_property
    def results(self) -> dict[str, Results]:
        """The kept results of the study, by the names of the runs and applications."""
        return {path.stem: Results.of_file(path) for path in sorted(self.folder.glob("results/*.json"))}

    def select(self, pattern: str) -> list[Results]:
        """Return the results that match a name or pattern; `../<study>/<run>` is a run of another study."""
        if pattern.startswith("../"):
            _, name, run = pattern.split("/")
            return Study(name, self.runs_folder.parent, {}, self.folder.parent).select(run)
        return [results for name, results in self.results.items() if fnmatch.fnmatchcase(name, pattern)]

    def number(self, spec: Mapping[str, Any]) -> Number | None:
        """Return a number of some runs, or None if no run has it.

        Args:
            spec: `value`, a fixed number; or `run`, a name or pattern, with `key`, `<file>: <metric>`, and optionally
                `times`, a factor, and `statistic: deviation` for the standard deviation over the runs instead of their
                mean. With `over`, a list of names or patterns, the mean of each of them stands for a run.
        """
        if "value" in spec:
            return Number(float(spec["value"]), math.nan, 0)
        known = self._measurements(spec)
        if not known:
            return None
        factor, values = spec.get("times", 1), [value for value, _ in known]
        if spec.get("statistic") == "deviation":
            return deviation(values)
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else known[0][1]
        return Number(statistics.fmean(values) * factor, error * factor, len(values))

    def _measurements(self, spec: Mapping[str, Any]) -> list[tuple[float, float]]:
        """Return the value and the standard error of each run, or of each mean; empty if a mean is not known."""
        if "over" in spec:
            means = [self.number({"run": run, "key": spec["key"]}) for run in spec["over"]]
            return [] if None in means else [(mean.mean, mean.error) for mean in means if mean is not None]
        metrics = [results.metric(spec["key"]) for results in self.select(spec["run"])]
        return [metric for metric in metrics if metric is not None]

    def baselines(self, claim: Mapping[str, Any]) -> dict[str, Number | None]:
        """Return the numbers that a claim must beat: those of the source and the target, if any, and the baselines."""
        numbers = {spec["name"]: self.number(spec) for spec in claim.get("baselines", [])}
        if "target" in claim:
            numbers = {"target": self.number({"value": claim["target"]}), **numbers}
        if "value" in claim["source"]:
            numbers = {claim["source"]["by"]: self.number(claim["source"]), **numbers}
        return numbers

    def paired_difference(self, baseline: Mapping[str, Any]) -> Number | None:
        """Return the mean over images of baseline minus measurement, if the runs have it."""
        return self.number({**baseline, "key": baseline["paired"]}) if "paired" in baseline else None

    def evaluate(self, claim: Mapping[str, Any]) -> Result:
        """Return the result of a claim.

        A comparison is met if the measurement is better than every baseline by two standard errors of the difference,
        missed if it is worse than one by as much, and else undecided. The difference from a baseline with a `paired`
        key is measured image by image, with its own error. A trend is met if its ends differ by two standard errors and
        no step goes the other way by as much. With fewer than `MIN_SEEDS` seeds, both need `CLEAR` standard errors,
        because an error over images does not contain the differences between seeds.
        """
        return self._evaluate_trend(claim) if "trend" in claim else self._evaluate_comparison(claim)

    def _evaluate_trend(self, claim: Mapping[str, Any]) -> Result:
        statement, numbers = claim.get("statement", False), self.trend(claim)
        levels = [number for number in numbers if number is not None]
        if len(levels) < len(numbers):
            return Result(NOT_RUN, statement=statement)
        sign = 1 if claim["trend"]["direction"] == "up" else -1
        steps = [gain_in_errors(sign, after, before) for before, after in itertools.pairwise(levels)]
        gain = gain_in_errors(sign, levels[-1], levels[0])
        if min(steps) <= -SIGNIFICANT or gain < SIGNIFICANT:
            return Result("missed", ("not at every step",), statement)
        return self._require_seeds(levels[-1], {"": gain}, statement)

    def _evaluate_comparison(self, claim: Mapping[str, Any]) -> Result:
        statement = claim.get("statement", False)
        measured, baselines = self.number(claim["measured"]), self.baselines(claim)
        known = {name: number for name, number in baselines.items() if number is not None}
        if measured is None or not baselines or len(known) < len(baselines):
            return Result(NOT_RUN, statement=statement)
        sign = -1 if claim["better"] == "lower" else 1
        gains = {name: gain_in_errors(sign, measured, baseline) for name, baseline in known.items()}
        for baseline in claim.get("baselines", []):
            difference = self.paired_difference(baseline)
            if difference is not None:
                gains[baseline["name"]] = gain_in_errors(sign, Number(0.0, math.nan, 0), difference)
        for outcome, low, high in (("missed", -math.inf, -SIGNIFICANT), ("undecided", -SIGNIFICANT, SIGNIFICANT)):
            reasons = tuple(name for name, gain in gains.items() if low <= gain < high)
            if reasons:
                return Result(outcome, reasons, statement)
        return self._require_seeds(measured, gains, statement)

    def _require_seeds(self, measured: Number, gains: Mapping[str, float], statement: bool) -> Result:
        """Return `met`, or `undecided` if a gain of less than `CLEAR` errors was measured with too few seeds."""
        if measured.runs >= MIN_SEEDS or min(gains.values()) >= CLEAR:
            return Result("met", (), statement)
        seeds = f"{measured.runs} seed{'s' if measured.runs > 1 else ''}"
        close = [name for name, gain in gains.items() if gain < CLEAR]
        return Result("undecided", tuple(f"{name}, {seeds}" if name else seeds for name in close), statement)

    def trend(self, claim: Mapping[str, Any]) -> list[Number | None]:
        """Return the numbers of a trend, step by step.

        The steps are one `key` over several runs, or several `keys` of one run. The metric `minus` is subtracted.
        """
        spec = claim["trend"]
        levels = itertools.product(spec["over"], spec.get("keys", [spec.get("key")]))
        return [self._difference(run, key, spec.get("minus")) for run, key in levels]

    def _difference(self, run: str, key: str, minus: str | None) -> Number | None:
        first = self.number({"run": run, "key": key})
        if first is None or minus is None:
            return first
        second = self.number({"run": run, "key": minus})
        if second is None:
            return None
        return Number(first.mean - second.mean, math.hypot(first.error, second.error), first.runs)


def deviation(values: list[float]) -> Number | None:
    """Return the standard deviation of values and its standard error for normal values; None for a single value."""
    if len(values) < 2:
        return None
    spread = statistics.stdev(values)
    return Number(spread, spread / math.sqrt(2 * (len(values) - 1)), len(values))


def expand_grid(entries: Mapping[str, Any], single: str) -> dict[str, dict[str, str]]:
    """Return the fields of each folder.

    An entry with `over` values stands for one folder per combination. A text stands for its `single` field.
    """
    expanded = {}
    for name, entry in entries.items():
        fields = {single: entry} if isinstance(entry, str) else dict(entry)
        over = fields.pop("over", {})
        for values in itertools.product(*over.values()):
            chosen = dict(zip(over, values, strict=True))
            expanded[name.format(**chosen)] = {key: text.format(**chosen) for key, text in fields.items()}
    return expanded


def gain_in_errors(sign: int, measured: Number, baseline: Number) -> float:
    """Return by how many standard errors of the difference a measurement is better.

    Args:
        sign: 1 if higher is better, -1 if lower is better.
        measured: the measurement. A number without an error is exact.
        baseline: the number to compare with.
    """
    error = math.hypot(*(e for e in (measured.error, baseline.error) if not math.isnan(e)), 0.0)
    difference = sign * (measured.mean - baseline.mean)
    if error:
        return difference / error
    return math.copysign(math.inf, difference) if difference else 0.0


def load_studies(root: str | Path) -> list[Study]:
    """Load all studies in the order of their names; the classifiers come first, since other studies use them."""
    names = sorted(
        (file.parent.name for file in HERE.glob("*/study.yaml")), key=lambda name: (name != "classifiers", name)
    )
    return [Study(name, root) for name in names]
