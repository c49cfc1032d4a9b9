"""Results of the jobs of a sweep: `sweep.csv`, means over seeds, and tables on the terminal."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoencoders.runs.status import INTERRUPTED, INTERRUPTED_TEXT, current_status
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.json_files import read_json
from autoencoders.utils.statistics import mean_and_deviation

METRICS = ("test/neg_elbo", "test/distortion", "test/rate", "test/mse", "val/objective")
"""Metrics that `sweep.csv` contains for each job."""
LABEL_WIDTH = 30
"""Maximum width of the `overrides` column on the terminal, in characters. Most tables then fit 80 columns."""

Row = dict[str, Any]
"""Row of a table: column name -> value. A missing value is an empty string."""


def report_jobs(folder: Path, started: float) -> bool:
    """Write `sweep.csv`, `sweep_over_seeds.csv` and `rate_distortion.png` to the sweep folder, and print the tables.

    Args:
        folder: folder of the sweep.
        started: start time of the sweep in seconds since 1970. Jobs that finished earlier are marked as skipped.

    Returns:
        Whether a job failed.
    """
    jobs = gather(folder, started)
    if not jobs:
        return False
    write_csv(folder / "sweep.csv", jobs)
    print()
    print_jobs(jobs)
    print(f"table    {folder}/sweep.csv")
    if settings := over_seeds(jobs):
        write_csv(folder / "sweep_over_seeds.csv", settings)
        print()
        print_settings(settings)
        print(f"table    {folder}/sweep_over_seeds.csv")
    draw_rate_distortion(folder, jobs)
    failed = [job for job in jobs if job["status"] != "done"]
    if failed:
        print(
            f"autoencoders: {len(failed)} of the {len(jobs)} jobs that were started did not finish. See `status` in "
            f"{folder}/sweep.csv.",
            file=sys.stderr,
        )
    return bool(failed)


def gather(folder: Path, started: float = 0.0) -> list[Row]:
    """Return one table row per job, sorted by job number. Overrides that all jobs have in common are removed.

    Args:
        folder: folder of the sweep.
        started: start time of the sweep in seconds since 1970. Jobs that finished earlier are marked as skipped.
    """
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := re.match(r"(\d+)_", path.name))]
    rows = [job_row(number, path, started) for number, path in sorted(numbered)]
    common: set[str] = set()
    if len(rows) > 1:
        common = set.intersection(*(set(row["overrides"]) for row in rows))
    for row in rows:
        row["overrides"] = " ".join(override for override in row["overrides"] if override not in common)
    return rows


def job_row(number: int, path: Path, started: float) -> Row:
    """Return the table row of a job. Its `overrides` are a list of all overrides of the job.

    Args:
        number: job number.
        path: folder of the job.
        started: start time of the sweep in seconds since 1970. A job that finished earlier is marked as skipped.
    """
    record, metrics = read_json(path / "run.json"), read_json(path / "metrics.json")
    status = current_status(path, record)
    reason = INTERRUPTED_TEXT if status == INTERRUPTED else record.get("error", "")
    if status == "done" and (path / "run.json").stat().st_mtime < started:
        reason = "skipped because it was already finished"
    return {
        "job": number,
        "overrides": record.get("overrides", []),
        "status": status,
        "reason": reason,
        **{name: metrics.get(name, "") for name in METRICS},
        "seconds": record.get("seconds", ""),
        "folder": path.name,
    }


def over_seeds(jobs: Sequence[Row]) -> list[Row]:
    """Return one row per setting (all overrides except `seed=`): means and standard deviations over the seeds.

    The standard deviation has the divisor n - 1. Jobs that did not finish are excluded, and the column `seeds` contains
    the number of finished jobs. The result is empty if no setting has several finished jobs with different `seed=`.

    Args:
        jobs: rows of `gather`.
    """
    groups: dict[str, list[Row]] = {}
    for job in jobs:
        overrides = job["overrides"].split(" ")
        setting = [override for override in overrides if not override.startswith("seed=")]
        if len(setting) < len(overrides):
            groups.setdefault(" ".join(setting), []).append(job)
    rows = []
    for overrides_text, group in groups.items():
        finished = [job for job in group if job["status"] == "done"]
        row: Row = {"overrides": overrides_text, "seeds": len(finished)}
        for metric in METRICS:
            mean, deviation = mean_and_deviation([job[metric] for job in finished if job[metric] != ""])
            row[metric] = "" if mean is None else mean
            row[f"{metric} sd"] = "" if deviation is None else deviation
        rows.append(row)
    return rows if any(row["seeds"] > 1 for row in rows) else []


def print_jobs(jobs: Sequence[Row]) -> None:
    """Print the table of the jobs. Below the table, print why jobs failed or were skipped.

    Args:
        jobs: rows of `gather`.
    """
    from autoencoders.utils.console import format_number, print_table

    metrics = available_metrics(jobs)
    rows = []
    for job in jobs:
        numbers = [format_number(job[metric]) if job[metric] != "" else "" for metric in metrics]
        rows.append([str(job["job"]), shorten(job["overrides"]), job["status"], *numbers])
    print_table(["job", "overrides", "status", *map(column_title, metrics)], rows, "test metrics per job")
    for job in jobs:
        if job["reason"]:
            print(f"{job['folder']}: {job['reason']}"[:200])


def print_settings(rows: Sequence[Row]) -> None:
    """Print the table of the settings, which are the rows of `over_seeds`, with means and deviations over seeds."""
    from autoencoders.utils.console import format_number, format_with_error, print_table

    metrics = available_metrics(rows)
    cells = []
    for row in rows:
        numbers = []
        for metric in metrics:
            mean, deviation = row[metric], row[f"{metric} sd"]
            if mean == "":
                numbers.append("")
            elif deviation == "":
                numbers.append(format_number(mean))
            else:
                numbers.append(format_with_error(mean, deviation))
        cells.append([shorten(row["overrides"] or "all"), str(row["seeds"]), *numbers])
    headers = ["overrides", "seeds", *map(column_title, metrics)]
    print_table(headers, cells, "test metrics, mean ± standard deviation over seeds")


def available_metrics(rows: Sequence[Row]) -> list[str]:
    """Return the metrics with a value in at least one row. Models without a prior have no `test/neg_elbo`."""
    return [metric for metric in METRICS if any(row[metric] != "" for row in rows)]


def shorten(overrides: str) -> str:
    """Shorten the text of the overrides to LABEL_WIDTH characters. `sweep.csv` contains the complete text."""
    return overrides if len(overrides) <= LABEL_WIDTH else f"{overrides[: LABEL_WIDTH - 3]}..."


def column_title(metric: str) -> str:
    """Return the column title for a metric: the name of the metric without the prefix `test/`."""
    return metric.removeprefix("test/")


def draw_rate_distortion(folder: Path, jobs: Sequence[Row]) -> None:
    """Plot the distortion against the rate in `rate_distortion.png`, if beta varies between jobs with both metrics.

    With `figures.format=pdf` or `svg`, the figure is also saved in this format. Jobs that cannot be compared, such as
    jobs with different data, are in further files `rate_distortion-<i>.png`.

    Args:
        folder: folder of the sweep.
        jobs: rows of `gather`.
    """
    from autoencoders.figures.files import FigureOptions, save_figure
    from autoencoders.reports.comparison_plots import rate_distortion_figures
    from autoencoders.reports.run_folder import read_run_folder

    runs = [read_run_folder(folder / job["folder"], job["folder"]) for job in jobs]
    options = FigureOptions.from_config(next((run.config["figures"] for run in runs if "figures" in run.config), None))
    for i, (figure, _, _) in enumerate(rate_distortion_figures(runs)):
        path = save_figure(figure, folder / f"rate_distortion{f'-{i}' if i else ''}.png", options)
        print(f"figure   {path}")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write table rows to a CSV file. All rows must have the same columns."""
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
