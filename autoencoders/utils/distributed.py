"""Several processes for one run: who starts them, and what they must agree on before they can talk to each other.

Lightning starts the processes of one machine itself, by running the command line again; `torchrun` and `srun`
start them from outside, on several machines too. Nothing heavy is imported here at the top.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from autoencoders.types import Stopped, UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what queues and `kill` send."""
APART = 1.0
"""Seconds within which a second signal is the first once more: `timeout` sends it to a process and to its group."""
_latest = -math.inf

SEED = "AUTOENCODERS_DRAWN_SEED"
"""Environment variable by which processes that Lightning starts get the seed that the first of them drew."""


@contextmanager
def heeding_signals(where: Callable[[], str]) -> Iterator[None]:
    """Have `SIGNALS` raise `Stopped` wherever a run is; training takes them over, to end its batch first (`Last`).

    Args:
        where: what the run had come to when one came.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not once_more():
            raise Stopped(number, where())

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def once_more() -> bool:
    """Whether a signal that has just come is one with the latest, see `APART`."""
    global _latest
    before, _latest = _latest, time.monotonic()
    return _latest - before < APART


def several(trainer: Mapping) -> bool:
    """Whether a trainer's configuration asks for more than one process."""
    return str(trainer["devices"]) not in ("1", "[0]") or trainer["num_nodes"] != 1


def first() -> bool:
    """Whether this process is the one that speaks."""
    from lightning.pytorch.utilities import rank_zero_only

    return rank_zero_only.rank == 0


def started_from_outside() -> bool:
    """Whether torchrun or srun started this process, and others with it."""
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    slurm = SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return slurm or TorchElasticEnvironment.detect()


def check_agreement(config: Mapping, folder_given: bool) -> None:
    """Raise UserError where processes started from outside would each choose a folder or a seed of their own."""
    if not started_from_outside():
        return
    if not folder_given:
        raise UserError(
            "Processes started by torchrun or srun must agree on the run's folder, and each would name one after its "
            "own clock. Give hydra.run.dir=runs/<a name>."
        )
    if config["seed"] is None:
        raise UserError(
            "Processes started by torchrun or srun must agree on the seed, and seed=null lets each draw its own. Give "
            "seed=<number>."
        )


def drawn_seed() -> int:
    """A fresh seed on rank zero; on the processes that Lightning starts for it, the same."""
    from lightning.pytorch.utilities import rank_zero_only

    if rank_zero_only.rank == 0:
        os.environ[SEED] = str(time.time_ns() % 2**31)
    return int(os.environ[SEED])


def run_alone(words: Sequence[str], folder: Path, cwd: str) -> str | None:
    """Train one run by a command of its own, and wait; whatever happens to its processes leaves this one alone.

    Args:
        words: options, as on the command line.
        folder: of the run.
        cwd: where relative paths among the options begin.

    Returns:
        None where it ended well, else the last thing it said.
    """
    command = [sys.executable, "-m", "autoencoders.train", *words, f"hydra.run.dir='{folder}'"]
    done = subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1].removeprefix("autoencoders: ") if said else f"exit status {done.returncode}"
