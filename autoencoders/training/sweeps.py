"""Multirun: execution of its jobs, and Hydra's hooks at the start and the end of a sweep.

Every job writes its results to its own folder, with any launcher. Hydra imports this module at every start, so it
imports no heavy library at the top.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

from autoencoders.config.diff import result_settings
from autoencoders.config.instantiate import FORMAT
from autoencoders.training.sweep_table import report_jobs
from autoencoders.types import UserError
from autoencoders.utils.json_files import read_json, write_json

if TYPE_CHECKING:
    from omegaconf import DictConfig


def limit_threads(launcher: DictConfig) -> None:
    """Limit the number of threads to the CPUs that the launcher grants a job (submitit), before torch is imported.

    Joblib and Ray do this themselves, and Hydra's basic launcher runs one job at a time on all CPUs.
    """
    if launcher.get("cpus_per_task"):
        os.environ.setdefault("OMP_NUM_THREADS", str(launcher.cpus_per_task))


def run_multiprocess_job(config: Mapping, hydra: DictConfig) -> dict[str, float]:
    """Run one job of several processes as a command of its own, in its folder of the sweep, and return its metrics.

    Lightning starts further processes with the command line of the first, which would be that of the complete sweep. It
    also kills the first process if another one dies, which would end the sweep.
    """
    folder = Path(config["folder"]).absolute()
    # Continue a job that an earlier start of the sweep has left unfinished.
    search_paths = [override for override in hydra.overrides.hydra if "hydra.searchpath=" in override]
    overrides = ["resume=auto", *hydra.overrides.task, *search_paths]
    if "wandb" in config["logger"]:
        overrides.append(f"logger.wandb.group='{config['logger']['wandb']['group']}'")
    reason = run_in_subprocess(overrides, folder, hydra.runtime.cwd)
    if reason is not None:
        raise UserError(read_json(folder / "run.json").get("error", reason))
    return read_json(folder / "metrics.json")


def load_finished_job(config: Mapping) -> dict[str, float] | None:
    """Return the metrics of a job that an earlier start of the sweep has finished, or None if it is not finished.

    Raises:
        UserError: if its folder contains a finished run of another configuration.
    """
    import yaml

    from autoencoders.runs.loading import check_format

    folder = Path(config["folder"])
    record = read_json(folder / "run.json")
    if record.get("status") != "done":
        return None
    check_format(record.get("format"), folder / "run.json")
    seeded = config["seed"] is not None
    old = result_settings(yaml.safe_load((folder / "config.yaml").read_text()), seeded=seeded)
    new = result_settings(config, seeded=seeded)
    differences = [
        f"{key} is {new.get(key)} instead of {old.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differences:
        raise UserError(
            f"{folder} contains a finished run of another configuration: {'; '.join(differences[:5])}. Choose another "
            "hydra.sweep.dir."
        )
    print(f"autoencoders: {folder.name} is already finished and is skipped.")
    return read_json(folder / "metrics.json")


def record_failed_job(config: Mapping, overrides: Sequence[str], error: Exception) -> float:
    """Record the failure of a job and its reason, even if it has no folder yet. Return NaN for the sweeper."""
    import traceback

    if isinstance(error, UserError):
        message = reason = str(error)
    else:
        message = "".join(traceback.format_exception(error))
        reason = f"{type(error).__name__}: {error}"
    print(f"autoencoders: {' '.join(overrides)}: {message}", file=sys.stderr)
    file = Path(config["folder"], "run.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    record = read_json(file)
    if record.get("status") != "failed":  # the run may have recorded it already
        record |= {"format": FORMAT, "overrides": list(overrides), "status": "failed", "error": reason}
        write_json(file, record)
    return float("nan")


class SweepTable(Callback):
    """Write `sweep.csv` and `rate_distortion.png` to the folder of the sweep, and print the tables."""

    open_sweep: Path | None = None
    """Folder of the sweep that this process has started and not finished."""
    begun = 0.0
    """Start of the sweep in seconds since 1970. Jobs that finished earlier were skipped."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Store the folder of the sweep. Exit if a launcher lacks its command, which would end with a traceback."""
        if "slurm" in config.hydra.launcher._target_.lower() and shutil.which("srun") is None:
            print(
                "autoencoders: hydra/launcher=submitit_slurm needs a Slurm cluster, but srun is not on the PATH. "
                "Run this on a login node, or choose hydra/launcher=submitit_local.",
                file=sys.stderr,
            )
            sys.exit(2)
        SweepTable.open_sweep, SweepTable.begun = Path(config.hydra.sweep.dir), time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the table, and exit with a failure if a job failed."""
        if finish_sweep():
            sys.exit(1)


class SweepReport(Callback):
    """Write a report of a finished multirun, `report.html`, to its folder.

    Args:
        question: text at the top of the page.
    """

    def __init__(self, question: str | None = None) -> None:
        self.question = question

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Run the report command in a process of its own, which composes its own configuration."""
        folder = Path(config.hydra.sweep.dir)
        arguments = [f"runs={folder}", f"out={folder / 'report.html'}"]
        if self.question:
            arguments.append(f"question={self.question}")
        process = subprocess.run([sys.executable, "-m", "autoencoders.report", *arguments])
        if process.returncode:
            sys.exit(process.returncode)


def finish_sweep() -> bool:
    """Report the jobs of the sweep of this process, even if its launcher failed. Return whether a job failed."""
    folder, SweepTable.open_sweep = SweepTable.open_sweep, None
    if folder is None or not folder.is_dir():
        return False
    if [file.name for file in folder.iterdir()] == ["multirun.yaml"]:
        shutil.rmtree(folder)  # the sweep was refused before its first job
        return False
    return report_jobs(folder, SweepTable.begun)


def run_in_subprocess(overrides: Sequence[str], folder: Path, cwd: str) -> str | None:
    """Train one run as a command of its own and wait for it. A crash of its processes does not affect this one.

    Args:
        overrides: command-line arguments.
        folder: folder of the run.
        cwd: working directory, for relative paths among the arguments.

    Returns:
        None on success, else its last message.
    """
    command = [sys.executable, "-m", "autoencoders.train", *overrides, f"hydra.run.dir='{folder}'"]
    process = subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
    if process.returncode == 0:
        return None
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    return lines[-1].removeprefix("autoencoders: ") if lines else f"exit status {process.returncode}"
