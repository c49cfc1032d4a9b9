"""A live page on this machine alone: requests name no file, only the page, its state, and pictures by their digest.

Nothing is written, no folder is listed, and what is not on the page is not served.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoencoders.reports.live import Live
from autoencoders.types import UserError

HOST, NAMES = "127.0.0.1", ("127.0.0.1", "localhost")
"""Where it is served, and the names by which a browser may ask: a foreign name that leads here is refused."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Handler(BaseHTTPRequestHandler):
    """Answers `GET /`, `/state` and `/picture/<digest>`, and nothing else.

    Args:
        live: what is served.
        *connection: see the base.
    """

    timeout = 10  # seconds, of a connection that says nothing
    server_version, sys_version = "autoencoders", ""

    def __init__(self, live: Live, *connection: Any) -> None:
        self.live = live
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answer."""
        # A page elsewhere whose name was made to lead here sends that name along (DNS rebinding).
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name not in NAMES:
            self._send(HTTPStatus.FORBIDDEN, b"Ask by 127.0.0.1 or localhost.\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, self.live.page(), "text/html; charset=utf-8")
        elif self.path == "/state":
            self._state()
        elif (picture := self.live.picture(self.path[1:])) is not None:
            self._send(HTTPStatus.OK, picture.content, picture.media, cache="private, max-age=31536000, immutable")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"There is nothing here.\n")

    def _state(self) -> None:
        content = self.live.state()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        same = self.headers.get("If-None-Match") == tag
        status = HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK
        self._send(status, b"" if same else content, "application/json", tag=tag)

    def _refuse(self) -> None:
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET is answered.\n")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def _send(
        self,
        status: HTTPStatus,
        content: bytes,
        media: str = "text/plain; charset=utf-8",
        *,
        tag: str | None = None,
        cache: str = "no-store",
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": media, "Content-Length": str(len(content)), "Cache-Control": cache, **HEADERS}
        headers |= {"ETag": tag} if tag else {}
        headers |= {"Allow": "GET"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """The terminal is for other things."""


class Server(ThreadingHTTPServer):
    """A server on this machine alone, whose threads end with it."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone away in the middle of an answer is nothing to speak of."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(patterns: Sequence[str], options: dict[str, Any], port: int = 0) -> tuple[Server, Live]:
    """A server of these runs that has its port and is not yet serving.

    Args:
        patterns: folders and patterns of runs.
        options: of the page, see `page.report`.
        port: 0 for one that is free.

    Raises:
        UserError: where there is no run, or the port is taken.
    """
    live = Live(patterns, options)
    try:
        return Server((HOST, port), partial(Handler, live)), live
    except OSError as error:
        raise UserError(f"Port {port} of {HOST} cannot be had: {error.strerror}. Choose another, or port=0.") from error


def serve(patterns: Sequence[str], options: dict[str, Any], port: int = 0) -> None:
    """Serve until Ctrl-C, and say where; see `server`."""
    served, live = server(patterns, options, port)
    count = f"{live.count} {'run' if live.count == 1 else 'runs'}"
    print(f"live     http://{HOST}:{served.server_port}/ ({count}; Ctrl-C ends it)", flush=True)
    with served:
        try:
            served.serve_forever()
        except KeyboardInterrupt:
            print("\nlive     ended", flush=True)
