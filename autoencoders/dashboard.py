"""W&B: where it begins, what happens when its server cannot be reached, and where its run ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment

from autoencoders.faults import reason
from autoencoders.records import warn

FALLBACK = {"online": "offline", "offline": "disabled"}
"""The mode that a run goes on with where one cannot begin."""


class Dashboard(WandbLogger):
    """Lightning's W&B logger, which goes offline where the server does not answer: no training waits for it or ends."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun when it is first asked for."""
        try:
            return super().experiment
        except Exception as error:  # W&B's own kinds, and whatever its process makes of a full disk
            mode = self._wandb_init["mode"]
            if mode not in FALLBACK:
                raise
            self._wandb_init["mode"] = FALLBACK[mode]
            warn(
                Path(self.save_dir),
                f"W&B could not begin {mode} ({reason(error)}), and this run's is {FALLBACK[mode]}; metrics.csv and "
                "figures/ have everything.",
            )
        return self.experiment


def wandb_logger(
    save_dir: str, init_timeout: float = 30.0, finish_timeout: float = 300.0, **settings: Any
) -> Dashboard:
    """Online where a login, a key or WANDB_MODE says so, else offline, never a prompt.

    Args:
        save_dir: the run's folder; W&B writes to its `wandb/`.
        init_timeout: seconds to wait for the server before the run goes on offline.
        finish_timeout: seconds to wait, when the run has ended, for what is not uploaded yet.
        **settings: project, name, group, tags, entity, notes, ... as for `wandb.init`.
    """
    # W&B's own lines on the terminal would bury ours; what matters of them, the door prints.
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    own = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=init_timeout,
        finish_timeout=finish_timeout,
        finish_timeout_raises=True,
    )
    # Not the logger's own offline=True: it sets WANDB_MODE for the rest of the process, later jobs included.
    logger = Dashboard(save_dir=save_dir, mode=mode, settings=own, **settings)
    logger._wandb_init.pop("anonymous", None)  # Lightning passes an option that W&B only warns about
    return logger


def close(loggers: list[Logger], failed: bool = False) -> str | None:
    """End W&B's run, so that the next job of a sweep gets its own; returns the line that says where it is."""
    if not any(isinstance(logger, WandbLogger) for logger in loggers):
        return None
    import wandb

    run = wandb.run
    if run is None or run.disabled:
        return None
    sync = f"upload with: wandb sync {_shell(Path(run.dir).parent)}"
    where = f"offline; {sync}" if run.offline else run.url
    try:
        wandb.finish(exit_code=int(failed))
    except Exception as error:  # a TimeoutError, or its process has died: the run's own folder has it all
        return f"not all uploaded ({reason(error)}); {sync}"
    return where


def _shell(path: Path) -> str:
    import shlex

    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
