"""HTTP server for the live page, which can be reached only from this machine.

The server sends the page, the state of the runs, and the figures on the page. The URL of a figure contains its digest
and no path. A request can therefore not read other files. The server changes no files. With an explorer, the server
also sends the explorer page, its state and its content.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from autoencoders.reports.content import ReportOptions
from autoencoders.reports.live import LivePage
from autoencoders.types import RunStopped, UserError

if TYPE_CHECKING:
    from autoencoders.explorer.live import LiveExplorer

HOST, HOST_NAMES = "127.0.0.1", ("127.0.0.1", "localhost")
"""Address of the server, and accepted values of the HTTP header `Host`. Requests with other host names are refused."""

EXPLORER = "explorer"
"""Relative URL of the explorer page."""

HTML, JSON = "text/html; charset=utf-8", "application/json"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestHandler(BaseHTTPRequestHandler):
    """Answer the requests `GET /`, `GET /state` and `GET /picture/<digest>`. All other requests are refused.

    With an explorer, the requests `GET /explorer`, `GET /explorer/state` and `GET /explorer/content` are answered too.

    Args:
        live_page: live page whose content is served.
        explorer: explorer page that is served, or None.
        *connection: arguments for the base class.
    """

    timeout = 10  # seconds after which an idle connection is closed
    server_version, sys_version = "autoencoders", ""

    def __init__(self, live_page: LivePage, explorer: LiveExplorer | None, *connection: Any) -> None:
        self.live_page, self.explorer = live_page, explorer
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Send the page, the state or a figure, or an error status for any other request."""
        # Prevent DNS rebinding: if a page of another website sends a request, the request has the host of that website.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOST_NAMES:
            self._send(HTTPStatus.FORBIDDEN, b"Use 127.0.0.1 or localhost as the host name.\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, self.live_page.page(), HTML)
        elif self.path == "/state":
            self._send_state()
        elif self.explorer is not None and self.path == f"/{EXPLORER}":
            self._send(HTTPStatus.OK, self.explorer.page(), HTML)
        elif self.explorer is not None and self.path == f"/{EXPLORER}/state":
            self._send(HTTPStatus.OK, self.explorer.state(), JSON)
        elif self.explorer is not None and self.path == f"/{EXPLORER}/content":
            self._send(HTTPStatus.OK, self.explorer.content(), JSON)
        elif (picture := self.live_page.picture(self.path[1:])) is not None:
            self._send(HTTPStatus.OK, picture.content, picture.media_type, cache="private, max-age=31536000, immutable")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"Not found.\n")

    def _send_state(self) -> None:
        """Send the state of the runs. Send only a status code if the browser already has the current state."""
        content = self.live_page.state()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", JSON, tag=tag)
        else:
            self._send(HTTPStatus.OK, content, JSON, tag=tag)

    def _refuse_method(self) -> None:
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET is allowed.\n")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse_method

    def _send(
        self,
        status: HTTPStatus,
        content: bytes,
        media_type: str = "text/plain; charset=utf-8",
        *,
        tag: str | None = None,
        cache: str = "no-store",
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": media_type, "Content-Length": str(len(content)), "Cache-Control": cache}
        headers |= SECURITY_HEADERS
        if tag:
            headers["ETag"] = tag
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Do not log requests, because the page sends a request every two seconds."""


class Server(ThreadingHTTPServer):
    """HTTP server that handles each request in a daemon thread. The threads end when the process ends."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the current exception, unless the browser has closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def create_server(
    patterns: Sequence[str], options: ReportOptions, port: int = 0, with_explorer: bool = False
) -> tuple[Server, LivePage]:
    """Create a server that listens on a port. It handles requests only after `serve_forever` is called.

    Args:
        patterns: run folders, sweep folders, or glob patterns for such folders.
        options: options that determine the content of the report.
        port: port of the server; 0 for any free port.
        with_explorer: whether the server also serves the explorer page, in which the newest decoders run.

    Returns:
        The server and the live page that it serves.

    Raises:
        UserError: if no run is found, or the port is in use.
    """
    live_page = LivePage(patterns, options, EXPLORER if with_explorer else "")
    explorer = None
    if with_explorer:
        from autoencoders.explorer.live import LiveExplorer  # imports torch

        explorer = LiveExplorer(live_page.folders)
    try:
        return Server((HOST, port), partial(RequestHandler, live_page, explorer)), live_page
    except OSError as error:
        reason = error.strerror
        raise UserError(
            f"port must be a free port of {HOST}, but port {port} cannot be used: {reason}. Choose another port, or "
            "set port=0 for any free port."
        ) from error


def serve(patterns: Sequence[str], options: ReportOptions, port: int = 0, with_explorer: bool = False) -> None:
    """Print the address of the live page, and serve the page until Ctrl-C. The arguments are those of `create_server`.

    Raises:
        UserError: if no run is found, or the port is in use.
    """
    server, live_page = create_server(patterns, options, port, with_explorer)
    count = f"{live_page.count} {'run' if live_page.count == 1 else 'runs'}"
    print(f"live     http://{HOST}:{server.server_port}/ ({count}; stop with Ctrl-C)", flush=True)
    if with_explorer:
        print(f"explorer http://{HOST}:{server.server_port}/{EXPLORER}", flush=True)
    with server:
        try:
            server.serve_forever()
        except (KeyboardInterrupt, RunStopped) as stop:  # the first without the signal handlers of the command
            if isinstance(stop, RunStopped) and stop.number != signal.SIGINT:
                raise
            print("\nlive     stopped", flush=True)
