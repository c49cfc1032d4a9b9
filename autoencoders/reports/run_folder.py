"""Read the files in a run folder for the report. Missing and broken files are recorded as problems."""

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
from autoencoders.runs.status import INTERRUPTED, INTERRUPTED_TEXT, current_status
from autoencoders.types import UserError


@dataclass
class RunFolder:
    """Contents of a run folder.

    If a file is missing or broken, the attribute with its content is empty and `problems` contains a sentence about it.

    Attributes:
        path: path of the run folder.
        label: unique name of the run in the report.
        setting: settings that differ between this run and the other runs of the report, such as `beta=4`. It is empty
            if there are none.
        config: content of `config.yaml`.
        record: content of `run.json`.
        metrics: metric name -> final value, from `metrics.json`.
        problems: one sentence for each missing or broken file, and for a run that has not finished successfully.
        refused: whether nothing was read: there is no run, its files are broken, or they have the format of another
            version of this package.
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
        """Command-line overrides with which the run was started."""
        overrides = self.record.get("overrides")
        return [str(override) for override in overrides] if isinstance(overrides, list) else []

    def config_value(self, *keys: str) -> Any:
        """Return a value of the config, or None if the value is missing.

        Args:
            *keys: nested keys of the value, such as `"model", "name"`.
        """
        return lookup(self.config, *keys)

    @property
    def model_name(self) -> str:
        """Name of the model, such as `vae`. The tables of applications use the same name."""
        return str(self.config_value("model", "name") or "model")

    @property
    def has_prior(self) -> bool:
        """Whether the model has a prior for its latent codes.

        Without a prior, distortion + rate is not a bound on the negative log-likelihood.
        """
        return any(name.endswith("/active_units") for name in self.metrics)

    @property
    def images_key(self) -> str | None:
        """Key that is equal for runs that were evaluated on the same images with the same corruption.

        The pixel errors (such as the MSE) of two runs can be compared if this key is equal. None if the run folder has
        no config.
        """
        if not self.config:
            return None
        pixels = lookup(self.record, "data", "sha256") or self.config_value("data", "name")
        views = [self.config_value("data", key) for key in ("corruption", "binarize", "split_seed")]
        limits = [self.config_value("trainer", f"limit_{split}_batches") for split in ("val", "test")]
        return json.dumps([pixels, views, limits], default=str)

    @property
    def likelihood_key(self) -> str | None:
        """Key that is equal for runs that were evaluated on the same images with the same likelihood.

        The distortions of two runs can be compared if this key is equal. None if the run folder has no config.
        """
        return None if self.images_key is None else json.dumps([self.images_key, self.config_value("likelihood")])

    @property
    def neg_elbo_key(self) -> str | None:
        """Key that is equal for runs whose negative ELBO can be compared.

        Such runs have the same images and likelihood. In addition, either all models are conditional or none is, and
        either all models have a prior or none has.

        None if the record of the run contains notes, because then the objective may not be a valid bound. None also if
        the run folder has no config.
        """
        if self.likelihood_key is None or self.notes:
            return None
        is_conditional = self.config_value("model", "join") is not None
        return json.dumps([self.likelihood_key, is_conditional, self.has_prior])

    @cached_property
    def classifier_key(self) -> str | None:
        """Key that is equal for runs that were evaluated with the same classifier on the same images.

        The key contains the FID scores of real images, because they depend only on the classifier and the images. None
        if `application=evaluate` has saved no such scores for the run.
        """
        scores = {k: v for k, v in self.all_metrics.items() if k.startswith("evaluate/FID") and "/real " in k}
        return json.dumps([self.images_key, scores]) if scores and self.images_key else None

    @property
    def comparison_keys(self) -> dict[str, str | None]:
        """Name -> key that determines whether a metric of two runs can be compared; see `MetricInfo.comparison_key`."""
        return {
            "images": self.images_key,
            "likelihood": self.likelihood_key,
            "neg_elbo": self.neg_elbo_key,
            "classifier": self.classifier_key,
        }

    @property
    def notes(self) -> list[str]:
        """Notes on the model and the data from `run.json`, one sentence each."""
        notes = self.record.get("notes")
        return [str(note) for note in notes] if isinstance(notes, list) else []

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Metric -> pairs of optimizer step and value, from all rows of `metrics.csv` that contain the metric."""
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
        """Return `<application>/<table>` -> file, for all tables (`.csv`) and texts (`.md`) of applications."""
        root = self.path / "tables"
        files = files_inside(self.path, sorted((*root.glob("*/*.csv"), *root.glob("*/*.md"))))
        return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}

    @cached_property
    def all_metrics(self) -> dict[str, float]:
        """Metric name -> value, for the final metrics of the run and for the metrics of applications.

        The metrics of applications are named `<application>/<metric>`.
        """
        metrics = dict(self.metrics)
        for file in files_inside(self.path, sorted((self.path / "tables").glob("*/metrics.json"))):
            values = numeric_values(_read_mapping(file, json.loads, []))
            metrics |= {f"{file.parent.name}/{name}": value for name, value in values.items()}
        return metrics


