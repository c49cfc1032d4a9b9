"""The numbers of finished runs, kept as small files in git, from which the pages are written without training."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

RECORD_KEYS = (
    "overrides", "git_commit", "versions", "data", "code", "parameters", "device", "epochs", "training_seconds",
)  # fmt: skip
"""Entries of `run.json` that are kept."""
DATA_KEYS = ("name", "shape", "images", "sha256")
"""Entries of `data` in `run.json` that are kept."""


@dataclass(frozen=True)
class Results:
    """The numbers of one run, or of applications to a run.

    Attributes:
        config: configuration of the run, without paths; empty for applications.
        record: entries of `run.json`; empty for applications.
        metrics: content of `metrics.json`; empty for applications.
        tables: application -> content of `tables/<application>/metrics.json`.
        history: metric -> pairs of a number of epochs and the value after them, for the metrics that a plot needs.
    """

    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, dict[str, float]] = field(default_factory=dict)
    history: dict[str, list[list[float]]] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path, curves: Collection[str] = ()) -> Results:
        """Read the folder of a finished run, or of finished applications.

        Args:
            folder: folder to read.
            curves: metrics whose history is kept, such as `val/mse`.
        """
        tables = {path.parent.name: read_json(path) for path in sorted(folder.glob("tables/*/metrics.json"))}
        if not (folder / "run.json").is_file():
            return cls(tables=tables)
        record = read_json(folder / "run.json")
        kept = {key: record[key] for key in RECORD_KEYS if key in record}
        kept["data"] = {key: record["data"][key] for key in DATA_KEYS if key in record["data"]}
        config = remove_paths(yaml.safe_load((folder / "config.yaml").read_text()))
        history = {metric: read_curve(folder / "metrics.csv", metric) for metric in curves}
        return cls(config, kept, read_json(folder / "metrics.json"), tables, history)

    @classmethod
    def of_file(cls, path: Path) -> Results:
        """Read the file that `write` has written."""
        return cls(**read_json(path))

    def write(self, path: Path) -> None:
        """Write all numbers to a JSON file, with one line per number."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {name: value for name, value in vars(self).items() if name != "history" or value}
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")

    def metric(self, key: str) -> tuple[float, float] | None:
        """Return a metric and its standard error, or None if it does not exist.

        Args:
            key: `metrics: test/mse` or `tables/<application>: <column>/<row>`.

        Returns:
            The metric, and the metric `<column>_error/<row>`, which is NaN if it does not exist.
        """
        file, _, name = key.partition(": ")
        metrics = self.metrics if file == "metrics" else self.tables.get(file.removeprefix("tables/"), {})
        if name not in metrics:
            return None
        segments = name.split("/")  # <group>/<column>/<row>; a row can contain "/" too
        for i in range(len(segments) - 1):
            error_name = "/".join([*segments[:i], f"{segments[i]}_error", *segments[i + 1 :]])
            if error_name in metrics:
                return metrics[name], metrics[error_name]
        return metrics[name], math.nan


def read_curve(path: Path, metric: str) -> list[list[float]]:
    """Return pairs of a number of epochs and the value of a metric after them, from the `metrics.csv` of a run."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get(metric)]
    return [[int(row["epoch"]) + 1, float(row[metric])] for row in rows]


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    return json.loads(path.read_text())


def remove_paths(node: Any) -> Any:
    """Return a configuration in which absolute paths are shortened to their last component."""
    if isinstance(node, Mapping):
        return {key: remove_paths(value) for key, value in node.items()}
    if isinstance(node, list):
        return [remove_paths(value) for value in node]
    return Path(node).name if isinstance(node, str) and Path(node).is_absolute() else node
