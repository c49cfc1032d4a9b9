"""Status of a run: the status in `run.json`, unless the process that should change it no longer exists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoencoders.utils.folder_lock import is_in_use
from autoencoders.utils.json_files import read_json

RUNNING, INTERRUPTED = "running", "interrupted"
"""Status of a run whose process exists, and of a run whose process ended without writing a status, as after SIGKILL."""
INTERRUPTED_TEXT = "its process ended without writing a status (killed, or the machine went down)"
"""What the status `interrupted` means."""


def current_status(folder: Path, record: Mapping[str, Any]) -> str:
    """Return the status of a run: `running`, `done`, `stopped`, `failed` or `interrupted`.

    Args:
        folder: run folder.
        record: content of `run.json`, or an empty mapping if the file does not exist yet.
    """
    status = str(record.get("status", RUNNING))
    if status != RUNNING or is_in_use(folder):
        return status
    try:  # the run may have ended since the record was read
        status = str(read_json(folder / "run.json").get("status", RUNNING))
    except ValueError:
        return INTERRUPTED
    return INTERRUPTED if status == RUNNING else status
