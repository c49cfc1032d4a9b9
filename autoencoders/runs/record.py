"""The record of a run: config.yaml, run.json and metrics.json."""

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
from autoencoders.types import RunStopped, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.error_messages import explain_error
from autoencoders.utils.json_files import read_json, write_json

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder

VERSIONS = ("autoencoders", "torch", "torchvision", "lightning", "hydra-core", "wandb", "numpy", "scikit-learn")


class Record:
    """Context manager that writes the record of a run and notes how it ended.

    If a resume is refused, the record stays unchanged.

    Args:
        folder: the run folder, which is created.
        config: the resolved configuration.
        metadata: see `run_metadata`; a resumed run keeps the time of its first start.
        begun: returns whether training has started.
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
        """Warnings so far, see `record_warning`."""
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
        with atomic_write(files[0]) as partial:
            partial.write_text(yaml.safe_dump(dict(self.config), sort_keys=False))
        self._write(status="running", started=started)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        with contextlib.suppress(OSError):  # a full disk must not hide the exception that ended the run
            if isinstance(error, UserError) and self._before and not self.begun():
                self._restore()
            elif isinstance(error, RunStopped):
                self._write(status="stopped", error=f"stopped {error.where}")
            elif error is not None:
                message = explain_error(error, self.config)
                self._write(status="failed", error=str(message or f"{type(error).__name__}: {error}"))

    @rank_zero_only
    def _restore(self) -> None:
        for file, content in self._before.items():
            with atomic_write(file) as partial:
                partial.write_bytes(content)

    @rank_zero_only
    def finish(self, metrics: dict[str, float], **fields: Any) -> None:
        """Write the final metrics and further fields."""
        self.results = metrics
        write_json(self.folder / "metrics.json", metrics)
        self._write(status="done", **fields)


def record_warning(folder: Path, message: str) -> None:
    """Print a warning, and add it to the record of the run, if there is one."""
    print(f"autoencoders: warning: {message}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):  # the warning may be about a full disk
        path = folder / "run.json"
        if record := read_json(path):
            write_json(path, record | {"warnings": [*record.get("warnings", []), message]})


def run_metadata(data: ImageDataModule, model: Autoencoder, overrides: list[str]) -> dict[str, Any]:
    """Return the metadata of a run: versions, commit, data, size, machine."""
    versions: dict[str, str | None] = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "format": FORMAT,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "overrides": overrides,
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "data": {
            "name": data.name,
            "sha256": data.fingerprint(),
            "shape": list(data.shape),
            "images": {split: len(data.images(split)) for split in ("train", "val", "test")},
        },
        "code": model.latent_dim,  # None for a classifier
        "labels": None if model.labels is None else f"{model.labels.size} {model.labels.kind}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "notes": [*model.notes, *data.notes],
    }


def best_validation_metrics(path: Path) -> dict[str, float]:
    """Return the validation metrics of the epoch with the lowest `val/objective`, from a `metrics.csv`."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/objective")]
    best = min(rows, key=lambda row: float(row["val/objective"]), default={})
    return {k: float(v) for k, v in best.items() if k.startswith("val") and v}


def _git_commit() -> str | None:
    """Return the commit of the package's checkout, with `+changes` if it has uncommitted changes."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            process = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return process.stdout.strip() if process.returncode == 0 else None

    # An installed package may be inside another repository: only a checkout of this package counts.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return f"{git('rev-parse', 'HEAD')}{'+changes' if git('status', '--porcelain', '-uno') else ''}"
