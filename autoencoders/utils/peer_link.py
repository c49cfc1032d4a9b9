"""Connection between two processes of a run, over which both send signs of life."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

BEAT_SECONDS = 5.0
"""Maximum time in seconds between two signs of life."""


class Link(threading.Thread):
    """Connection to one other process. The thread receives its messages and sends signs of life.

    Args:
        connection: connected socket.
        peer: rank of the other process.
        timeout: seconds without any message after which the other process counts as lost.
        receive: called with each message.
        lose: called once if the other process does not answer, with what happened, or if it has closed the connection,
            with None.
    """

    def __init__(
        self,
        connection: socket.socket,
        peer: int,
        timeout: float,
        receive: Callable[[int, dict[str, Any]], None],
        lose: Callable[[int, str | None], None],
    ) -> None:
        super().__init__(daemon=True, name=f"link-to-rank-{peer}")
        self.peer, self._connection, self._timeout, self._receive, self._lose = peer, connection, timeout, receive, lose
        self._interval = min(BEAT_SECONDS, timeout / 4)
        self._lock = threading.Lock()
        connection.settimeout(self._interval)

    def send(self, **message: Any) -> bool:
        """Send a message. Return False if the connection is broken."""
        with self._lock:
            try:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                return False
        return True

    def run(self) -> None:
        """Receive messages until the connection ends or the other process does not answer."""
        heard = sent = checked = time.monotonic()
        pending = b""
        while True:
            now = time.monotonic()
            if now - checked > 2 * self._interval:  # this process itself was stopped, or a library held the GIL
                heard = now
            checked = now
            if now - heard > self._timeout:
                return self._lose(self.peer, f"has not answered for {self._timeout:g} s (peer_timeout)")
            if now - sent >= self._interval:
                self.send()
                sent = now
            try:
                self._connection.settimeout(max(0.01, sent + self._interval - now))
                data = self._connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                data = b""
            except OSError as error:
                return self._lose(self.peer, f"cannot be reached ({error.strerror or error})")
            if not data:
                return self._lose(self.peer, None)
            heard = time.monotonic()
            *lines, pending = (pending + data).split(b"\n")
            for message in filter(None, map(json.loads, lines)):
                self._receive(self.peer, message)
