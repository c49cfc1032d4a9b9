"""Runs found by path or pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from autoencoders.reports.run_folder import RunFolder, read
from autoencoders.types import UserError

DEPTH = 2
"""How far below a folder its runs are looked for: a sweep's jobs are one level down, sweeps among runs two."""


def find_runs(patterns: Iterable[str | Path]) -> list[RunFolder]:
    """The runs that folders and patterns name, see `folders`.

    Raises:
        UserError: if a pattern matches no run, or every run is of another format.
    """
    runs = [read(path, label) for path, label in folders(patterns).items()]
    if all(run.refused for run in runs):
        raise UserError(runs[0].problems[0])
    return runs


def folders(patterns: Iterable[str | Path]) -> dict[Path, str]:
    """The folders of runs that folders and patterns name, each once, in that order; of a sweep's folder, its jobs.

    Returns:
        Path -> a label that no other has.

    Raises:
        UserError: where a pattern matches nothing, or what it matches holds no run.
    """
    paths: dict[Path, Path] = {}
    for pattern in map(str, patterns):
        matches = _matches(pattern)
        found = [run for match in matches for run in _below(match, DEPTH)]
        if not found:
            what = str(matches[0]) if len(matches) == 1 else f"None of the {len(matches)} matches of {pattern}"
            raise UserError(
                f"{what} is no run and holds none: a run's folder has a config.yaml or a run.json. Give folders of "
                "runs or sweeps, or a pattern such as runs='runs/*'."
            )
        for path in found:
            paths.setdefault(path.resolve(), path)
    if not paths:
        raise UserError("runs is empty. Give folders of runs or sweeps, or a pattern such as runs='runs/*'.")
    return dict(zip(paths.values(), labels(list(paths)), strict=True))


def _matches(pattern: str) -> list[Path]:
    """A path that exists as it stands, whatever characters it has; else what the pattern matches."""
    path = Path(pattern).expanduser()
    found = [path] if path.exists() else [Path(p) for p in glob.glob(str(path), recursive=True)]
    if not found:
        raise UserError(f"runs={pattern} matches nothing, seen from {Path.cwd()}. Give folders of runs, or a pattern.")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list:
    """A sort key that puts 9_... before 10_...."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", str(path))]


def _below(path: Path, depth: int) -> list[Path]:
    if (path / "run.json").is_file() or (path / "config.yaml").is_file():
        return [path]
    if depth == 0 or not path.is_dir():
        return []
    return [run for child in sorted(path.iterdir(), key=_natural) if child.is_dir() for run in _below(child, depth - 1)]


def labels(paths: Sequence[Path]) -> list[str]:
    """The last parts of resolved paths, as many as it takes to tell them apart."""
    for count in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
