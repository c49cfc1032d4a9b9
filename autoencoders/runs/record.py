"""Write the record of a run: the files config.yaml, run.json and metrics.json in the run folder."""

from __future__ import annotations

import contextlib
import csv
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.config.instantiate import FORMAT
from autoencoders.data.description import describe_data
from autoencoders.types import FolderInUseError, RunStopped, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.error_messages import explain_error
from autoencoders.utils.json_files import read_json, write_json
from autoencoders.utils.names import printable_values
from autoencoders.utils.signals import delay_signals

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder

VERSIONS = ("autoencoders", "torch", "torchvision", "lightning", "hydra-core", "wandb", "numpy", "scikit-learn")
"""Packages whose versions are saved in run.json."""


class Record:
    """Context manager that writes config.yaml and run.json at the start of a run, and the final status at the end.

    The status in run.json is `running`, `done`, `stopped` or `failed`; see also `runs.status`. If a UserError ends a
    resumed run before training, both files are restored to their previous content.

    Args:
        folder: run folder. It is created if it does not exist.
        config: resolved configuration of the run.
        metadata: content of run.json; see `run_metadata`. A resumed run keeps the time of its first start.
        begun: function that returns whether training has started.
    """

    def __init__(self, folder: Path, config: Mapping, metadata: dict[str, Any], begun: Callable[[], bool]) -> None:
        self.folder, self.config, self.metadata, self.begun = folder, config, metadata, begun
        self.results: dict[str, float] = {}
        self._before: dict[Path, bytes] = {}

    @rank_zero_only
    def _write(self, **fields: Any) -> None:
        self.metadata |= fields
        content = dict(self.metadata)
        if warnings := self.warnings:
            content["warnings"] = warnings
        write_json(self.folder / "run.json", content)

    @property
    def warnings(self) -> list[str]:
        """The warnings that `record_warning` has added to run.json so far."""
        return read_json(self.folder / "run.json").get("warnings", [])

    def __enter__(self) -> Record:
        self._begin()
        return self

    @rank_zero_only
    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self.folder / "config.yaml", self.folder / "run.json"
        self._before = {file: file.read_bytes() for file in files if file.is_file()}
        started = read_json(files[1]).get("started", self.metadata["started"])
        self._write_config()
        self._write(status="running", started=started)

    @rank_zero_only
    def _write_config(self) -> None:
        with atomic_write(self.folder / "config.yaml") as partial:
            partial.write_text(yaml.safe_dump(dict(self.config), sort_keys=False), encoding="utf-8")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, FolderInUseError):  # the folder belongs to another run
            return
        # An error about a full disk must not replace the exception of the run, and a second signal must wait.
        with contextlib.suppress(OSError), delay_signals():
            if not (self.folder / "config.yaml").is_file():  # the folder was removed during the run
                self._write_config()
            if isinstance(error, UserError) and self._before and not self.begun():
                self._restore()
            elif isinstance(error, RunStopped):
                self._write(status="stopped", error=f"stopped {error.where}")
            else:
                message = explain_error(error, self.config)
                self._write(status="failed", error=str(message or f"{type(error).__name__}: {error}"))

    def fail(self, message: str) -> None:
        """Set the status in run.json to `failed`. Called before the process ends from a thread."""
        with contextlib.suppress(OSError):
            self._write(status="failed", error=message)

    @rank_zero_only
    def _restore(self) -> None:
        for file, content in self._before.items():
            with atomic_write(file) as partial:
                partial.write_bytes(content)

    @rank_zero_only
    def finish(self, metrics: dict[str, float], **fields: Any) -> None:
        """Write metrics.json, and set the status in run.json to `done`.

        Args:
            metrics: metric name -> final value.
            **fields: entries to add to run.json, such as the number of epochs.
        """
        self.results = metrics
        write_json(self.folder / "metrics.json", metrics)
        self._write(status="done", **fields)


def record_warning(folder: Path, message: str) -> None:
    """Print a warning to stderr, and add it to run.json in the run folder if this file exists."""
    print(f"autoencoders: warning: {message}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):  # the disk may be full, and the warning may be about the full disk
        path = folder / "run.json"
        if record := read_json(path):
            write_json(path, record | {"warnings": [*record.get("warnings", []), message]})


def run_metadata(data: ImageDataModule, model: Autoencoder, overrides: list[str]) -> dict[str, Any]:
    """Return the metadata that run.json contains at the start of a run.

    The metadata are the package versions, the git commit, the machine, the description of the data, the latent size
    and the number of parameters.

    Args:
        data: data module of the run, with the data loaded.
        model: model of the run.
        overrides: command-line overrides of the run.
    """
    versions: dict[str, str | None] = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "format": FORMAT,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "overrides": printable_values(overrides),
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "data": {**describe_data(data), "batch_size": data.batch_size, "sha256": data.fingerprint()},
        "code": model.latent_dim,  # None for a classifier
        "labels": None if model.labels is None else f"{model.labels.size} {model.labels.kind}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "notes": model.notes,
    }


def best_validation_metrics(path: Path) -> dict[str, float]:
    """Read the validation metrics of the epoch with the lowest `val/objective` from a `metrics.csv`.

    Returns:
        Metric name -> value; empty if the file is missing or contains no validation metrics.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/objective")]
    best = min(rows, key=lambda row: float(row["val/objective"]), default={})
    return {k: float(v) for k, v in best.items() if k.startswith("val") and v}


def _git_commit() -> str | None:
    """Return the git commit of this package's source code, followed by `+changes` if there are uncommitted changes.

    Return None if the package is not in a git repository that tracks its files.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            process = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return process.stdout.strip() if process.returncode == 0 else None

    # An installed package may lie inside the repository of another project. The commit of that project is not recorded.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return f"{git('rev-parse', 'HEAD')}{'+changes' if git('status', '--porcelain', '-uno') else ''}"
