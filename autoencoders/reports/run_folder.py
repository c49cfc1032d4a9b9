"""A run as its folder holds it, read as far as it can be read."""

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
    """A run as the disk holds it; whatever is missing or broken is empty, and `problems` says so.

    Attributes:
        path: the folder.
        label: a name that no other run of the report has.
        setting: what sets it apart from the others, in words; empty where nothing does.
        config: `config.yaml`.
        record: `run.json`.
        metrics: `metrics.json`, numbers alone.
        problems: what is not as a finished run leaves it, a sentence each.
        refused: whether the folder was written in another format, so that nothing of it was read.
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
        """What was typed."""
        words = self.record.get("overrides")
        return [str(word) for word in words] if isinstance(words, list) else []

    def at(self, *keys: str) -> Any:
        """A value of the configuration, None where it is not there: `at("model", "name")`."""
        return lookup(self.config, *keys)

    @property
    def model(self) -> str:
        """The model's name, as tables of applications spell it."""
        return str(self.at("model", "name") or "model")

    @property
    def has_prior(self) -> bool:
        """Whether its codes have a prior; without one, distortion + rate bounds no likelihood."""
        return any(name.endswith("/active_units") for name in self.metrics)

    @property
    def images(self) -> str | None:
        """Equal where two runs were measured on the same images: what pixel errors need, to be compared."""
        if not self.config:
            return None
        pixels = lookup(self.record, "data", "sha256") or self.at("data", "name")
        views = [self.at("data", key) for key in ("corruption", "binarize", "split_seed")]
        limits = [self.at("trainer", f"limit_{split}_batches") for split in ("val", "test")]
        return json.dumps([pixels, views, limits], default=str)

    @property
    def likelihood(self) -> str | None:
        """Equal where distortions are of the same images under the same likelihood."""
        return None if self.images is None else json.dumps([self.images, self.at("likelihood")])

    @property
    def bound(self) -> str | None:
        """Equal where nats can be compared: also, labels are told to both or neither, and both have a prior or not.

        None also for a model that is a mistake kept for study: its nats bound nothing.
        """
        if self.likelihood is None or self.notes:
            return None
        return json.dumps([self.likelihood, self.at("model", "join") is not None, self.has_prior])

    @cached_property
    def classifier(self) -> str | None:
        """Equal where one classifier saw as many of the same images: it then says the same of the real ones."""
        found = {k: v for k, v in self.answers.items() if k.startswith("evaluate/FID") and "/real " in k}
        return json.dumps([self.images, found]) if found and self.images else None

    @property
    def notes(self) -> list[str]:
        """What must be known of the model, a sentence each."""
        notes = self.record.get("notes")
        return [str(note) for note in notes] if isinstance(notes, list) else []

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """`metrics.csv`: metric -> (step, value) of every row that has it."""
        found: dict[str, list[tuple[float, float]]] = {}
        for row in [r for file in own(self.path, [self.path / "metrics.csv"]) for r in read_table(file)]:
            step = number(row.pop("step", None))
            for name, text in row.items():
                value = number(text)
                if step is not None and value is not None:
                    found.setdefault(name, []).append((step, value))
        return found

    def tables(self) -> dict[str, Path]:
        """`<application>/<table>` -> its file, `.csv` or, of lines of text, `.md`."""
        root = self.path / "tables"
        files = own(self.path, sorted((*root.glob("*/*.csv"), *root.glob("*/*.md"))))
        return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}

    @cached_property
    def answers(self) -> dict[str, float]:
        """`<application>/<metric>` of every application that was asked, and the final metrics."""
        found = dict(self.metrics)
        for file in own(self.path, sorted((self.path / "tables").glob("*/metrics.json"))):
            found |= {f"{file.parent.name}/{k}": v for k, v in numbers(_mapping(file, json.loads, [])).items()}
        return found


def read(path: Path, label: str) -> RunFolder:
    """A run's folder, as far as it can be read."""
    problems: list[str] = []
    config, record = (
        _mapping(path / "config.yaml", yaml.safe_load, problems),
        _mapping(path / "run.json", json.loads, problems),
    )
    if record:
        try:
            check_format(record.get("format"), path / "run.json")
        except UserError as error:
            return RunFolder(path, label, problems=[*problems, str(error)], refused=True)
    status, reason = str(record.get("status", "done")), record.get("error")
    if status != "done":
        words = {"running": "unfinished: it still runs, or was killed", "failed": "failed"}.get(status, status)
        told = str(reason or "").startswith(words)  # "stopped in epoch 3" says its status itself
        problems.append(str(reason) if told else f"{words}{f': {reason}' if reason else ''}")
    metrics = numbers(_mapping(path / "metrics.json", json.loads, problems if status == "done" else []))
    return RunFolder(path, label, config=config, record=record, metrics=metrics, problems=problems)


def own(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Those of the files that lie in the folder: what a link in somebody's run points to is not for a page of it."""
    root = folder.resolve()
    return [file for file in files if file.resolve().is_relative_to(root)]


def _mapping(file: Path, parse: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    """What a file of named values says; nothing, and a problem, where it is missing or broken."""
    try:
        if not own(file.parent, [file]):
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
    """The rows of a CSV file; one that is cut short, or not yet all written, is left out; none without a file."""
    try:
        text = file.read_bytes().decode("utf-8", "replace")
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, csv.Error):
        return []
    return [row for row in rows if None not in row and None not in row.values()]


def lines(file: Path) -> list[str]:
    """The lines of a text; none where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def number(text: Any) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def numbers(content: dict[str, Any]) -> dict[str, float]:
    """The numbers among values, NaN included."""
    return {str(k): float(v) for k, v in content.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
