"""The files of a run folder. Missing and broken files are reported as problems."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from autoencoders.config.diff import lookup
from autoencoders.runs.loading import check_format
from autoencoders.types import UserError


@dataclass
class RunFolder:
    """Contents of a run folder. A missing or broken file leaves its fields empty and adds a problem.

    Attributes:
        path: the folder.
        label: name of the run, unique within the report.
        setting: the settings in which the run differs from the other runs of the report, or empty.
        config: `config.yaml`.
        record: `run.json`.
        metrics: numbers of `metrics.json`.
        problems: differences from the folder of a finished run, one sentence each.
        refused: whether the folder has another format, so that its files were not read.
    """

    path: Path
    label: str
    setting: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    refused: bool = False

    @property
    def overrides(self) -> list[str]:
        """Command-line overrides of the run."""
        overrides = self.record.get("overrides")
        return [str(override) for override in overrides] if isinstance(overrides, list) else []

    def config_value(self, *keys: str) -> Any:
        """Return a value of the config, or None if it is missing: `config_value("model", "name")`."""
        return lookup(self.config, *keys)

    @property
    def model_name(self) -> str:
        """Name of the model, as in the tables of applications."""
        return str(self.config_value("model", "name") or "model")

    @property
    def has_prior(self) -> bool:
        """Whether the codes have a prior. Without one, distortion + rate is not a bound on the likelihood."""
        return any(name.endswith("/active_units") for name in self.metrics)

    @property
    def images_key(self) -> str | None:
        """Equal for runs that were evaluated on the same images, so that their pixel errors can be compared."""
        if not self.config:
            return None
        pixels = lookup(self.record, "data", "sha256") or self.config_value("data", "name")
        views = [self.config_value("data", key) for key in ("corruption", "binarize", "split_seed")]
        limits = [self.config_value("trainer", f"limit_{split}_batches") for split in ("val", "test")]
        return json.dumps([pixels, views, limits], default=str)

    @property
    def likelihood_key(self) -> str | None:
        """Equal for runs with the same images and likelihood, so that their distortions can be compared."""
        return None if self.images_key is None else json.dumps([self.images_key, self.config_value("likelihood")])

    @property
    def neg_elbo_key(self) -> str | None:
        """Equal for runs whose negative ELBO can be compared.

        They have the same likelihood, are all conditional or all unconditional, and all have a prior or none has one.
        None for a model with notes: its objective is deliberately wrong and not a bound.
        """
        if self.likelihood_key is None or self.notes:
            return None
        is_conditional = self.config_value("model", "join") is not None
        return json.dumps([self.likelihood_key, is_conditional, self.has_prior])

    @cached_property
    def classifier_key(self) -> str | None:
        """Equal for runs that were evaluated by the same classifier on the same number of the same images.

        The scores of the real images identify the classifier.
        """
        scores = {k: v for k, v in self.all_metrics.items() if k.startswith("evaluate/FID") and "/real " in k}
        return json.dumps([self.images_key, scores]) if scores and self.images_key else None

    @property
    def comparison_keys(self) -> dict[str, str | None]:
        """The keys above by name; see `MetricInfo.comparison_key`."""
        return {
            "images": self.images_key,
            "likelihood": self.likelihood_key,
            "neg_elbo": self.neg_elbo_key,
            "classifier": self.classifier_key,
        }

    @property
    def notes(self) -> list[str]:
        """Warnings about the model, one sentence each."""
        notes = self.record.get("notes")
        return [str(note) for note in notes] if isinstance(notes, list) else []

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Metric -> (step, value) of every row of `metrics.csv` that contains the metric."""
        curves: dict[str, list[tuple[float, float]]] = {}
        for file in files_inside(self.path, [self.path / "metrics.csv"]):
            for row in read_table(file):
                step = to_number(row.pop("step", None))
                for name, text in row.items():
                    value = to_number(text)
                    if step is not None and value is not None:
                        curves.setdefault(name, []).append((step, value))
        return curves

    def tables(self) -> dict[str, Path]:
        """Return `<application>/<table>` -> file. A `.csv` file is a table, a `.md` file is text."""
        root = self.path / "tables"
        files = files_inside(self.path, sorted((*root.glob("*/*.csv"), *root.glob("*/*.md"))))
        return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}

    @cached_property
    def all_metrics(self) -> dict[str, float]:
        """The final metrics, and `<application>/<metric>` of every application that was applied."""
        metrics = dict(self.metrics)
        for file in files_inside(self.path, sorted((self.path / "tables").glob("*/metrics.json"))):
            values = numeric_values(_read_mapping(file, json.loads, []))
            metrics |= {f"{file.parent.name}/{name}": value for name, value in values.items()}
        return metrics


STATUS_TEXT = {"running": "unfinished: still running, or killed", "failed": "failed"}
"""Status in `run.json` -> text."""


def read_run_folder(path: Path, label: str) -> RunFolder:
    """Read a run folder as far as possible.

    Args:
        path: the folder.
        label: name of the run, unique within the report.
    """
    problems: list[str] = []
    config = _read_mapping(path / "config.yaml", yaml.safe_load, problems)
    record = _read_mapping(path / "run.json", json.loads, problems)
    if record:
        try:
            check_format(record.get("format"), path / "run.json")
        except UserError as error:
            return RunFolder(path, label, problems=[str(error)], refused=True)
    status = str(record.get("status", "done"))
    if status != "done":
        problems.append(_describe_status(status, str(record.get("error") or "")))
    metrics = numeric_values(_read_mapping(path / "metrics.json", json.loads, problems if status == "done" else []))
    return RunFolder(path, label, config=config, record=record, metrics=metrics, problems=problems)


def _describe_status(status: str, error: str) -> str:
    """Describe how a run ended. The error is enough if it starts with the status ("stopped in epoch 3")."""
    text = STATUS_TEXT.get(status, status)
    if error.startswith(text):
        return error
    return f"{text}: {error}" if error else text


def files_inside(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Return the files that are inside a folder after links are resolved.

    A link in a run folder must not bring other files of this machine into the report.
    """
    root = folder.resolve()
    return [file for file in files if file.resolve().is_relative_to(root)]


def _read_mapping(file: Path, parse: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    """Read a mapping from a file. Return an empty mapping and add a problem if the file is missing or broken."""
    try:
        if not files_inside(file.parent, [file]):
            raise OSError
        content = parse(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        problems.append(f"{file.name} is missing")
        return {}
    except (ValueError, RecursionError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        problems.append(f"{file.name} cannot be read")
        return {}
    return content


def read_table(file: Path) -> list[dict[str, str]]:
    """Return the complete rows of a CSV file, or no rows if it cannot be read.

    An incomplete row, such as the last row while the file is being written, is left out.
    """
    try:
        text = file.read_bytes().decode("utf-8", "replace")
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, csv.Error):
        return []
    return [row for row in rows if None not in row and None not in row.values()]


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file, or no lines if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def to_number(value: Any) -> float | None:
    """Convert a value to a finite number, or return None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def numeric_values(content: dict[str, Any]) -> dict[str, float]:
    """Return the entries that are numbers, including NaN and excluding booleans."""
    return {str(k): float(v) for k, v in content.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
