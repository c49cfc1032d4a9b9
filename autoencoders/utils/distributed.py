"""Runs with several processes: detect how the processes are started, and check that they use one folder and one seed.

Lightning starts the processes on one machine by repeating the command line. `torchrun` and `srun` are external
launchers, which can start processes on several machines. This module imports Lightning only inside of functions,
because the import is slow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from autoencoders.types import UserError

SEED = "AUTOENCODERS_DRAWN_SEED"
"""Environment variable that passes the random seed of rank zero to the processes that Lightning starts."""


def uses_several_processes(trainer: Mapping) -> bool:
    """Return whether a trainer config requests more than one process."""
    return str(trainer["devices"]) not in ("1", "[0]") or trainer["num_nodes"] != 1


def is_rank_zero() -> bool:
    """Return whether this process has rank zero."""
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0  # type checkers do not know attributes of functions


def has_external_launcher() -> bool:
    """Return whether an external launcher (torchrun or srun) started this process as one of several processes."""
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    slurm = SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return slurm or TorchElasticEnvironment.detect()


def check_process_agreement(config: Mapping, folder_given: bool) -> None:
    """Check that the processes of torchrun or srun use one run folder and one seed.

    Args:
        config: configuration of the run.
        folder_given: whether the user set the run folder (`hydra.run.dir`).

    Raises:
        UserError: if each process would choose a run folder or a seed of its own.
    """
    if not has_external_launcher():
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
    """Return a random seed that is the same in all processes that Lightning starts. Rank zero chooses the seed."""
    if is_rank_zero():
        os.environ[SEED] = str(time.time_ns() % 2**31)
    return int(os.environ[SEED])
