"""Find run folders by path or pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from autoencoders.reports.run_folder import RunFolder, read_run_folder
from autoencoders.types import UserError

MAX_DEPTH = 2
"""Levels below a folder that are searched for runs: 1 for the jobs of a sweep, 2 for the jobs of several sweeps."""


def find_runs(patterns: Iterable[str | Path]) -> list[RunFolder]:
    """Read the runs in folders and patterns; see `find_run_folders`.

    Raises:
        UserError: if a pattern matches no run, or if all runs have another format.
    """
    runs = [read_run_folder(path, label) for path, label in find_run_folders(patterns).items()]
    if all(run.refused for run in runs):
        raise UserError(runs[0].problems[0])
    return runs


def find_run_folders(patterns: Iterable[str | Path]) -> dict[Path, str]:
    """Return the run folders in folders and patterns, in order and without duplicates.

    The folder of a sweep stands for its jobs.

    Returns:
        Path -> unique label.

    Raises:
        UserError: if a pattern matches nothing, or its matches contain no run.
    """
    paths: dict[Path, Path] = {}
    for pattern in map(str, patterns):
        matches = _match_pattern(pattern)
        folders = [folder for match in matches for folder in _search(match, MAX_DEPTH)]
        if not folders:
            _raise_no_run(pattern, matches)
        for folder in folders:
            paths.setdefault(folder.resolve(), folder)
    if not paths:
        raise UserError("runs is empty. Pass folders of runs or sweeps, or a pattern such as runs='runs/*'.")
    return dict(zip(paths.values(), unique_labels(list(paths)), strict=True))


def _match_pattern(pattern: str) -> list[Path]:
    """Return the path itself if it exists, even if it contains special characters; else the matches of the pattern."""
    path = Path(pattern).expanduser()
    matches = [path] if path.exists() else [Path(p) for p in glob.glob(str(path), recursive=True)]
    if not matches:
        raise UserError(
            f"runs={pattern} matches nothing in {Path.cwd()}. Pass folders of runs or sweeps, or a pattern."
        )
    return sorted(matches, key=_natural_key)


def _raise_no_run(pattern: str, matches: Sequence[Path]) -> NoReturn:
    """Raise UserError for a pattern whose matches contain no run."""
    subject = f"{matches[0]} is not a run folder and contains none"
    if len(matches) > 1:
        subject = f"None of the {len(matches)} matches of {pattern} is a run folder or contains one"
    raise UserError(
        f"{subject}: a run folder has a config.yaml or a run.json. Pass folders of runs or sweeps, or a pattern such "
        "as runs='runs/*'."
    )


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers by value: 9_... before 10_...."""
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def _search(path: Path, depth: int) -> list[Path]:
    """Return the run folders at a path and at most `depth` levels below it."""
    if (path / "run.json").is_file() or (path / "config.yaml").is_file():
        return [path]
    if depth == 0 or not path.is_dir():
        return []
    children = sorted(path.iterdir(), key=_natural_key)
    return [folder for child in children if child.is_dir() for folder in _search(child, depth - 1)]


def unique_labels(paths: Sequence[Path]) -> list[str]:
    """Label resolved paths by their last components, as many as are needed to distinguish them."""
    for count in range(1, max(len(path.parts) for path in paths)):
        labels = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]
