"""Multirun: execution of its jobs, and a table and a figure of all jobs at the end.

Jobs leave their results in their folders, whichever launcher and process ran them. Hydra imports this module at every
start, so it imports only Hydra at the top.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from autoencoders.config.diff import result_settings
from autoencoders.config.instantiate import FORMAT
from autoencoders.training import sweeps
from autoencoders.types import UserError

METRICS = ("test/neg_elbo", "test/distortion", "test/rate", "test/mse", "val/objective")


def limit_threads(launcher: Mapping) -> None:
    """Limit the number of threads to the CPUs that the launcher grants a job (submitit), before torch is imported.

    Joblib and Ray do this themselves, and Hydra's basic launcher runs one job at a time on all CPUs.
    """
    if launcher.get("cpus_per_task"):
        os.environ.setdefault("OMP_NUM_THREADS", str(launcher.cpus_per_task))


def run_multiprocess_job(config: Mapping, hydra: Mapping) -> dict[str, float]:
    """Run one job of several processes as a command of its own, in its folder of the sweep, and return its metrics.

    Lightning starts further processes with the command line of the first, which would be that of the complete sweep. It
    also kills the first process if another one dies, which would end the sweep.
    """
    folder = Path(config["folder"]).absolute()
    # Continue a job that an earlier start of the sweep has left unfinished.
    words = ["resume=auto", *hydra.overrides.task, *(w for w in hydra.overrides.hydra if "hydra.searchpath=" in w)]
    if "wandb" in config["logger"]:
        words.append(f"logger.wandb.group='{config['logger']['wandb']['group']}'")
    reason = sweeps.run_in_subprocess(words, folder, hydra.runtime.cwd)
    if reason is not None:
        raise UserError(_read(folder / "run.json").get("error", reason))
    return _read(folder / "metrics.json")


def load_finished_job(config: Mapping) -> dict[str, float] | None:
    """Return the metrics of a job that an earlier start of the sweep has finished, or None if it is not finished.

    Raises:
        UserError: if its folder contains a finished run of another configuration.
    """
    import yaml

    from autoencoders.runs.loading import check_format

    folder = Path(config["folder"])
    record = _read(folder / "run.json")
    if record.get("status") != "done":
        return None
    check_format(record.get("format"), folder / "run.json")
    before = yaml.safe_load((folder / "config.yaml").read_text())
    then, now = (result_settings(part, seeded=config["seed"] is not None) for part in (before, config))
    differing = [f"{key} is {now.get(key)} instead of {then.get(key)}" for key in sorted(then.keys() | now.keys())
                 if then.get(key) != now.get(key)]  # fmt: skip
    if differing:
        raise UserError(
            f"{folder} contains a finished run of another configuration: {'; '.join(differing[:5])}. Choose another "
            "hydra.sweep.dir."
        )
    print(f"autoencoders: {folder.name} is already finished and is skipped.")
    return _read(folder / "metrics.json")


def record_failed_job(config: Mapping, overrides: Sequence[str], error: Exception) -> float:
    """Record the failure of a job and its reason, even if it has no folder yet. Return NaN for the sweeper."""
    import traceback

    from autoencoders.runs.record import write_json

    words = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))
    print(f"autoencoders: {' '.join(overrides)}: {words}", file=sys.stderr)
    file = Path(config["folder"], "run.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    record = _read(file)
    if record.get("status") != "failed":  # the run may have recorded it already
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        record |= {"format": FORMAT, "overrides": list(overrides), "status": "failed", "error": reason}
        write_json(file, record)
    return float("nan")


class SweepTable(Callback):
    """Write `sweep.csv` and `rate_distortion.png` to the folder of the sweep, and print the table."""

    open_sweep: Path | None = None
    """Folder of the sweep that this process has started and not finished."""
    begun = 0.0
    """Start of the sweep in seconds since 1970. Jobs that finished earlier were skipped."""

    def on_multirun_start(self, config: Mapping, **keywords: Any) -> None:
        """Remember the sweep, and refuse a launcher without its command, which would end with a traceback."""
        if "slurm" in config.hydra.launcher._target_.lower() and shutil.which("srun") is None:
            print(
                "autoencoders: hydra/launcher=submitit_slurm needs a Slurm cluster, but srun is not on the PATH. "
                "Run this on a login node, or choose hydra/launcher=submitit_local.",
                file=sys.stderr,
            )
            sys.exit(2)
        SweepTable.open_sweep, SweepTable.begun = Path(config.hydra.sweep.dir), time.time()

    def on_multirun_end(self, config: Mapping, **keywords: Any) -> None:
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

    def on_multirun_end(self, config: Mapping, **keywords: Any) -> None:
        """Run the report command in a process of its own, which composes its own configuration."""
        folder = Path(config.hydra.sweep.dir)
        words = [f"runs={folder}", f"out={folder / 'report.html'}"]
        words += [f"question={self.question}"] if self.question else []
        done = subprocess.run([sys.executable, "-m", "autoencoders.report", *words])
        if done.returncode:
            sys.exit(done.returncode)


def finish_sweep() -> bool:
    """Finish the sweep of this process, even if its launcher failed. Return whether a job failed."""
    folder, SweepTable.open_sweep = SweepTable.open_sweep, None
    jobs = gather(folder, SweepTable.begun) if folder is not None and folder.is_dir() else []
    if not jobs:
        if folder is not None and folder.is_dir() and [file.name for file in folder.iterdir()] == ["multirun.yaml"]:
            shutil.rmtree(folder)  # the sweep was refused before its first job
        return False
    _write(folder / "sweep.csv", jobs)
    print("\n" + "\n".join(table(jobs)))
    print(f"table    {folder}/sweep.csv")
    if settings := over_seeds(jobs):
        _write(folder / "sweep_over_seeds.csv", settings)
        print("\nmean +- standard deviation over seeds\n" + "\n".join(seeds_table(settings)))
        print(f"table    {folder}/sweep_over_seeds.csv")
    points = [job for job in jobs if job["test/rate"] != "" and job["test/distortion"] != ""]
    if len(points) > 1:
        from autoencoders.figures.curves import rate_distortion_curve

        figure = rate_distortion_curve(
            [job["test/rate"] for job in points],
            [job["test/distortion"] for job in points],
            [job["overrides"] for job in points],
            folder.name,
        )
        figure.savefig(folder / "rate_distortion.png", dpi=100)
        print(f"figure   {folder}/rate_distortion.png")
    failed = [job for job in jobs if job["status"] != "done"]
    if failed:
        print(f"autoencoders: {len(failed)} of {len(jobs)} jobs did not finish; see the table.", file=sys.stderr)
    return bool(failed)


def gather(folder: Path, begun: float = 0.0) -> list[dict[str, Any]]:
    """Return one row per job, ordered by job number: overrides that differ, status, reason, metrics, folder.

    Args:
        folder: folder of the sweep.
        begun: start of the sweep in seconds since 1970. Jobs that finished earlier are marked as skipped.
    """
    numbered = [(int(m[1]), path) for path in folder.iterdir() if (m := re.match(r"(\d+)_", path.name))]
    rows = []
    for number, path in sorted(numbered):
        record, metrics = _read(path / "run.json"), _read(path / "metrics.json")
        skipped = record.get("status") == "done" and (path / "run.json").stat().st_mtime < begun
        rows.append(
            {
                "job": number,
                "overrides": record.get("overrides", []),
                "status": record.get("status", "lost").replace("running", "lost"),  # its process died
                "reason": "skipped, finished before" if skipped else record.get("error", ""),
                **{name: metrics.get(name, "") for name in METRICS},
                "seconds": record.get("seconds", ""),
                "folder": path.name,
            }
        )
    common = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    return [row | {"overrides": " ".join(w for w in row["overrides"] if w not in common)} for row in rows]


def over_seeds(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per setting with several seeds: mean and standard deviation (n - 1) of every metric.

    Unfinished jobs are excluded, and `seeds` counts the others. Without `seed=` in the sweep there are no rows.
    """
    settings: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        words = job["overrides"].split(" ")
        if any(word.startswith("seed=") for word in words):
            settings.setdefault(" ".join(w for w in words if not w.startswith("seed=")), []).append(job)
    rows = []
    for overrides, group in settings.items():
        done = [job for job in group if job["status"] == "done"]
        row = {"overrides": overrides, "seeds": len(done)}
        for metric in METRICS:
            values = [job[metric] for job in done if job[metric] != ""]
            row[metric] = statistics.fmean(values) if values else ""
            row[f"{metric} sd"] = statistics.stdev(values) if len(values) > 1 else ""
        rows.append(row)
    return rows if any(row["seeds"] > 1 for row in rows) else []


