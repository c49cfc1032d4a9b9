"""Usage: python experiments/rebuild.py [study ...] [--runs FOLDER] [--write-only] [key=value ...].

Trains the runs of studies that have no finished run yet, asks them, and writes experiments/<study>/README.md and
the table of all of them, experiments/README.md. Further options go to every training.

Examples:
  python experiments/rebuild.py                      everything: hours on two cores
  python experiments/rebuild.py s0_faces             one study
  python experiments/rebuild.py --write-only         the pages alone, from the runs that are there
  python experiments/rebuild.py s0_faces budget=full trainer=gpu --runs runs/full
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from pages import write_page, write_summary
from studies import HERE, Study, all_studies

RUNS = "runs/experiments"


def main() -> int:
    """What the command line runs; the number of commands that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="study | key=value")
    parser.add_argument("--runs", default=RUNS, help="the folder of the studies' runs")
    parser.add_argument("--write-only", action="store_true", help="train and ask nothing")
    given = parser.parse_args()
    names, options = [w for w in given.words if "=" not in w], [w for w in given.words if "=" in w]
    known = {study.name: study for study in all_studies(given.runs)}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"There is no study {unknown[0]!r}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = 0
    for study in [known[name] for name in names] or known.values():
        if not given.write_only:
            failed += run(study, options)
        page = write_page(study)
        print(
            f"wrote {page.relative_to(HERE.parent)}" if page else f"{study.name}: no runs here, page kept", flush=True
        )
    print(f"wrote {write_summary(list(known.values())).relative_to(HERE.parent)}")
    return failed


def run(study: Study, options: list[str]) -> int:
    """Train and ask what has not been yet; how many commands failed (the others go on)."""
    failed = 0
    for name, words in study.runs.items():
        if not study.finished(name):
            folder = f"hydra.run.dir='{study.runs_folder / name}'"
            failed += call("train", [*shlex.split(words), "logger=none", *options, folder])
    for name, told in study.asks.items():
        needed = [study.runs_folder / told[key] for key in ("run", "classifier") if key in told]
        if not study.finished(name) and all((folder / "metrics.json").is_file() for folder in needed):
            words = [f"run={needed[0]}", *(f"classifier={folder}" for folder in needed[1:])]
            failed += call("apply", [*words, *shlex.split(told["apply"]), f"folder={study.runs_folder / name}"])
    return failed


def call(door: str, words: list[str]) -> int:
    """One command, shown; 1 where it fails."""
    command = [sys.executable, "-m", f"autoencoders.{door}", *words]
    print("\n$ python " + shlex.join(command[1:]), flush=True)
    return int(subprocess.run(command, cwd=Path.cwd()).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
