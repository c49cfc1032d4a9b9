"""Folders of runs and sweeps: a new folder for each run with a default folder, and a lock for each sweep.

Hydra creates the folder before the entry point runs. Without the Hydra callback of this module, an error would end with
a traceback. Hydra imports this module at every start. For a fast start, this module therefore imports only Hydra.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from autoencoders.types import FolderInUseError
from autoencoders.utils import launchers
from autoencoders.utils.error_messages import disk_error_message
from autoencoders.utils.folder_lock import FolderLock

_sweep_locks: list[FolderLock] = []
"""Lock on the folder of the sweep that this process has started; empty if there is none."""
_claiming: list[bool] = []
"""Not empty while a callback of Hydra resolves the folder of a run or a sweep."""


def new_folder(path: str) -> str:
    """Return the first of `path`, `path-2`, `path-3`, ... that does not exist, and create it at the start of a run.

    The configuration calls this function as a resolver. It creates a folder only when the callback `OutputDirCheck`
    resolves the configuration. At any other time, for example for `--cfg job`, it returns `path`.

    Args:
        path: default folder of a run or a sweep. Two runs that start in the same second have the same default folder.
    """
    if not _claiming:
        return path
    for number in itertools.count(1):
        folder = Path(path if number == 1 else f"{path}-{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if folder.exists():
                continue
        except OSError:
            pass  # the callback tries again and reports the error
        return str(folder)
    return path


def run_folder(resume: str | None, otherwise: str) -> str:
    """Return the run folder that `resume` names, or create a new folder; see `new_folder`.

    Args:
        resume: run folder, checkpoint of a run, `auto` or None.
        otherwise: default folder if `resume` names no existing run.
    """
    path = Path(str(resume)) if resume and resume != "auto" else None
    if path is not None and path.is_dir():
        return str(path)
    if path is not None and path.is_file() and path.parent.name == "checkpoints":
        return str(path.parent.parent)
    return new_folder(otherwise)


class OutputDirCheck(Callback):
    """Create the output folder, and lock the folder of a sweep. On an error, print one line and exit with status 2."""

    def on_run_start(self, config: DictConfig, **keywords: Any) -> None:
        """Create the run folder before a single run. The run itself locks the folder."""
        self._create(config, "run")

    def on_multirun_start(self, config: DictConfig, **keywords: Any) -> None:
        """Create and lock the sweep folder before a multirun."""
        folder = self._create(config, "sweep")
        if folder is None or not _is_first_process(config):
            return
        advice = "Wait for the end of this sweep, or choose another hydra.sweep.dir."
        try:
            _sweep_locks.append(FolderLock(folder, advice).acquire())
        except FolderInUseError as error:
            _exit(str(error))
        except OSError as error:
            _exit(disk_error_message(error, folder, "hydra.sweep.dir"))

    def _create(self, config: DictConfig, kind: str) -> Path | None:
        """Create the folder of a run or a sweep (`kind`). Return None if the configuration does not give its path."""
        option = f"hydra.{kind}.dir"
        try:
            with claim_new_folders() if _is_first_process(config) else contextlib.nullcontext():
                folder = Path(config.hydra[kind].dir)
        except OmegaConfBaseException:
            return None  # Hydra resolves the folder next and raises the error in the entry point
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            _exit(disk_error_message(error, folder, option))
        return folder


def release_sweep_lock() -> None:
    """Release the lock on the folder of the sweep that this process has started, if any."""
    while _sweep_locks:
        _sweep_locks.pop().release()


@contextmanager
def claim_new_folders() -> Iterator[None]:
    """Create new folders within the `with` block when the configuration is resolved; see `new_folder`."""
    _claiming.append(True)
    try:
        yield
    finally:
        _claiming.clear()


def _is_first_process(config: DictConfig) -> bool:
    trainer = OmegaConf.to_container(config.trainer, resolve=False)
    return launchers.is_first_process(cast("dict[str, Any]", trainer))


def _exit(message: str) -> None:
    print(f"autoencoders: {message}", file=sys.stderr)
    sys.exit(2)
