"""Start the processes of a run, and connect them to each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from autoencoders.config.arguments import quote
from autoencoders.types import UserError
from autoencoders.utils import distributed, launchers
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.peers import Address, Peers

if TYPE_CHECKING:
    from lightning.pytorch.plugins.environments import ClusterEnvironment
    from torch.distributed import TCPStore

START_SECONDS = 600.0
"""Maximum time in seconds between the starts of two processes of a run."""


@dataclass
class ProcessGroup:
    """Connections and processes that exist as long as this process, also over several runs.

    Attributes:
        peers: connections to the other processes.
        store: store through which the processes exchange their addresses. PyTorch uses the same port.
        variables: environment variables of this process, if it has started the others.
    """

    peers: Peers
    store: TCPStore
    variables: dict[str, str] = field(default_factory=dict)


def find_environment(launcher: launchers.Launcher | None, trainer: Mapping) -> ClusterEnvironment | None:
    """Return Lightning's description of how the processes were started; None if a trainer config contains one.

    Without it, Lightning would guess from variables that also exist in a Slurm job without srun.

    Raises:
        UserError: if the processes of several machines were not started in a known way.
    """
    from lightning.pytorch.plugins import environments

    if launchers.has_custom_environment(trainer):
        return None
    if launcher == "torchrun":
        return environments.TorchElasticEnvironment()
    if launcher == "srun":
        _set_tasks_per_node()
        return environments.SLURMEnvironment(auto_requeue=False)  # Lightning's signal handler would not end the run
    if launcher == "jsrun":
        return environments.LSFEnvironment()
    if environments.MPIEnvironment.detect():
        return environments.MPIEnvironment()
    if launcher is None and trainer["num_nodes"] != 1:
        raise UserError(
            f"trainer.num_nodes must be 1 without a launcher, got {trainer['num_nodes']}. Start the processes with "
            "torchrun or srun."
        )
    return environments.LightningEnvironment()


def _set_tasks_per_node() -> None:
    """Set SLURM_NTASKS_PER_NODE, which Lightning requires, and which srun sets only if it is given that option."""
    if "SLURM_NTASKS_PER_NODE" in os.environ:
        return
    tasks = os.environ.get("SLURM_TASKS_PER_NODE", "")
    number = re.fullmatch(r"(\d+)(\(x\d+\))?", tasks)  # 4 or, on two machines, 4(x2)
    if number is None:
        raise UserError(
            f"srun must start the same number of processes on each machine, got {tasks}. Use the option "
            "--ntasks-per-node instead of --ntasks."
        )
    os.environ["SLURM_NTASKS_PER_NODE"] = number[1]


def connect(rank: int, world_size: int, timeout: float) -> ProcessGroup:
    """Connect this process to the others, through a store at MASTER_ADDR and MASTER_PORT.

    Args:
        rank: rank of this process.
        world_size: number of processes.
        timeout: seconds after which a process that does not answer counts as failed.

    Raises:
        UserError: if the store or rank zero cannot be reached.
    """
    from torch.distributed import TCPStore

    peers = Peers(rank, world_size, timeout, explain=distributed.describe_child)
    host, port = os.environ["MASTER_ADDR"], int(os.environ.get("MASTER_PORT", 0))
    # torchrun may host a store at this address. Otherwise, PyTorch later opens this store again (`multi_tenant`).
    is_host = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    key = f"autoencoders/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    start = timedelta(seconds=START_SECONDS)
    try:
        store = TCPStore(host, port, is_master=is_host, timeout=start, wait_for_workers=False, multi_tenant=True)
        if rank == 0:
            address = peers.listen(host, START_SECONDS)
            store.set(key, f"{address.port} {address.token}")
        else:
            listening_port, token = store.get(key).decode().split()
            peers.connect(Address(host, int(listening_port), token))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"Rank {rank} could not connect to rank 0 at {host} within {START_SECONDS:g} s ({short_reason(error)}). "
            "Check that rank 0 has started, and that the machines can connect to each other on all ports."
        ) from error
    return ProcessGroup(peers, store)


def start_child(rank: int, local_rank: int, folder: str) -> subprocess.Popen:
    """Start the command of this process again, as another rank.

    Args:
        rank: rank of the new process.
        local_rank: its rank on this machine.
        folder: the run folder.
    """
    from hydra.core.hydra_config import HydraConfig

    import __main__

    module = __main__.__spec__
    command = [sys.executable, "-m", module.name] if module else [sys.executable, os.path.abspath(sys.argv[0])]
    command += sys.argv[1:]
    if HydraConfig.initialized():
        command.append(f"hydra.run.dir={quote(folder)}")
    variables = {"RANK": str(rank), "LOCAL_RANK": str(local_rank), launchers.STARTED_BY: str(os.getpid())}
    return subprocess.Popen(command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)


def end_children(seconds: float) -> None:
    """Wait for the end of the processes that this process has started, and kill those that have not ended in time."""
    for child in distributed.children.values():
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
