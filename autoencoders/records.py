"""What a run writes about itself: metrics.csv, metrics.json, run.json, and its last lines on the terminal."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from autoencoders.data.base import ImageData
    from autoencoders.models.base import Autoencoder

VERSIONS = ("autoencoders", "torch", "torchvision", "lightning", "hydra-core", "wandb", "numpy", "scikit-learn")



def write_json(path: Path, content: Mapping) -> None:
    """Write a JSON file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def card(data: ImageData, model: Autoencoder, overrides: list[str]) -> dict[str, Any]:
    """What a run was made with: versions, commit, data, size, machine."""
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
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
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def best_validation(path: Path) -> dict[str, float]:
    """The validation metrics of the epoch with the lowest `val/objective`, from a `metrics.csv`."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/objective")]
    best = min(rows, key=lambda row: float(row["val/objective"]), default={})
    return {k: float(v) for k, v in best.items() if k.startswith("val") and v}


def closing_lines(folder: Path, record: Mapping, metrics: Mapping, latent_dim: int, where: str | None) -> list[str]:
    """What a finished run says on the terminal: its numbers with their baselines, and where everything is."""
    place = os.path.relpath(folder) if not os.path.relpath(folder).startswith("..") else str(folder)
    speed = f", {record['images_per_second']:,.0f} images/s" if record["images_per_second"] else ""
    lines = [f"done     {record['epochs']} epochs in {record['seconds']:.0f} s{speed}"]
    if "test/nats" in metrics:
        m = {k.removeprefix("test/"): v for k, v in metrics.items()}
        baselines = [f"PCA-{latent_dim} {m['mse_pca']:.4f}"] if "mse_pca" in m else []
        baselines += [f"mean image {m['mse_mean_image']:.4f}"] if "mse_mean_image" in m else []
        beside = f" ({', '.join(baselines)})" if baselines else ""
        nats = f"nats {m['nats']:.2f} = distortion {m['distortion']:.2f} + rate {m['rate']:.2f}"
        lines.append(f"test     {nats}, mse {m['mse']:.4f}{beside}")
    lines += [f"folder   {place}", f"metrics  {place}/metrics.json, metrics.csv"]
    kinds = sorted(p.name for p in (folder / "figures").glob("*"))
    if kinds:
        lines.append(f"figures  {place}/figures: {', '.join(kinds)}")
    return lines + ([f"wandb    {where}"] if where else [])


def _git_commit() -> str | None:
    """The commit of the package's checkout, with `+changes` where it has uncommitted ones."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's repository: only a checkout of our own counts.
    if git("ls-files", "--error-unmatch", "records.py") is None:
        return None
    return f"{git('rev-parse', 'HEAD')}{'+changes' if git('status', '--porcelain', '-uno') else ''}"


class MetricsFile(Logger):
    """Every metric into one wide `metrics.csv`, a row per step; appended to when a run is resumed.

    Lightning's CSVLogger deletes an existing file, and writes two rows where training and validation metrics
    fall on one step.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._row: dict[str, Any] = {}
        self._offset = 0  # where the pending row begins in the file

    @property
    def name(self) -> str:
        """What Lightning calls it."""
        return "metrics"

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    def log_hyperparams(self, *args: Any, **keywords: Any) -> None:
        """The configuration is in `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add to the row of this step; a row is written again as long as its step lasts."""
        if self._columns is None:
            self._resume(step)
        if self._row.get("step") != step:
            self._offset = self.path.stat().st_size
            self._row = {"step": step}
        self._row |= {k: float(v) if k != "epoch" else int(v) for k, v in metrics.items()}
        fresh = [k for k in self._row if k not in self._columns]
        if fresh:
            self._columns += fresh
            with self.path.open(newline="") as file:
                rows = [r for r in csv.DictReader(file) if r["step"] != str(step)]
            self._rewrite(rows)
            self._offset = self.path.stat().st_size
        with self.path.open("r+", newline="") as file:
            file.seek(self._offset)
            csv.DictWriter(file, self._columns).writerow(self._row)
            file.truncate()

    def _resume(self, step: int | None) -> None:
        """Keep the rows before this step of a file that is there."""
        self._columns, rows = ["epoch", "step"], []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                rows = [row for row in reader if int(row["step"]) < (step or 0)]
                self._columns = list(reader.fieldnames or self._columns)
        self._rewrite(rows)

    def _rewrite(self, rows: list[dict]) -> None:
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(self.path)
