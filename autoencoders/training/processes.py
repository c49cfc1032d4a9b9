"""The processes of one run: if one of them fails, all end, and one sentence names it.

Lightning can start the processes of one machine itself. It then kills the first process as soon as another one fails,
without a message. Therefore this module starts them, and Lightning finds them started (`LOCAL_RANK` is set).
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from autoencoders.training.process_start import ProcessGroup, connect, end_children, find_environment, start_child
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
from autoencoders.utils.peers import Failure, Peers

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from autoencoders.runs.record import Record

GRACE_SECONDS = 10.0
"""Time in seconds after the failure of a process, after which the other processes end in any case."""
CAUSE_SECONDS = 5.0
"""Time in seconds in which the cause of a broken exchange becomes known."""
CHILD_SECONDS = 3.0
"""Time in seconds that the other processes of this machine have to end after a failure, before they are killed."""

_group: ProcessGroup | None = None
"""The process group of this process; None until it is connected to other processes."""


class Processes:
    """Context manager for a run with one or several processes. With one process, it does nothing.

    If another process fails, an exception that follows from it is replaced by a `PeerError` that names the other
    process. If this process is still busy or waiting after `GRACE_SECONDS`, it ends with exit status 2.

    Args:
        config: configuration of the run.

    Attributes:
        record: record of the run, in which a failure is written; None before it exists.

    Raises:
        UserError: if a launcher has started several processes for a run with one.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config, trainer = config, config["trainer"]
        self.record: Record | None = None
        self._launcher = launchers.detect_launcher(trainer["num_nodes"])
        if not distributed.uses_several_processes(trainer):
            self._check_count(1, "1")
        self._environment = find_environment(self._launcher, trainer)
        self._is_unwinding = False

    # Before training ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Processes:
        """Connect this process to the others, if a launcher has started it as one of several processes.

        Raises:
            UserError: if rank zero cannot be reached.
        """
        environment = self._environment
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

    @property
    def trainer_options(self) -> dict[str, Any]:
        """Options of Lightning's Trainer: how the processes were started, and the timeout of exchanges with DDP."""
        from lightning.pytorch.strategies import DDPStrategy

        options: dict[str, Any] = {"plugins": [] if self._environment is None else [self._environment]}
        if self.config["trainer"].get("strategy") == "ddp":
            options["strategy"] = DDPStrategy(timeout=timedelta(seconds=self.config["exchange_timeout"]))
        return options

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
        """Start the other processes of this machine and connect to them, unless a launcher has started them."""
        from lightning.pytorch.plugins.environments import LightningEnvironment

        is_launched = self._launcher not in (None, "user") or type(self._environment) is not LightningEnvironment
        if is_launched or trainer.world_size == 1:
            return
        if _group is not None:  # this process has started the others for an earlier run
            os.environ.update(_group.variables)
            self._begin(trainer.global_rank, trainer.world_size)
            return
        names = {"NODE_RANK": trainer.node_rank, "LOCAL_RANK": trainer.local_rank, "WORLD_SIZE": trainer.world_size}
        os.environ.update({name: str(value) for name, value in names.items()})
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        group = self._begin(trainer.global_rank, trainer.world_size)
        os.environ["MASTER_PORT"] = str(group.store.port)
        group.variables = {name: os.environ[name] for name in (*names, "MASTER_ADDR", "MASTER_PORT")}
        if trainer.local_rank == 0:
            atexit.register(end_children, 10 * CHILD_SECONDS)
            for local_rank in range(1, trainer.num_devices):
                rank = trainer.global_rank + local_rank
                child = distributed.children[rank] = start_child(rank, local_rank, str(self.config["folder"]))
                threading.Thread(target=_watch, args=(child, group.peers, rank), daemon=True).start()

    def _begin(self, rank: int, world_size: int) -> ProcessGroup:
        """Connect to the other processes, unless this process is connected, and begin a run."""
        global _group
        if _group is None:
            _group = connect(rank, world_size, float(self.config["peer_timeout"]))
        _group.peers.on_failure = self._on_failure
        _group.peers.begin()
        return _group

    # End of the run -------------------------------------------------------------------------------------------------

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

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Handle an exception in a block as at the end of the run, but before it is written to the record."""
        try:
            yield
        except BaseException as error:
            self._handle(error)
            raise

    def _handle(self, error: BaseException) -> None:
        if _group is None or self._is_unwinding:
            return
        self._is_unwinding, peers = True, _group.peers
        if peers.rank == 0:
            atexit.register(end_children, CHILD_SECONDS)
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
        if peers.rank != 0 and user_error is not None and not self.config["traceback"]:
            if not is_told:
                print(f"autoencoders: {user_error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from error  # rank zero prints the error

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
        """End this process from a thread, unless the main thread is about to end it."""
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
        rank = 0 if _group is None else _group.peers.rank
        is_first = launchers.local_rank() == 0 or rank == 1  # rank zero may be on the same machine
        return rank == 0 or (failure.reporter == rank and is_first)

    def _message(self, failure: Failure) -> str:
        hint = kept_checkpoint_hint(self.config)
        return failure.sentence if hint in failure.sentence else f"{failure.sentence}{hint}"


def _watch(child: subprocess.Popen, peers: Peers, rank: int) -> None:
    """Report the end of a process, which may end before it is connected."""
    child.wait()
    peers.lose(rank)


def _describe(error: BaseException, user_error: UserError | None) -> str:
    """Return what happened to this process as the rest of a sentence that begins with its rank."""
    if isinstance(error, RunStopped):
        return f"was stopped by {signal.Signals(error.number).name}"
    if isinstance(error, SystemExit):
        return f"has ended with exit status {error.code}"
    return f"has failed: {user_error or short_reason(error)}"
