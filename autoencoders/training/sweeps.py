"""A multirun: how its jobs run and fail, and at its end one table of all, and one figure, rate against distortion.

Jobs leave their results in their folders, whatever launcher ran them and in whichever process; the end reads them.
Hydra loads this at every start, so that only Hydra is imported here at the top.
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
    """As many threads as processors the launcher grants a job (submitit), before torch is imported.

    Joblib and Ray do so themselves, and Hydra's basic launcher runs one job at a time, on all of them.
    """
    if launcher.get("cpus_per_task"):
        os.environ.setdefault("OMP_NUM_THREADS", str(launcher.cpus_per_task))


def run_multiprocess_job(config: Mapping, hydra: Mapping) -> dict[str, float]:
    """Run one job by a command of its own, as if it had been typed, in its place in the sweep; its metrics.

    Further processes are started with the command line of the first, which here would be the whole sweep's; and
    Lightning kills the first where another dies, which would end the sweep.
    """
    folder = Path(config["folder"]).absolute()
    # Where an earlier start of the sweep has left a part of it, it goes on.
    words = ["resume=auto", *hydra.overrides.task, *(w for w in hydra.overrides.hydra if "hydra.searchpath=" in w)]
    if "wandb" in config["logger"]:
        words.append(f"logger.wandb.group='{config['logger']['wandb']['group']}'")
    reason = sweeps.run_in_subprocess(words, folder, hydra.runtime.cwd)
    if reason is not None:
        raise UserError(_read(folder / "run.json").get("error", reason))
    return _read(folder / "metrics.json")


def load_finished_job(config: Mapping) -> dict[str, float] | None:
    """The metrics of a job that an earlier start of the same sweep has done; None where it is still to do.

    Raises:
        UserError: where its folder holds a finished run of another configuration.
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
    differing = [f"{key} is {now.get(key)} and was {then.get(key)}" for key in sorted(then.keys() | now.keys())
                 if then.get(key) != now.get(key)]  # fmt: skip
    if differing:
        raise UserError(
            f"{folder} holds a finished run of another configuration: {'; '.join(differing[:5])}. Choose another "
            "hydra.sweep.dir."
        )
    print(f"autoencoders: {folder.name} is done already, and skipped.")
    return _read(folder / "metrics.json")


