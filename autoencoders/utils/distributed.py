"""Several processes for one run: how they are started, and what they must agree on.

Lightning starts the processes of one machine by repeating the command line. `torchrun` and `srun` start them
externally, also on several machines. This module imports nothing heavy at the top.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from autoencoders.types import UserError

SEED = "AUTOENCODERS_DRAWN_SEED"
"""Environment variable that passes the seed drawn by rank zero to the processes that Lightning starts."""


def uses_several_processes(trainer: Mapping) -> bool:
    """Return whether a trainer config requests more than one process."""
    return str(trainer["devices"]) not in ("1", "[0]") or trainer["num_nodes"] != 1


def is_rank_zero() -> bool:
    """Return whether this process has rank zero."""
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0  # an attribute of a function, which type checkers do not see


def has_external_launcher() -> bool:
    """Return whether torchrun or srun started this process together with others."""
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    slurm = SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return slurm or TorchElasticEnvironment.detect()


def check_process_agreement(config: Mapping, folder_given: bool) -> None:
    """Raise UserError if externally started processes would each choose their own folder or seed."""
    if not has_external_launcher():
        return
    if not folder_given:
        raise UserError(
            "Processes started by torchrun or srun must share one run folder, but the default name depends on the "
            "clock of each process. Set hydra.run.dir=runs/<name>."
        )
    if config["seed"] is None:
        raise UserError(
            "Processes started by torchrun or srun must share one seed, but with seed=null each draws its own. Set "
            "seed=<number>."
        )


def draw_seed() -> int:
    """Return a new random seed on rank zero, and the same seed on the processes that Lightning starts."""
    if is_rank_zero():
        os.environ[SEED] = str(time.time_ns() % 2**31)
    return int(os.environ[SEED])
