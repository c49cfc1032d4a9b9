"""The numbers of finished runs, kept as small files in git, from which the pages are written without training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

RECORD_KEYS = ("overrides", "git_commit", "versions", "data", "code", "parameters", "device", "epochs")
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
    """

    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path) -> Results:
        """Read the folder of a finished run, or of finished applications."""
        tables = {path.parent.name: read_json(path) for path in sorted(folder.glob("tables/*/metrics.json"))}
        if not (folder / "run.json").is_file():
            return cls(tables=tables)
        record = read_json(folder / "run.json")
        kept = {key: record[key] for key in RECORD_KEYS if key in record}
        kept["data"] = {key: record["data"][key] for key in DATA_KEYS if key in record["data"]}
        config = remove_paths(yaml.safe_load((folder / "config.yaml").read_text()))
        return cls(config, kept, read_json(folder / "metrics.json"), tables)

    @classmethod
    def of_file(cls, path: Path) -> Results:
        """Read the file that `write` has written."""
        return cls(**read_json(path))

    def write(self, path: Path) -> None:
        """Write all numbers to a JSON file, with one line per number."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(self), indent=1, sort_keys=True) + "\n")

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
