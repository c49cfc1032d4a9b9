"""The live page: a report that is updated during the training of runs. The state is read from the run folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from autoencoders.reports.comparison import describe_settings
from autoencoders.reports.content import Report, ReportOptions, build_report
from autoencoders.reports.discovery import find_run_folders
from autoencoders.reports.html import picture_url, render_html
from autoencoders.reports.images import Picture
from autoencoders.reports.live_progress import StepHistory, build_charts, describe_progress
from autoencoders.reports.run_folder import RunFolder, read_run_folder
from autoencoders.runs.status import RUNNING
from autoencoders.types import UserError
from autoencoders.utils.folder_lock import is_in_use

PAGE_FILES = ("config.yaml", "run.json", "metrics.json")
PAGE_FOLDERS = ("figures", "tables")
"""Files and folders in a run folder whose contents the page shows. `metrics.csv` is sent separately with the state."""

Fingerprint = tuple[int, int] | None
"""Modification time in nanoseconds and size in bytes of a file; None for a missing file."""


class LivePage:
    """A report on runs that may still be training.

    A run is read again only if one of its files has changed, or its process has started or ended. The page is rendered
    again only if a file or a status that it shows has changed.

    Args:
        patterns: run folders, sweep folders, or glob patterns for such folders; see `find_run_folders`.
        options: options that determine the content of the report.
        explorer: relative URL of the explorer page, which the page links; empty without such a page.

    Raises:
        UserError: if no run is found.
    """

    def __init__(self, patterns: Sequence[str], options: ReportOptions, explorer: str = "") -> None:
        self.patterns, self.options, self.explorer = patterns, options, explorer
        self._lock = threading.Lock()
        self._folders = find_run_folders(patterns)
        self._runs: dict[Path, tuple[list[str | bool | Fingerprint], RunFolder]] = {}
        self._histories: dict[Path, StepHistory] = {}
        self._page, self._page_version = b"", ""
        self._pictures: dict[str, Picture] = {}
        self.state()

    @property
    def count(self) -> int:
        """Number of runs that the page shows."""
        return len(self._folders)

    def folders(self) -> dict[Path, str]:
        """Return run folder -> label, for all runs that were found in the latest update of the page."""
        return dict(self._folders)

    def state(self) -> bytes:
        """Return the progress of the runs, their curves, and the version of the page, encoded as JSON."""
        with self._lock:
            runs, now = self._read_runs(), time.time()
            brief = len(runs) > 1
            progress = [
                describe_progress(run, self._histories.setdefault(run.path, StepHistory()), now, brief) for run in runs
            ]
            return json.dumps({"version": self._version(), "runs": progress, "charts": build_charts(runs)}).encode()

    def page(self) -> bytes:
        """Return the HTML text of the page, encoded as UTF-8. The page is rendered again if files have changed."""
        with self._lock:
            runs, version = self._read_runs(), self._version()
            if version != self._page_version:
                report = self._build_report(runs)
                report.explorer = self.explorer
                pictures = [p for section in report.sections for group in section.groups for p in group.pictures]
                current = {picture_url(picture): picture for picture in pictures}
                # A browser that shows the previous page may still load the previous figures.
                previous = dict(list(self._pictures.items())[-len(current) :])
                self._pictures = {**previous, **current}
                self._page = render_html(report, live_version=version).encode("utf-8", "replace")
                self._page_version = version
            return self._page

    def picture(self, url: str) -> Picture | None:
        """Return the figure with this URL on the current or the previous page, or None if there is no such figure."""
        return self._pictures.get(url)

    def _build_report(self, runs: Sequence[RunFolder]) -> Report:
        try:
            return build_report(runs, self.options, live=True)
        except UserError as error:  # a figure or metric that the options name may not exist yet
            return Report(self.options.title or "Runs", [str(error)])

    def _read_runs(self) -> list[RunFolder]:
        """Return all runs. Runs whose files have changed are read again."""
        with contextlib.suppress(UserError):  # if all run folders were deleted, keep the last known runs
            self._folders = find_run_folders(self.patterns)
        changed = False
        for path, label in self._folders.items():
            state = [label, is_in_use(path), *(_fingerprint(path / name) for name in (*PAGE_FILES, "metrics.csv"))]
            if path not in self._runs or self._runs[path][0] != state:
                run, changed = read_run_folder(path, label), True
                if run.record.get("status") == RUNNING:
                    run.problems = []  # on a live page, an unfinished run is not a problem
                self._runs[path] = (state, run)
        runs = [self._runs[path][1] for path in self._folders]
        if changed:
            for run, setting in zip(runs, describe_settings(runs), strict=True):
                run.setting = setting
        return runs

    def _version(self) -> str:
        """Return a digest that changes if a file changes whose content the page shows."""
        digest = hashlib.sha256()
        for path, label in self._folders.items():
            files = [path / name for name in PAGE_FILES]
            files += sorted(file for folder in PAGE_FOLDERS for file in (path / folder).rglob("*.*"))
            status = self._runs[path][1].record.get("status")
            digest.update(json.dumps([label, status, [(str(file), _fingerprint(file)) for file in files]]).encode())
        return digest.hexdigest()[:16]


def _fingerprint(file: Path) -> Fingerprint:
    """Return the modification time and the size of a file, or None if the file is missing."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
