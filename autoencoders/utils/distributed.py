"""Runs with several processes: rank, further processes of this machine, and checks that all use one folder and seed.

Lightning is imported only inside of functions, because the import is slow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping

from autoencoders.types import UserError
from autoencoders.utils import launchers

SEED = "AUTOENCODERS_DRAWN_SEED"
"""Environment variable that passes the random seed of rank zero to the processes that it starts."""
EXIT_SECONDS = 2.0
"""Time in seconds between the end of a process's connections and the end of the process."""

children: dict[int, subprocess.Popen] = {}
"""Rank -> process, for the processes of the run that this process has started."""


def uses_several_processes(trainer: Mapping) -> bool:
    """Return whether a trainer config requests more than one process."""
    return str(trainer["devices"]) not in ("1", "[0]") or trainer["num_nodes"] != 1


def is_rank_zero() -> bool:
    """Return whether this process has rank zero."""
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0  # type checkers do not know attributes of functions


def signal_children(number: int) -> None:
    """Send a signal to the processes of the run that this process has started."""
    for child in children.values():
        child.send_signal(number)  # does nothing if the process has ended


def describe_child(rank: int) -> str | None:
    """Return how a process that this process has started has ended, or None if it is not known."""
    if rank not in children:
        return None
    try:
        status = children[rank].wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if status >= 0:
        return f"has ended with exit status {status}"
    return f"was killed by {signal.Signals(-status).name}"


def check_process_agreement(config: Mapping, folder_given: bool) -> None:
    """Check that the processes of torchrun or srun use one run folder and one seed.

    Args:
        config: configuration of the run.
        folder_given: whether the user set the run folder (`hydra.run.dir`).

    Raises:
        UserError: if each process would choose a run folder or a seed of its own.
    """
    if not launchers.is_launched(config["trainer"]["num_nodes"]):
        return
    if not folder_given:
        raise UserError(
            "hydra.run.dir must be set with torchrun or srun because the default run folder contains the start time, "
            "which differs between processes. Set hydra.run.dir=runs/<name>."
        )
    if config["seed"] is None:
        raise UserError(
            "seed must be a number with torchrun or srun because each process would choose its own random seed, got "
            "null. Set seed=<number>."
        )


def draw_seed() -> int:
    """Return a random seed that is the same in all processes of a run. Rank zero chooses the seed."""
    if is_rank_zero():
        os.environ[SEED] = str(time.time_ns() % 2**31)
    return int(os.environ[SEED])
