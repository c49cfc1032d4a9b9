"""Hydra callback that checks whether the folder of a run or a sweep can be created.

Hydra creates the folder before the entry point runs. Without this check, an error would end with a traceback. Hydra
imports this module at every start. For a fast start, this module therefore imports only Hydra.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from autoencoders.utils.error_messages import disk_error_message


class OutputDirCheck(Callback):
    """Create the output folder. If this fails, print a one-line message and exit with status 2."""

    def on_run_start(self, config: DictConfig, **keywords: Any) -> None:
        """Create the run folder before a single run."""
        self._create(lambda: config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **keywords: Any) -> None:
        """Create the sweep folder before a multirun."""
        self._create(lambda: config.hydra.sweep.dir, "hydra.sweep.dir")

    def _create(self, get_folder: Callable[[], str], option: str) -> None:
        try:
            folder = Path(get_folder())
        except OmegaConfBaseException:
            return  # Hydra resolves the folder next and raises the error in the entry point, which prints the message
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            print(f"autoencoders: {disk_error_message(error, folder, option)}", file=sys.stderr)
            sys.exit(2)
