"""Environment variables of launchers: detect which program started this process as one of several processes.

Lightning reads the rank of a process from the environment when it is imported. A variable that a shell or an earlier
job has left there would turn the only process of a run into one that writes nothing. Therefore `ignore_leftovers` must
be called before a run. This module imports only the standard library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Literal

from autoencoders.types import UserError

Launcher = Literal["autoencoders", "torchrun", "srun", "jsrun", "user"]

STARTED_BY = "AUTOENCODERS_STARTED_BY"
"""Variable with the ID of the process that started this process as a further process of its run."""
RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK")
SIZES = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE")
ADDRESSES = ("MASTER_ADDR", "MASTER_PORT")
TORCH = (*RANKS, *SIZES, *ADDRESSES, "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE")
"""Variables that torchrun, Lightning or a user sets."""
FOREIGN_RANKS = ("SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Variables of srun and jsrun from which Lightning reads the rank."""

REQUIRED: dict[Launcher, tuple[str, ...]] = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", *ADDRESSES),
    "srun": ("SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"),
    "jsrun": ("LSB_JOBID", "LSB_DJOB_RANKFILE", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK"),
    "user": ("NODE_RANK", *ADDRESSES),
}
"""Launcher -> variables that it sets in each process. `user`: a user has set them, on each of several machines."""
USED: dict[Launcher | None, tuple[str, ...]] = {
    "autoencoders": TORCH,
    "torchrun": TORCH,
    "srun": (*REQUIRED["srun"], *ADDRESSES),
    "jsrun": (*REQUIRED["jsrun"], *ADDRESSES),
    "user": ("LOCAL_RANK", "WORLD_SIZE", *REQUIRED["user"]),
    None: (),
}
"""Launcher -> variables that have a meaning with it."""
RANK_NAMES: dict[Launcher | None, tuple[str, ...]] = {
    "autoencoders": ("RANK",), "torchrun": ("RANK",), "srun": ("SLURM_PROCID",), "jsrun": ("JSM_NAMESPACE_RANK",),
    "user": ("NODE_RANK", "LOCAL_RANK"),
}  # fmt: skip
"""Launcher -> variables that are 0 in the first process of a run, and only there."""
MPI_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
"""Variables with the rank that mpirun sets."""
COUNTS: dict[Launcher | None, str] = {"torchrun": "WORLD_SIZE", "srun": "SLURM_NTASKS", "jsrun": "JSM_NAMESPACE_SIZE"}
"""Launcher -> variable with the number of processes that it has started."""


def detect_launcher(num_nodes: int = 1) -> Launcher | None:
    """Return the program that started this process as one of several processes, or None if there is none.

    Args:
        num_nodes: number of machines of the run. The launcher `user` is possible only on several machines.
    """
    if os.environ.get(STARTED_BY) == str(os.getppid()):
        return "autoencoders"
    if _has_all(REQUIRED["torchrun"]):
        return "torchrun"
    # In a batch script and in the shell of salloc, SLURM_NTASKS is the number of requested tasks. Only srun starts
    # several tasks, and then sets SLURM_STEP_NUM_TASKS.
    if _has_all(REQUIRED["srun"]) and int(os.environ["SLURM_STEP_NUM_TASKS"]) > 1:
        return "srun"
    if _has_all(REQUIRED["jsrun"]) and int(os.environ["JSM_NAMESPACE_SIZE"]) > 1:
        return "jsrun"
    return "user" if num_nodes > 1 and _has_all(REQUIRED["user"]) else None


def launched_processes() -> int | None:
    """Return the number of processes that torchrun, srun or jsrun has started; None without such a launcher."""
    name = COUNTS.get(detect_launcher())
    return None if name is None else int(os.environ[name])


def is_launched(num_nodes: int = 1) -> bool:
    """Return whether torchrun, srun, jsrun or a user has started this process as one of several processes."""
    return detect_launcher(num_nodes) == "user" or (launched_processes() or 1) > 1


