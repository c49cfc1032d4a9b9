"""Connections between the processes of a run, by which each process learns when and why another one has ended.

A collective operation (all-reduce, broadcast) waits for all processes. If one of them has been killed, stopped or cut
off, the others would wait until the timeout of the operation, and the error would not name the process. Here, rank
zero listens on a TCP port and every other rank connects to it. Both ends send a sign of life every few seconds, from a
thread, so that a process that is busy for a long time still answers. Rank zero forwards each failure to all ranks.

Messages are JSON objects, one per line. This module imports only the standard library.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from autoencoders.utils.peer_link import BEAT_SECONDS, Link

WAITING_SECONDS = 2.0
"""Time in seconds in which all processes that wait for the same process report it."""
GREETING_BYTES = 200
"""Maximum length of the first message, which contains the token and the rank."""


class Address(NamedTuple):
    """Where rank zero listens, and the secret that a process must send first."""

    host: str
    port: int
    token: str


class Failure(NamedTuple):
    """The end of a process of the run.

    Attributes:
        rank: rank of the process.
        event: what happened, such as `was killed by SIGKILL`: the rest of a sentence that begins with the rank.
        reporter: rank of the process that noticed or reported it to this process.
    """

    rank: int
    event: str
    reporter: int

    @property
    def sentence(self) -> str:
        """The failure as a sentence."""
        return f"Rank {self.rank} {self.event}{'' if self.event.endswith('.') else '.'}"


class Peers:
    """The connections of this process to the other processes of the run.

    A process may execute several runs, one after another. A connection may end between `finish` and `begin`.

    Args:
        rank: rank of this process.
        world_size: number of processes.
        timeout: seconds after which a process that does not answer counts as failed.
        explain: returns what happened to a rank whose connection has ended, or None if it is not known.

    Attributes:
        failure: the first failure of another process; None if there is none.
        on_failure: called in a thread with this failure.
    """

    def __init__(
        self, rank: int, world_size: int, timeout: float, explain: Callable[[int], str | None] = lambda rank: None
    ) -> None:
        self.rank, self.world_size, self.timeout = rank, world_size, timeout
        self.failure: Failure | None = None
        self.on_failure: Callable[[Failure], None] = lambda failure: None
        self._explain = explain
        self._links: dict[int, Link] = {}
        self._begun, self._ended = 0, dict.fromkeys(range(world_size), 0)  # rank -> number of runs that it has finished
        self._waiting: set[int] = set()
        self._changed = threading.Condition()

    # Connecting -----------------------------------------------------------------------------------------------------

    def listen(self, host: str, start_timeout: float) -> Address:
        """Listen for the other ranks, on rank zero, and return the address to which they connect.

        Args:
            host: name or address of this machine, by which the other ranks connect.
            start_timeout: seconds after which a rank that has not connected counts as failed.
        """
        if host in ("127.0.0.1", "localhost"):
            server = socket.create_server((host, 0))
        elif socket.has_dualstack_ipv6():
            server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            server = socket.create_server(("", 0))
        address = Address(host, server.getsockname()[1], secrets.token_hex(16))
        threading.Thread(target=self._accept, args=(server, address.token, start_timeout), daemon=True).start()
        return address

    def connect(self, address: Address) -> None:
        """Connect this process to rank zero.

        Raises:
            OSError: if rank zero cannot be reached.
        """
        connection = socket.create_connection((address.host, address.port), timeout=self.timeout)
        link = self._links[0] = Link(connection, 0, self.timeout, self._receive, self.lose)
        link.send(token=address.token, rank=self.rank)
        link.start()

    def _accept(self, server: socket.socket, token: str, start_timeout: float) -> None:
        deadline = time.monotonic() + start_timeout
        with server:
            while len(self._links) < self.world_size - 1 and self.failure is None:
                server.settimeout(max(0.01, deadline - time.monotonic()))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    missing = min(set(range(1, self.world_size)) - self._links.keys())
                    return self.fail(missing, f"has not started within {start_timeout:g} s")
                rank = _read_greeting(connection, token)
                if rank is None or rank not in range(1, self.world_size) or rank in self._links:
                    connection.close()
                    continue
                self._links[rank] = Link(connection, rank, self.timeout, self._receive, self.lose)
                self._links[rank].start()

    # Events of this process -----------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether this process has begun a run and not finished it. On rank zero, other ranks count, too."""
        ranks = range(self.world_size) if self.rank == 0 else [self.rank]
        return any(self._ended[rank] < self._begun for rank in ranks)

    def begin(self) -> None:
        """Begin a run."""
        self._begun += 1

    def finish(self) -> None:
        """Tell the other ranks that this process has finished its run. On rank zero, wait for the other ranks."""
        self._ended[self.rank] = self._begun
        for link in list(self._links.values()):
            link.send(ended=self._begun)
        if self.rank == 0:
            with self._changed:
                self._changed.wait_for(lambda: self.failure is not None or not self.active)

    def report(self, event: str) -> bool:
        """Tell the other ranks that this process fails. Return whether rank zero knows it."""
        sent = [link.send(failure=[self.rank, event]) for link in list(self._links.values())]
        return self.rank == 0 or all(sent)

    def report_waiting(self, event: str) -> None:
        """Report that this process has waited too long at an exchange. Rank zero finds the process that is late.

        Args:
            event: what happened to the late process, as in `Failure`.
        """
        if self.rank == 0:
            self._add_waiting(0, event)
        else:
            self._links[0].send(waiting=event)

    # Events of other processes --------------------------------------------------------------------------------------

    def wait_for_failure(self, seconds: float) -> Failure | None:
        """Return the first failure of another process. Wait for it for at most some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.failure is not None, seconds)
            return self.failure

    def lose(self, rank: int, event: str | None = None) -> None:
        """Handle the end of a connection or of a process. It is regular if the other process has finished its run.

        Args:
            rank: rank of the other process.
            event: what happened, as in `Failure`; None if it is not known.
        """
        if self._ended[rank] < self._begun:
            self.fail(rank, event or self._explain(rank) or "has ended without a message")

    def fail(self, rank: int, event: str, reporter: int | None = None) -> None:
        """Register the failure of another process, and forward it on rank zero. Only the first failure counts.

        A failure of a process that has finished its run is ignored.
        """
        with self._changed:
            if self.failure is not None or not self.active or self._ended[rank] >= self._begun:
                return
            self.failure = Failure(rank, event, self.rank if reporter is None else reporter)
            self._changed.notify_all()
        if self.rank == 0:
            for link in list(self._links.values()):
                if link.peer != reporter:
                    link.send(failure=[rank, event])
        self.on_failure(self.failure)

    def _add_waiting(self, rank: int, event: str) -> None:
        with self._changed:
            self._waiting.add(rank)
            is_first = len(self._waiting) == 1
        if is_first:
            timer = threading.Timer(WAITING_SECONDS, self._find_late, [event])
            timer.daemon = True
            timer.start()

    def _find_late(self, event: str) -> None:
        """Let a process fail for which all others have waited. There is none if they have waited for each other."""
        late = set(range(self.world_size)) - self._waiting
        if late:
            self.fail(min(late), event)

    def _receive(self, peer: int, message: dict[str, Any]) -> None:
        if "ended" in message:
            with self._changed:
                self._ended[peer] = message["ended"]
                self._changed.notify_all()
        elif "waiting" in message:
            self._add_waiting(peer, message["waiting"])
        elif "failure" in message:
            rank, event = message["failure"]
            self.fail(rank, event, reporter=peer)


def _read_greeting(connection: socket.socket, token: str) -> int | None:
    """Return the rank in the first message of a connection, or None if the message has another token."""
    connection.settimeout(BEAT_SECONDS)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < GREETING_BYTES and (byte := connection.recv(1)):
            line += byte
        message = json.loads(line)
        return message["rank"] if secrets.compare_digest(message["token"], token) else None
    except (OSError, ValueError, KeyError, TypeError):  # a program that is not part of the run
        return None
