"""The end of a multirun: one table of all its jobs, and one figure, rate against distortion.

Jobs leave their results in their folders, whatever launcher ran them and in whichever process; this reads them.
Hydra loads the class below at every start, so that only Hydra is imported here at the top.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

METRICS = ("test/nats", "test/distortion", "test/rate", "test/mse", "val/objective")


class SweepTable(Callback):
    """Writes `sweep.csv` and `rate_distortion.png` into the sweep's folder, and prints the table."""

    def on_multirun_end(self, config: Mapping, **keywords: Any) -> None:
        """Gather, write, print; leave with a failing exit where a job failed."""
        folder = Path(config.hydra.sweep.dir)
        jobs = gather(folder)
        if not jobs:
            return
        with (folder / "sweep.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(jobs[0]))
            writer.writeheader()
            writer.writerows(jobs)
        print("\n" + "\n".join(table(jobs)))
        print(f"table    {folder}/sweep.csv")
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
            sys.exit(1)


def gather(folder: Path) -> list[dict[str, Any]]:
    """A row per job, in the order of their numbers: overrides that differ, status, reason, metrics, folder."""
    numbered = [(int(m[1]), path) for path in folder.iterdir() if (m := re.match(r"(\d+)_", path.name))]
    rows = []
    for number, path in sorted(numbered):
        record, metrics = _read(path / "run.json"), _read(path / "metrics.json")
        rows.append(
            {
                "job": number,
                "overrides": record.get("overrides", []),
                "status": record.get("status", "lost"),
                "reason": record.get("error", ""),
                **{name: metrics.get(name, "") for name in METRICS},
                "seconds": record.get("seconds", ""),
                "folder": path.name,
            }
        )
    common = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    return [row | {"overrides": " ".join(w for w in row["overrides"] if w not in common)} for row in rows]


def table(jobs: list[dict[str, Any]]) -> list[str]:
    """The rows as lines of aligned text: numbers short, a failure's reason instead of its metrics."""
    names = ["job", "overrides", "status", *METRICS]
    cells = [names]
    for job in jobs:
        numbers = [f"{job[m]:.4g}" if job[m] != "" else "" for m in METRICS]
        cells.append([str(job["job"]), job["overrides"], job["status"], *numbers])
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    for i, job in enumerate(jobs):
        if job["reason"]:
            lines[i + 1] = f"{lines[i + 1]}  {job['reason']}"[:200]
    return lines


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