def record_failed_job(config: Mapping, overrides: Sequence[str], error: Exception) -> float:
    """Record that a job failed, and why, also where it had no folder yet; a sweeper is told NaN."""
    import traceback

    from autoencoders.runs.record import write_json

    words = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))
    print(f"autoencoders: {' '.join(overrides)}: {words}", file=sys.stderr)
    file = Path(config["folder"], "run.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    record = _read(file)
    if record.get("status") != "failed":  # the run may have told already
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        record |= {"format": FORMAT, "overrides": list(overrides), "status": "failed", "error": reason}
        write_json(file, record)
    return float("nan")


class SweepTable(Callback):
    """Writes `sweep.csv` and `rate_distortion.png` into the sweep's folder, and prints the table."""

    open_sweep: Path | None = None
    """The folder of the sweep that this process has begun and not yet ended."""
    begun = 0.0
    """When, in seconds since 1970: a job that was done before has been skipped."""

    def on_multirun_start(self, config: Mapping, **keywords: Any) -> None:
        """Remember the sweep; refuse a launcher that has nothing to launch with, which would end in a traceback."""
        if "slurm" in config.hydra.launcher._target_.lower() and shutil.which("srun") is None:
            print(
                "autoencoders: hydra/launcher=submitit_slurm needs a Slurm cluster, and there is no srun on the PATH. "
                "Run this on a login node, or choose hydra/launcher=submitit_local.",
                file=sys.stderr,
            )
            sys.exit(2)
        SweepTable.open_sweep, SweepTable.begun = Path(config.hydra.sweep.dir), time.time()

    def on_multirun_end(self, config: Mapping, **keywords: Any) -> None:
        """Gather, write, print; leave with a failing exit where a job failed."""
        if finish_sweep():
            sys.exit(1)


class SweepReport(Callback):
    """Binds a finished multirun into one page, `report.html` in its folder, by the report door.

    Args:
        question: what stands above the page.
    """

    def __init__(self, question: str | None = None) -> None:
        self.question = question

    def on_multirun_end(self, config: Mapping, **keywords: Any) -> None:
        """A process of its own: the door reads its configuration anew."""
        folder = Path(config.hydra.sweep.dir)
        words = [f"runs={folder}", f"out={folder / 'report.html'}"]
        words += [f"question={self.question}"] if self.question else []
        done = subprocess.run([sys.executable, "-m", "autoencoders.report", *words])
        if done.returncode:
            sys.exit(done.returncode)


def finish_sweep() -> bool:
    """End the open sweep, whether or not its launcher came to the end; whether a job failed."""
    folder, SweepTable.open_sweep = SweepTable.open_sweep, None
    jobs = gather(folder, SweepTable.begun) if folder is not None and folder.is_dir() else []
    if not jobs:
        if folder is not None and folder.is_dir() and [file.name for file in folder.iterdir()] == ["multirun.yaml"]:
            shutil.rmtree(folder)  # refused before its first job
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
        from autoencoders.figures.curves import rate_distortion

        figure = rate_distortion(
            [job["test/rate"] for job in points],
            [job["test/distortion"] for job in points],
            [job["overrides"] for job in points],
            folder.name,
        )
        figure.savefig(folder / "rate_distortion.png", dpi=100)
        print(f"figure   {folder}/rate_distortion.png")
    failed = [job for job in jobs if job["status"] != "done"]
    if failed:
        print(f"autoencoders: {len(failed)} of {len(jobs)} jobs did not finish, see the table.", file=sys.stderr)
    return bool(failed)


def gather(folder: Path, begun: float = 0.0) -> list[dict[str, Any]]:
    """A row per job, in the order of their numbers: overrides that differ, status, reason, metrics, folder.

    Args:
        folder: of the sweep.
        begun: when it was started, in seconds since 1970: what was done before then was skipped, and is said to be.
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
                "status": record.get("status", "lost").replace("running", "lost"),  # its process has died
                "reason": "skipped, done before" if skipped else record.get("error", ""),
                **{name: metrics.get(name, "") for name in METRICS},
                "seconds": record.get("seconds", ""),
                "folder": path.name,
            }
        )
    common = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    return [row | {"overrides": " ".join(w for w in row["overrides"] if w not in common)} for row in rows]


def over_seeds(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per setting that several seeds were tried for: mean and standard deviation (n - 1) of every metric.

    Jobs that did not finish are left out, and `seeds` counts the others; no rows where the sweep has no `seed=`.
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
    """The rows of `over_seeds` as lines of aligned text."""
    cells = [["overrides", "seeds", *METRICS]]
    for row in rows:
        numbers = []
        for metric in METRICS:
            spread = f" +- {row[f'{metric} sd']:.2g}" if row[f"{metric} sd"] != "" else ""
            numbers.append(f"{row[metric]:.4g}{spread}" if row[metric] != "" else "")
        cells.append([row["overrides"], str(row["seeds"]), *numbers])
    return _aligned(cells)


def table(jobs: list[dict[str, Any]]) -> list[str]:
    """The rows as lines of aligned text: numbers short, a failure's reason instead of its metrics."""
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
    """Train one run by a command of its own, and wait; whatever happens to its processes leaves this one alone.

    Args:
        words: options, as on the command line.
        folder: of the run.
        cwd: where relative paths among the options begin.

    Returns:
        None where it ended well, else the last thing it said.
    """
    command = [sys.executable, "-m", "autoencoders.train", *words, f"hydra.run.dir='{folder}'"]
    done = subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1].removeprefix("autoencoders: ") if said else f"exit status {done.returncode}"
