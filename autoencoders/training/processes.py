"""The processes of one run: start them, connect them, and end all of them if one of them fails.

Lightning can start the processes of one machine itself. It then kills the first process as soon as another one fails,
without a message. Therefore this module starts them, and Lightning finds them started (`LOCAL_RANK` is set).
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from autoencoders.config.arguments import quote
from autoencoders.types import PeerError, RunStopped, UserError
from autoencoders.utils import distributed, launchers
from autoencoders.utils.error_messages import (
    explain_error,
    is_exchange_error,
    is_timeout,
    kept_checkpoint_hint,
    late_event,
    short_reason,
)
from autoencoders.utils.peers import Address, Failure, Peers

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from lightning.pytorch.plugins.environments import ClusterEnvironment
    from torch.distributed import TCPStore

    from autoencoders.runs.record import Record

START_SECONDS = 600.0
"""Maximum time in seconds between the starts of two processes of a run."""
GRACE_SECONDS = 10.0
"""Time in seconds after the failure of a process, after which the other processes end in any case."""
CAUSE_SECONDS = 5.0
"""Time in seconds in which the cause of a broken exchange becomes known."""
CHILD_SECONDS = 3.0
"""Time in seconds that the other processes of this machine have to end after a failure, before they are killed."""


@dataclass
class ProcessGroup:
    """Connections and processes that exist as long as this process, also over several runs.

    Attributes:
        peers: connections to the other processes.
        store: store through which the processes exchange their addresses. PyTorch uses it, too, on the same port.
        variables: environment variables of this process.
    """

    peers: Peers
    store: TCPStore
    variables: dict[str, str] = field(default_factory=dict)


_group: ProcessGroup | None = None
"""The process group of this process; None until it is connected to other processes."""


class Processes:
    """Context manager for a run with one or several processes. With one process, it does nothing.

    If another process fails, an exception that follows from it is replaced by a `PeerError` that names the other
    process. If this process is still busy or waiting after `GRACE_SECONDS`, it ends with exit status 2.

    Args:
        config: configuration of the run.

    Attributes:
        environment: Lightning's description of how the processes were started; None to let Lightning choose.
        record: record of the run, in which a failure is written; None before it exists.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.record: Record | None = None
        self._launcher = launchers.detect_launcher(config["trainer"]["num_nodes"])
        if not distributed.uses_several_processes(config["trainer"]):
            self._check_count(1, "1")
        self.environment = None if launchers.has_custom_environment(config["trainer"]) else self._find_environment()
        self._is_unwinding = False

    def __enter__(self) -> Processes:
        """Connect this process to the others, if a launcher has started it as one of several processes.

        Raises:
            UserError: if rank zero cannot be reached.
        """
        environment = self.environment
        if environment is None or self._launcher in (None, "user"):
            return self
        if self._launcher == "autoencoders":
            rank, world_size = int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", 0))
        else:
            rank, world_size = environment.global_rank(), environment.world_size()
        if world_size > 1 or _group is not None:
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
            self._begin(rank, world_size)
        return self

    def check(self, trainer: pl.Trainer) -> None:
        """Raise UserError if a launcher has started another number of processes than the trainer needs."""
        devices, nodes = trainer.num_devices, trainer.num_nodes
        self._check_count(devices * nodes, f"trainer.devices * trainer.num_nodes = {devices} * {nodes}")

    def _check_count(self, needed: int, text: str) -> None:
        started = launchers.launched_processes()
        if started in (None, needed):
            return
        raise UserError(
            f"The number of processes must be {text}, got {started} from {self._launcher}. Choose trainer=ddp or "
            "trainer=ddp_cpu with trainer.devices (the number per machine) and trainer.num_nodes to use them. "
            f"{launchers.how_to_start()}"
        )

    def start(self, trainer: pl.Trainer) -> None:
        """Start the other processes of this machine, unless a launcher has started them."""
        if self._launcher not in (None, "user") or self.environment is None or trainer.world_size == 1:
            return
        first = trainer.global_rank - trainer.local_rank
        variables = {
            "MASTER_ADDR": self.environment.main_address,
            "NODE_RANK": str(trainer.node_rank),
            "WORLD_SIZE": str(trainer.world_size),
            "LOCAL_RANK": str(trainer.local_rank),
        }
        if _group is not None:  # this process has started the others for an earlier run
            variables = _group.variables
        elif self._launcher == "user":
            variables["MASTER_PORT"] = str(self.environment.main_port)
        is_first_start = _group is None
        os.environ.update(variables)
        group = self._begin(trainer.global_rank, trainer.world_size)
        if not is_first_start:
            return
        os.environ["MASTER_PORT"] = str(group.store.port)
        group.variables = {**variables, "MASTER_PORT": os.environ["MASTER_PORT"]}
        if trainer.local_rank == 0:
            for rank in range(1, trainer.num_devices):
                distributed.children[first + rank] = self._start_child(rank, first + rank)
            atexit.register(end_children, 10 * CHILD_SECONDS)

    def finish(self) -> None:
        """Tell the other processes that this one has finished the run. On rank zero, wait for the others.

        Raises:
            PeerError: on rank zero, if another process fails before it has finished.
        """
        if _group is not None:
            _group.peers.finish()
            if _group.peers.rank == 0 and _group.peers.failure is not None:
                raise self._as_error(_group.peers.failure)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """Report an exception to the other processes, or replace it if another process has caused it."""
        if error is not None:
            self._handle(error)

    @property
    def plugins(self) -> list[ClusterEnvironment]:
        """Plugins of Lightning's Trainer that describe how the processes were started."""
        return [] if self.environment is None else [self.environment]

    @property
    def strategy(self) -> dict[str, Any]:
        """The trainer option `strategy` with the timeout of exchanges. Strategies other than DDP are unchanged."""
        from lightning.pytorch.strategies import DDPStrategy

        if self.config["trainer"].get("strategy") != "ddp":
            return {}
        return {"strategy": DDPStrategy(timeout=timedelta(seconds=self.config["exchange_timeout"]))}

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Handle an exception in a block as at the end of the run, but before it is written to the record."""
        try:
            yield
        except BaseException as error:
            self._handle(error)
            raise

    def _handle(self, error: BaseException) -> None:
        """Report an exception to the other processes, or raise one that names the process that has caused it."""
        if _group is None or self._is_unwinding:
            return
        self._is_unwinding = True
        peers = _group.peers
        if isinstance(error, PeerError):
            return
        if is_exchange_error(error):
            if is_timeout(error):
                peers.report_waiting(late_event(self.config))
            failure = peers.wait_for_failure(CAUSE_SECONDS)
            if failure is not None:
                raise self._as_error(failure) from error
        if isinstance(error, SystemExit) and not error.code:
            peers.finish()
            return
        user_error = explain_error(error, self.config)
        is_told = peers.report(_describe(error, user_error))
        if peers.rank == 0:
            atexit.register(end_children, CHILD_SECONDS)
        elif user_error is not None and not self.config["debug"]:
            if not is_told:
                print(f"autoencoders: {user_error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from error

    # Connection and start -------------------------------------------------------------------------------------------

    def _find_environment(self) -> ClusterEnvironment:
        from lightning.pytorch.plugins import environments

        if self._launcher == "torchrun":
            return environments.TorchElasticEnvironment()
        if self._launcher == "jsrun":
            return environments.LSFEnvironment()
        if self._launcher == "srun":
            if "SLURM_NTASKS_PER_NODE" not in os.environ:  # srun --ntasks=4; Lightning needs the number per machine
                tasks = re.fullmatch(r"(\d+)(\(x\d+\))?", os.environ.get("SLURM_TASKS_PER_NODE", ""))
                if tasks is None:
                    raise UserError(
                        "srun must start the same number of processes on each machine, got "
                        f"{os.environ.get('SLURM_TASKS_PER_NODE')}. Replace --ntasks by --ntasks-per-node."
                    )
                os.environ["SLURM_NTASKS_PER_NODE"] = tasks[1]
            return environments.SLURMEnvironment(auto_requeue=False)  # Lightning's handler would not end the run
        if environments.MPIEnvironment.detect():
            return environments.MPIEnvironment()
        if self._launcher is None and self.config["trainer"]["num_nodes"] != 1:
            raise UserError(
                "trainer.num_nodes must be 1 without a launcher, got "
                f"{self.config['trainer']['num_nodes']}. Start the processes with torchrun or srun."
            )
        return environments.LightningEnvironment()

    def _begin(self, rank: int, world_size: int) -> ProcessGroup:
        """Connect to the other processes, unless this process is connected, and begin a run."""
        global _group
        if _group is None:
            _group = self._connect(rank, world_size)
        _group.peers.on_failure = self._on_failure
        _group.peers.begin()
        return _group

    def _connect(self, rank: int, world_size: int) -> ProcessGroup:
        from torch.distributed import TCPStore

        peers = Peers(rank, world_size, float(self.config["peer_timeout"]), explain=distributed.describe_child)
        host, port = os.environ["MASTER_ADDR"], int(os.environ.get("MASTER_PORT", 0))
        # torchrun may host a store at this address. Otherwise, PyTorch creates its store with the same options again.
        is_host = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        key = f"autoencoders/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        timeout = timedelta(seconds=START_SECONDS)
        try:
            store = TCPStore(host, port, is_master=is_host, timeout=timeout, wait_for_workers=False, multi_tenant=True)
            if rank == 0:
                address = peers.listen(host, START_SECONDS)
                store.set(key, f"{address.port} {address.token}")
            else:
                listening_port, token = store.get(key).decode().split()
                peers.connect(Address(host, int(listening_port), token))
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"Rank {rank} could not reach rank 0 at {host} within {START_SECONDS:g} s ({short_reason(error)}). "
                "Check that rank 0 has started, and that the machines can connect to each other on all ports."
            ) from error
        return ProcessGroup(peers, store)

    def _start_child(self, local_rank: int, rank: int) -> subprocess.Popen:
        """Start the command of this process again, as another rank of the same run folder."""
        from hydra.core.hydra_config import HydraConfig

        import __main__

        module = __main__.__spec__
        command = [sys.executable, "-m", module.name] if module else [sys.executable, os.path.abspath(sys.argv[0])]
        command += sys.argv[1:]
        if HydraConfig.initialized():
            command += [f"hydra.run.dir={quote(str(self.config['folder']))}"]
        ranks = {"LOCAL_RANK": str(local_rank), "RANK": str(rank), launchers.STARTED_BY: str(os.getpid())}
        return subprocess.Popen(command, env={**os.environ, **ranks}, stdin=subprocess.DEVNULL)

    # Failures of other processes ------------------------------------------------------------------------------------

    def _on_failure(self, failure: Failure) -> None:
        """Give the main thread time to end. A stopped child process is killed, which ends the waiting for it."""
        child = distributed.children.get(failure.rank)
        if child is not None and failure.reporter == 0:
            child.kill()
        timer = threading.Timer(GRACE_SECONDS, self._end_process, [failure])
        timer.daemon = True
        timer.start()

    def _end_process(self, failure: Failure) -> None:
        """End this process in a thread, unless the main thread is about to end it."""
        if self._is_unwinding:
            return
        if self._tells(failure):
            print(f"autoencoders: {self._message(failure)}", file=sys.stderr, flush=True)
        if self.record is not None:
            self.record.fail(self._message(failure))
        end_children(0)
        sys.stdout.flush()
        os._exit(2)

    def _as_error(self, failure: Failure) -> BaseException:
        return PeerError(self._message(failure)) if self._tells(failure) else SystemExit(2)

    def _tells(self, failure: Failure) -> bool:
        """Return whether this process prints the failure: rank zero or, without a connection to it, one per machine."""
        rank = _group.peers.rank if _group is not None else 0
        is_first = launchers.local_rank() == 0 or rank == 1  # rank zero may be on the same machine
        return rank == 0 or (failure.reporter == rank and is_first)

    def _message(self, failure: Failure) -> str:
        hint = kept_checkpoint_hint(self.config)
        return failure.sentence if hint in failure.sentence else f"{failure.sentence}{hint}"


def end_children(seconds: float) -> None:
    """Wait for the end of the processes that this process has started, and kill those that have not ended in time."""
    for child in distributed.children.values():
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()


def _describe(error: BaseException, user_error: UserError | None) -> str:
    """Return what happened to this process as the rest of a sentence that begins with its rank."""
    if isinstance(error, RunStopped):
        return f"was stopped by {signal.Signals(error.number).name}"
    if isinstance(error, SystemExit):
        return f"has ended with exit status {error.code}"
    return f"has failed: {user_error or short_reason(error)}"
