"""Several processes for one run: who starts them, and what they must agree on before they can talk to each other.

Lightning starts the processes of one machine itself, by running the command line again; `torchrun` and `srun`
start them from outside, on several machines too. Nothing heavy is imported here at the top.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from autoencoders.types import UserError

SEED = "AUTOENCODERS_DRAWN_SEED"
"""Environment variable by which processes that Lightning starts get the seed that the first of them drew."""


def uses_several_processes(trainer: Mapping) -> bool:
    """Whether a trainer's configuration asks for more than one process."""
    return str(trainer["devices"]) not in ("1", "[0]") or trainer["num_nodes"] != 1


def is_rank_zero() -> bool:
    """Whether this process is the one that speaks."""
    from lightning.pytorch.utilities import rank_zero_only

    return rank_zero_only.rank == 0


def has_external_launcher() -> bool:
    """Whether torchrun or srun started this process, and others with it."""
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    slurm = SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return slurm or TorchElasticEnvironment.detect()


def check_process_agreement(config: Mapping, folder_given: bool) -> None:
    """Raise UserError where processes started from outside would each choose a folder or a seed of their own."""
    if not has_external_launcher():
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


def draw_seed() -> int:
    """A fresh seed on rank zero; on the processes that Lightning starts for it, the same."""
    from lightning.pytorch.utilities import rank_zero_only

    if rank_zero_only.rank == 0:
        os.environ[SEED] = str(time.time_ns() % 2**31)
    return int(os.environ[SEED])
