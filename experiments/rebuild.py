"""Usage: python experiments/rebuild.py [study ...] [--runs FOLDER] [--write-only] [key=value ...].

Trains the runs of studies that are not finished yet, applies the trained models, copies their numbers and figures to
experiments/<study>/, and writes experiments/<study>/README.md and the table of all studies, experiments/README.md.
Options key=value are passed to every training.

Examples:
  python experiments/rebuild.py                      all studies: hours on two cores
  python experiments/rebuild.py s0_faces             one study
  python experiments/rebuild.py --write-only         only the pages, from experiments/<study>/results/
  python experiments/rebuild.py s0_faces budget=full trainer=gpu --runs runs/full
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from pages import write_page, write_summary
from pictures import copy_figures
from studies import HERE, Study, load_studies

RUNS = "runs/experiments"


def main() -> int:
    """Run the command line and return the number of commands that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arguments", nargs="*", metavar="study | key=value")
    parser.add_argument("--runs", default=RUNS, help="folder of the runs of all studies")
    parser.add_argument("--write-only", action="store_true", help="write the pages from the kept results")
    options = parser.parse_args()
    names = [argument for argument in options.arguments if "=" not in argument]
    overrides = [argument for argument in options.arguments if "=" in argument]
    studies = {study.name: study for study in load_studies(options.runs)}
    unknown = [name for name in names if name not in studies]
    if unknown:
        print(f"There is no study {unknown[0]!r}. There are: {', '.join(studies)}.", file=sys.stderr)
        return 2
    failed = 0
    for study in [studies[name] for name in names] or studies.values():
        if not options.write_only:
            failed += run_study(study, overrides)
            study.keep_results()
            copy_figures(study)
        print(f"wrote {write_page(study).relative_to(HERE.parent)}", flush=True)
    print(f"wrote {write_summary(list(studies.values())).relative_to(HERE.parent)}")
    return failed


def run_study(study: Study, overrides: list[str]) -> int:
    """Run the trainings and applications that are not finished, and return the number of commands that failed."""
    failed = 0
    for name, arguments in study.runs.items():
        if not study.is_finished(name):
            folder = f"hydra.run.dir='{study.runs_folder / name}'"
            failed += run_command("train", [*shlex.split(arguments), "logger=none", *overrides, folder])
    for name, spec in study.applications.items():
        inputs = {key: study.runs_folder / spec[key] for key in ("run", "classifier") if key in spec}
        if not study.is_finished(name) and all((folder / "metrics.json").is_file() for folder in inputs.values()):
            arguments = [*(f"{key}={folder}" for key, folder in inputs.items()), *shlex.split(spec["apply"])]
            failed += run_command("apply", [*arguments, f"folder={study.runs_folder / name}"])
    return failed


def run_command(entry_point: str, arguments: list[str]) -> int:
    """Print and run one command; return 1 if it fails, else 0."""
    command = [sys.executable, "-m", f"autoencoders.{entry_point}", *arguments]
    print("\n$ python " + shlex.join(command[1:]), flush=True)
    return int(subprocess.run(command, cwd=Path.cwd()).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
