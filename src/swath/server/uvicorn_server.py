"""The HTTP server: a socket, uvicorn in a thread, and time limits for connections."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import h11
import uvicorn
from pydantic import PrivateAttr
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from swath.errors import JobError
from swath.types import Result

HEAD_SECONDS = 10.0
"""Longest wait for the complete head of a request."""

LINGER_SECONDS = 2.0
"""How long the rest of a request that was answered early is still read."""

MAX_CONNECTIONS = 1000
"""Connections at once; further ones get a 503."""

MAX_HEAD_BYTES = 32_768
"""Largest head of a request."""


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol with time limits for the head of a request and for an unread body."""

    _deadline: Any = None
    _linger: Any = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY:
            self._cancel_linger()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._cancel_deadline()
        self._cancel_linger()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request, or read on a little, so that the client reads the response."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None


class _UvicornServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, with two threads for tiles a core; more would only wait for each other."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2 * (os.cpu_count() or 1)
        await super().startup(sockets)


class Server:
    """A server that runs in a thread.

    Args:
        app: the application.
        host: name or address to listen on.
        port: port, 0 for any that is free.
        options: those that choose host and port, for the mend of an error.

    Raises:
        JobError: the port cannot be opened.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, options: str = "--port") -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
        except (OSError, OverflowError) as error:
            raise JobError(
                f"The server cannot listen on {host}, port {port} ({error})",
                code="port-unavailable",
                fix=f"Give another {options}",
            ) from error
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            http=TimeoutProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="error",
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            backlog=512,
        )
        self._server = _UvicornServer(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="swath-server", daemon=True
        )

    def start(self) -> None:
        """Start the server.

        Raises:
            JobError: the server did not start.
        """
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise JobError(
                    "The server did not start", code="server-not-started", fix="Run it with -v"
                )

    def close(self) -> None:
        """Stop the server."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


class ServedResult(Result):
    """A running server, until `close` is called or the program ends.

    Attributes:
        url: its address.
    """

    url: str
    _server: Server = PrivateAttr()

    def until_ended(self) -> Callable[[], None]:
        """Heed SIGTERM from now on, and return a function that serves until that or Ctrl-C."""
        ended = threading.Event()
        with contextlib.suppress(ValueError):  # signals belong to the main thread
            signal.signal(signal.SIGTERM, lambda *_: ended.set())

        def wait() -> None:
            with contextlib.suppress(KeyboardInterrupt):
                while not ended.wait(1):  # Windows sees Ctrl-C between waits only
                    pass
            self.close()

        return wait

    def wait(self) -> None:
        """Serve until Ctrl-C or SIGTERM."""
        self.until_ended()()

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


def new_token() -> str:
    """Return a token of 192 random bits."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Return whether a host is reachable from this machine only."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found)