def seeds_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows of `over_seeds` as lines of aligned text."""
    cells = [["overrides", "seeds", *METRICS]]
    for row in rows:
        numbers = []
        for metric in METRICS:
            spread = f" +- {row[f'{metric} sd']:.2g}" if row[f"{metric} sd"] != "" else ""
            numbers.append(f"{row[metric]:.4g}{spread}" if row[metric] != "" else "")
        cells.append([row["overrides"], str(row["seeds"]), *numbers])
    return _aligned(cells)


def table(jobs: list[dict[str, Any]]) -> list[str]:
    """Return the rows as lines of aligned text, with short numbers, and the reason of a failure instead of metrics."""
    names = ["job", "overrides", "status", *METRICS]
    cells = [names]
    for job in jobs:
        numbers = [f"{job[m]:.4g}" if job[m] != "" else "" for m in METRICS]
        cells.append([str(job["job"]), job["overrides"], job["status"], *numbers])
    lines = _aligned(cells)
    for i, job in enumerate(jobs):
        if job["reason"]:
            lines[i + 1] = f"{lines[i + 1]}  {job['reason']}"[:200]
    return lines


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def run_in_subprocess(words: Sequence[str], folder: Path, cwd: str) -> str | None:
    """Train one run as a command of its own and wait for it. A crash of its processes does not affect this one.

    Args:
        words: command-line arguments.
        folder: folder of the run.
        cwd: working directory, for relative paths among the arguments.

    Returns:
        None on success, else its last message.
    """
    command = [sys.executable, "-m", "autoencoders.train", *words, f"hydra.run.dir='{folder}'"]
    done = subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1].removeprefix("autoencoders: ") if said else f"exit status {done.returncode}"