STATUS_TEXT = {"running": "unfinished: still running", INTERRUPTED: f"{INTERRUPTED}: {INTERRUPTED_TEXT}"}
"""Status in `run.json` -> text for the report. Other statuses are shown unchanged."""


def read_run_folder(path: Path, label: str) -> RunFolder:
    """Read all files in a run folder that can be read. Missing and broken files are recorded as problems.

    Args:
        path: path of the run folder.
        label: unique name of the run in the report.
    """
    problems: list[str] = []
    config = _read_mapping(path / "config.yaml", yaml.safe_load, problems)
    record = _read_mapping(path / "run.json", json.loads, problems)
    if record:
        try:
            check_format(record.get("format"), path / "run.json")
        except UserError as error:
            return RunFolder(path, label, problems=[str(error)], refused=True)
    elif not config:
        message = f"{path} must contain a readable config.yaml or run.json, but {' and '.join(problems)}."
        return RunFolder(path, label, problems=[message], refused=True)
    status = current_status(path, {"status": "done", **record})
    if record.get("status"):
        record["status"] = status
    if status != "done":
        problems.append(_describe_status(status, str(record.get("error") or "")))
    metrics = numeric_values(_read_mapping(path / "metrics.json", json.loads, problems if status == "done" else []))
    return RunFolder(path, label, config=config, record=record, metrics=metrics, problems=problems)


def _describe_status(status: str, error: str) -> str:
    """Return a text that describes how a run ended.

    The text is `<status>: <error>`. If the error already starts with the status, such as "stopped after step 3", the
    text is the error alone.
    """
    text = STATUS_TEXT.get(status, status)
    if error.startswith(text):
        return error
    return f"{text}: {error}" if error else text


def files_inside(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Return the files that are inside a folder after symbolic links are resolved.

    The check prevents that a symbolic link in a run folder adds other files of this machine to the report.
    """
    root = folder.resolve()
    return [file for file in files if file.resolve().is_relative_to(root)]


def _read_mapping(file: Path, parse: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    """Read a file that contains a mapping (dictionary).

    If the file is missing or broken, return an empty dictionary and append a sentence about the problem.

    Args:
        file: YAML or JSON file.
        parse: function that converts the text of the file to Python objects.
        problems: list to which the sentence is appended.
    """
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
    """Return the complete rows of a CSV file, as column name -> text. Return an empty list if the file cannot be read.

    Incomplete rows are omitted. The last row is incomplete while it is being written.
    """
    try:
        text = file.read_bytes().decode("utf-8", "replace")
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, csv.Error):
        return []
    return [row for row in rows if None not in row and None not in row.values()]


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file, or an empty list if the file cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def to_number(value: Any) -> float | None:
    """Convert a value to a float. Return None if the value is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def numeric_values(content: dict[str, Any]) -> dict[str, float]:
    """Return the entries of a dictionary whose values are numbers. NaN is a number, but True and False are not."""
    return {str(k): float(v) for k, v in content.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
