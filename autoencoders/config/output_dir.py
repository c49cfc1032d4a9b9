"""The folder of a run or a sweep, refused in a sentence where it cannot be made.

Hydra makes it before a door has the word, and would end in a traceback. It loads this at every start, so that only
Hydra is imported here at the top.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf.errors import OmegaConfBaseException

from autoencoders.utils.error_messages import disk_error_message


class OutputDirCheck(Callback):
    """Makes the folder first, and leaves with a failing exit where it cannot."""

    def on_run_start(self, config: Mapping, **keywords: Any) -> None:
        """Of a run."""
        self._make(lambda: config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: Mapping, **keywords: Any) -> None:
        """Of a sweep."""
        self._make(lambda: config.hydra.sweep.dir, "hydra.sweep.dir")

    def _make(self, asked: Callable[[], str], option: str) -> None:
        try:
            folder = Path(asked())
        except OmegaConfBaseException:  # Hydra asks next, and its exception, unlike a callback's, reaches the door
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            print(f"autoencoders: {disk_error_message(error, folder, option)}", file=sys.stderr)
            sys.exit(2)
