"""A page that follows runs while they train, made from nothing but what their folders hold."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoencoders.reports import comparison
from autoencoders.reports.content import Report, build_report
from autoencoders.reports.discovery import folders
from autoencoders.reports.html import address, render_html
from autoencoders.reports.images import Picture
from autoencoders.reports.live_progress import Seen, charts, progress
from autoencoders.reports.run_folder import RunFolder, read
from autoencoders.types import UserError

FILES = ("config.yaml", "run.json", "metrics.json")
PARTS = ("figures", "tables")
"""What a page is made of; `metrics.csv` goes into its state alone."""


class Live:
    """What is served of runs that may still go on; every part is made anew only where its files have changed.

    Args:
        patterns: folders and patterns of runs, see `finding.folders`.
        options: of the page, see `page.report`.

    Raises:
        UserError: where there is no run.
    """

    def __init__(self, patterns: Sequence[str], options: dict[str, Any]) -> None:
        self.patterns, self.options = patterns, options
        self._lock = threading.Lock()
        self._folders = folders(patterns)
        self._known: dict[Path, tuple[list, RunFolder]] = {}
        self._seen: dict[Path, Seen] = {}
        self._page, self._made, self._pictures = b"", "", {}
        self.state()

    @property
    def count(self) -> int:
        """How many runs there are so far."""
        return len(self._folders)

    def state(self) -> bytes:
        """How far the runs are, as JSON, and which version of the page shows what they have left."""
        with self._lock:
            runs, now = self._runs(), time.time()
            brief = len(runs) > 1
            shown = [progress(run, self._seen.setdefault(run.path, Seen()), now, brief) for run in runs]
            return json.dumps({"version": self._version(), "runs": shown, "charts": charts(runs)}).encode()

    def page(self) -> bytes:
        """The page of what the runs have left so far."""
        with self._lock:
            runs, version = self._runs(), self._version()
            if version != self._made:
                made = self._report(runs)
                shown = {address(p): p for part in made.sections for group in part.groups for p in group.pictures}
                self._pictures = {**dict(list(self._pictures.items())[-len(shown) :]), **shown}  # and those before
                self._page, self._made = render_html(made, live=version).encode("utf-8", "replace"), version
            return self._page

    def picture(self, name: str) -> Picture | None:
        """A picture of the page, or of the one before it."""
        return self._pictures.get(name)

    def _report(self, runs: Sequence[RunFolder]) -> Report:
        try:
            return build_report(runs, **self.options, live=True)
        except UserError as error:  # a figure or a metric that is asked for and not there yet
            return Report(self.options["title"] or "Runs", [str(error)], [], "", [], [], [])

    def _runs(self) -> list[RunFolder]:
        """The runs, read again where a file of theirs has changed."""
        with contextlib.suppress(UserError):  # all were taken away: what they were stays
            self._folders = folders(self.patterns)
        changed = False
        for path, label in self._folders.items():
            marks = [label, *(_mark(path / name) for name in (*FILES, "metrics.csv"))]
            if path not in self._known or self._known[path][0] != marks:
                run, changed = read(path, label), True
                if run.record.get("status") == "running":
                    run.problems = []  # of a page that follows it, that is none
                self._known[path] = (marks, run)
        runs = [self._known[path][1] for path in self._folders]
        if changed:
            for run, words in zip(runs, comparison.settings(runs), strict=True):
                run.setting = words
        return runs

    def _version(self) -> str:
        """Differs where anything does that a page shows."""
        digest = hashlib.sha256()
        for path, label in self._folders.items():
            files = [path / name for name in FILES]
            files += sorted(file for part in PARTS for file in (path / part).rglob("*.*"))
            digest.update(json.dumps([label, [(str(file), _mark(file)) for file in files]]).encode())
        return digest.hexdigest()[:16]


def _mark(file: Path) -> tuple[int, int] | None:
    """Differs where the file does, as far as can be told without reading it."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
