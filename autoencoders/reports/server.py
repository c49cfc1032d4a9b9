"""HTTP server for the live page, which can be reached only from this machine.

The server sends the page, the state of the runs, and the figures on the page. The URL of a figure contains its digest
and no path. A request can therefore not read other files. The server changes no files.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoencoders.reports.content import ReportOptions
from autoencoders.reports.live import LivePage
from autoencoders.types import RunStopped, UserError

HOST, HOST_NAMES = "127.0.0.1", ("127.0.0.1", "localhost")
"""Address of the server, and accepted values of the HTTP header `Host`. Requests with other host names are refused."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestHandler(BaseHTTPRequestHandler):
    """Answer the requests `GET /`, `GET /state` and `GET /picture/<digest>`. All other requests are refused.

    Args:
        live_page: live page whose content is served.
        *connection: arguments for the base class.
    """

    timeout = 10  # seconds after which an idle connection is closed
    server_version, sys_version = "autoencoders", ""

    def __init__(self, live_page: LivePage, *connection: Any) -> None:
        self.live_page = live_page
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Send the page, the state or a figure, or an error status for any other request."""
        # Prevent DNS rebinding: if a page of another website sends a request, the request has the host of that website.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOST_NAMES:
            self._send(HTTPStatus.FORBIDDEN, b"Use 127.0.0.1 or localhost as the host name.\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, self.live_page.page(), "text/html; charset=utf-8")
        elif self.path == "/state":
            self._send_state()
        elif (picture := self.live_page.picture(self.path[1:])) is not None:
            self._send(HTTPStatus.OK, picture.content, picture.media_type, cache="private, max-age=31536000, immutable")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"Not found.\n")

    def _send_state(self) -> None:
        """Send the state of the runs. Send only a status code if the browser already has the current state."""
        content = self.live_page.state()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", "application/json", tag=tag)
        else:
            self._send(HTTPStatus.OK, content, "application/json", tag=tag)

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


def create_server(patterns: Sequence[str], options: ReportOptions, port: int = 0) -> tuple[Server, LivePage]:
    """Create a server that listens on a port. It handles requests only after `serve_forever` is called.

    Args:
        patterns: run folders, sweep folders, or glob patterns for such folders.
        options: options that determine the content of the report.
        port: port of the server; 0 for any free port.

    Returns:
        The server and the live page that it serves.

    Raises:
        UserError: if no run is found, or the port is in use.
    """
    live_page = LivePage(patterns, options)
    try:
        return Server((HOST, port), partial(RequestHandler, live_page)), live_page
    except OSError as error:
        reason = error.strerror
        raise UserError(
            f"port must be a free port of {HOST}, but port {port} cannot be used: {reason}. Choose another port, or "
            "set port=0 for any free port."
        ) from error


def serve(patterns: Sequence[str], options: ReportOptions, port: int = 0) -> None:
    """Print the address of the live page, and serve the page until Ctrl-C. The arguments are those of `create_server`.

    Raises:
        UserError: if no run is found, or the port is in use.
    """
    server, live_page = create_server(patterns, options, port)
    count = f"{live_page.count} {'run' if live_page.count == 1 else 'runs'}"
    print(f"live     http://{HOST}:{server.server_port}/ ({count}; stop with Ctrl-C)", flush=True)
    with server:
        try:
            server.serve_forever()
        except (KeyboardInterrupt, RunStopped) as stop:  # the first without the signal handlers of the command
            if isinstance(stop, RunStopped) and stop.number != signal.SIGINT:
                raise
            print("\nlive     stopped", flush=True)