def is_first_process(trainer: Mapping | None = None) -> bool:
    """Return whether this process is the only or the first process of its run, without an import of Lightning.

    Args:
        trainer: config of the run's trainer; None if it is not known, which is taken for a run on one machine.
    """
    trainer = trainer or {}
    names = RANK_NAMES.get(detect_launcher(trainer.get("num_nodes", 1)), ())
    if has_custom_environment(trainer):
        names = (*RANKS, *FOREIGN_RANKS)
    return all(os.environ.get(name, "") in ("", "0") for name in (*names, *MPI_RANKS))


def local_rank() -> int:
    """Return the rank of this process among the processes of its run on this machine."""
    names = ("LOCAL_RANK", "SLURM_LOCALID", "JSM_NAMESPACE_LOCAL_RANK")
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), 0)


def has_custom_environment(trainer: Mapping) -> bool:
    """Return whether a trainer config has a plugin that describes how the processes are started, such as Kubeflow."""
    plugins = trainer.get("plugins") or []
    return any("Environment" in str(node.get("_target_")) for node in plugins if isinstance(node, Mapping))


def ignore_leftovers(trainer: Mapping | None = None) -> None:
    """Remove variables about ranks that no launcher has set for this process from the environment.

    Variables that would have changed the rank or the number of processes are named in a warning.

    Args:
        trainer: config of the run's trainer; None for a command that uses a single process.
    """
    if trainer is not None and has_custom_environment(trainer):
        return
    used = USED[detect_launcher(1 if trainer is None else trainer["num_nodes"])]
    # A Slurm job of one task has SLURM_PROCID=0, which is correct and which submitit reads.
    foreign = [name for name in FOREIGN_RANKS if os.environ.get(name, "0") != "0"]
    _remove(name for name in (*TORCH, *foreign) if name not in used)


def ignore_malformed() -> None:
    """Remove variables about ranks that are not numbers from the environment. Lightning could not be imported."""
    _remove(name for name in (*RANKS, *SIZES, *FOREIGN_RANKS) if not os.environ.get(name, "0").isdecimal())


def check_single_process(command: str) -> None:
    """Raise UserError if a launcher has started several processes for a command that uses one."""
    if (count := launched_processes() or 1) > 1:
        raise UserError(f"autoencoders {command} needs one process, got {count}. {how_to_start()}")


def how_to_start() -> str:
    """Return a sentence for a command that a launcher has started several times, or that seems to be started so."""
    launcher = detect_launcher()
    return (
        f"Start the command without {launcher}. If you have not used {launcher}, an earlier job has left its variables "
        f"in the environment; remove them with: unset {' '.join(n for n in USED[launcher] if n in os.environ)}"
    )


def _has_all(names: tuple[str, ...]) -> bool:
    """Return whether all variables are set, and ranks and counts are numbers."""
    numbers = [name for name in names if name in (*RANKS, *SIZES, *REQUIRED["srun"]) or name.startswith("JSM_")]
    return all(os.environ.get(name) for name in names) and all(os.environ[name].isdecimal() for name in numbers)


def _remove(names: Iterable[str]) -> None:
    """Remove variables from the environment. Print a warning if they would have had a wrong effect."""
    removed = {name: os.environ.pop(name) for name in names if name in os.environ}
    if removed and "lightning.fabric.utilities.rank_zero" in sys.modules:  # Lightning may have read the rank from them
        from lightning.pytorch.utilities import rank_zero_only

        rank_zero_only.rank = 0  # type: ignore[attr-defined]  # type checkers do not know attributes of functions
    right = {**dict.fromkeys((*RANKS, *FOREIGN_RANKS), "0"), **dict.fromkeys(SIZES, "1")}
    misleading = [name for name, value in removed.items() if name in right and value != right[name]]
    if misleading:
        values = ", ".join(f"{name}={removed[name]}" for name in misleading)
        print(
            f"autoencoders: warning: {values} in the environment {'is' if len(misleading) == 1 else 'are'} ignored, "
            "because no launcher such as torchrun or srun has started this process. Remove with: "
            f"unset {' '.join(misleading)}",
            file=sys.stderr,
        )
