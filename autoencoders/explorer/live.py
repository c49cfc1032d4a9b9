"""The explorer page of runs in training, which shows the networks of the newest checkpoints."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from autoencoders.explorer.content import ExplorerRun
from autoencoders.explorer.loading import LoadOptions, build_title, load_run
from autoencoders.explorer.page import encode_json, render_page
from autoencoders.runs.loading import BEST, LAST
from autoencoders.utils.error_messages import short_reason

MAX_RUNS = 4
"""Maximum number of runs on the page: those with the newest checkpoints."""

PAUSE = 3.0
"""Time between two updates, as a multiple of the duration of an update. It limits the load next to the training."""

WAITING = "No run has saved a checkpoint yet. The page waits for the first one."

Version = tuple[tuple[str, int, int], ...]
"""Path, modification time in nanoseconds and size in bytes of each checkpoint on the page."""


class LiveExplorer:
    """The content of the explorer page of runs that may still be training.

    A request of the state starts an update in a thread if there are newer checkpoints. Until the update is complete,
    the page shows the previous networks. The run folders are not changed.

    Args:
        find_folders: function that returns run folder -> label, for all runs.
        options: options with which the runs are loaded.
    """

    def __init__(self, find_folders: Callable[[], Mapping[Path, str]], options: LoadOptions | None = None) -> None:
        self.find_folders = find_folders
        self.options = options or LoadOptions(purpose="explorer=true")
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._next_update = 0.0
        self._version: Version = ()
        self._runs: list[ExplorerRun] = []
        self._note = WAITING

    def state(self) -> bytes:
        """Return the `version` of the content and a `note` for the reader, encoded as JSON. Start an update if needed.

        The version changes if and only if the content changes.
        """
        with self._lock:
            checkpoints = find_checkpoints(self.find_folders())
            version = checkpoint_versions(checkpoints)
            is_busy = self._worker is not None and self._worker.is_alive()
            if version != self._version and not is_busy and time.monotonic() >= self._next_update:
                self._worker = threading.Thread(target=self._update, args=(checkpoints, version), daemon=True)
                self._worker.start()
            return json.dumps({"version": str(hash(self._version)), "note": self._note}).encode()

    def page(self) -> bytes:
        """Return the HTML text of the page with the current content, encoded as UTF-8."""
        runs = list(self._runs)
        return render_page(runs, build_title(runs) or "Explorer", live=True).encode("utf-8", "replace")

    def content(self) -> bytes:
        """Return the current content of the runs, encoded as JSON."""
        return encode_json([run.content for run in self._runs]).encode()

    def wait(self, seconds: float) -> None:
        """Wait until the update in progress is complete, or for a number of seconds."""
        if self._worker is not None:
            self._worker.join(seconds)

    def _update(self, checkpoints: Mapping[str, Path], version: Version) -> None:
        """Load the runs of checkpoints, and replace the content of the page by them."""
        start, runs, notes = time.monotonic(), [], []
        for label, checkpoint in checkpoints.items():
            try:
                run = load_run(checkpoint, self.options, save_codes=False)
            except Exception as error:  # the page states the reason and keeps the server running
                notes.append(f"{label}: {short_reason(error)}")
                continue
            runs.append(replace(run, content=run.content | {"label": label}))
        with self._lock:
            self._version, self._runs = version, runs or self._runs
            self._note = " ".join(notes) if checkpoints else WAITING
            self._next_update = time.monotonic() + PAUSE * (time.monotonic() - start)


def find_checkpoints(folders: Mapping[Path, str]) -> dict[str, Path]:
    """Return label -> newest checkpoint, for the MAX_RUNS runs with the newest checkpoints, in the order of the runs.

    Args:
        folders: run folder -> label.
    """
    times: dict[str, int] = {}
    found: dict[str, Path] = {}
    for folder, label in folders.items():
        for name in (LAST, BEST):
            try:
                times[label] = (folder / name).stat().st_mtime_ns
            except OSError:
                continue
            found[label] = folder / name
            break
    newest = sorted(times, key=lambda label: times[label], reverse=True)[:MAX_RUNS]
    return {label: path for label, path in found.items() if label in newest}


def checkpoint_versions(checkpoints: Mapping[str, Path]) -> Version:
    """Return the path, the modification time and the size of each checkpoint. A file that was deleted is left out."""
    versions = []
    for path in checkpoints.values():
        try:
            status = path.stat()
        except OSError:
            continue
        versions.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(versions)
