"""Find run folders by path or glob pattern, and read them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from autoencoders.reports.run_folder import RunFolder, read_run_folder
from autoencoders.types import UserError

MAX_DEPTH = 2
"""Number of folder levels that are searched for runs below a given folder.

The jobs of a sweep are one level below the sweep folder. In a folder with several sweeps, they are two levels below.
"""


def find_runs(patterns: Iterable[str | Path]) -> list[RunFolder]:
    """Find and read the run folders for the given paths and glob patterns; see `find_run_folders`.

    A path or pattern without a run becomes a refused `RunFolder`, so that the report contains the other runs.

    Raises:
        UserError: if no run can be read.
    """
    found: list[str | Path] = []
    missing: list[RunFolder] = []
    for pattern in patterns:
        try:
            find_run_folders([pattern])
            found.append(pattern)
        except UserError as error:
            missing.append(RunFolder(Path(pattern), str(pattern), problems=[str(error)], refused=True))
    folders = find_run_folders(found) if found or not missing else {}
    runs = [*(read_run_folder(path, label) for path, label in folders.items()), *missing]
    if all(run.refused for run in runs):
        raise UserError(runs[0].problems[0])
    return runs


def find_run_folders(patterns: Iterable[str | Path]) -> dict[Path, str]:
    """Find the run folders for the given paths and glob patterns, without duplicates.

    If a path is a sweep folder, all jobs of the sweep are included.

    Args:
        patterns: run folders, sweep folders, or glob patterns for such folders.

    Returns:
        Path of the run folder -> unique label for the run. The runs are in the order of the patterns.

    Raises:
        UserError: if a pattern matches no path, or the matching paths contain no run.
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
        raise UserError(
            "runs must contain at least one path or pattern, got an empty list. Set runs to folders of runs or sweeps, "
            "or to a pattern such as runs='runs/*'."
        )
    return dict(zip(paths.values(), unique_labels(list(paths)), strict=True))


def _match_pattern(pattern: str) -> list[Path]:
    """Return the existing paths that match a glob pattern, in natural order.

    If a path with exactly this name exists, only this path is returned, even if the name contains `*`, `?` or `[`.

    Raises:
        UserError: if no path matches.
    """
    path = Path(pattern).expanduser()
    try:
        matches = [path] if path.exists() else [Path(p) for p in glob.glob(str(path), recursive=True)]
    except OSError as error:
        raise UserError(f"{pattern} cannot be read ({error.strerror}).") from error
    if not matches:
        raise UserError(
            f"runs must match existing folders, but {pattern} matches nothing in {Path.cwd()}. Set runs to folders of "
            "runs or sweeps, or to a pattern such as runs='runs/*'."
        )
    return sorted(matches, key=_natural_key)


def _raise_no_run(pattern: str, matches: Sequence[Path]) -> NoReturn:
    """Raise UserError because none of the paths that match a pattern contains a run."""
    subject = f"but {matches[0]} contains no run"
    if len(matches) > 1:
        subject = f"but none of the {len(matches)} paths that match {pattern} contains a run"
    raise UserError(
        f"The option runs must name at least one folder with a config.yaml or a run.json, {subject}. Pass run folders, "
        "sweep folders or a pattern, for example runs='runs/*'."
    )


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that compares the numbers in paths by value, so that `9_vae` is sorted before `10_vae`."""
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def _search(path: Path, depth: int) -> list[Path]:
    """Return the path itself if it is a run folder, otherwise the run folders at most `depth` levels below the path."""
    if (path / "run.json").is_file() or (path / "config.yaml").is_file():
        return [path]
    if depth == 0 or not path.is_dir():
        return []
    children = sorted(path.iterdir(), key=_natural_key)
    return [folder for child in children if child.is_dir() for folder in _search(child, depth - 1)]


def unique_labels(paths: Sequence[Path]) -> list[str]:
    """Return a unique label for each path: the shortest ending of the path that makes all labels differ.

    Args:
        paths: resolved absolute paths without duplicates.
    """
    for count in range(1, max(len(path.parts) for path in paths)):
        labels = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]
