"""Running the server: a socket, uvicorn in a thread, and connections that do not wait for ever."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import threading
from typing import Any

import anyio.to_thread
import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from swath.errors import JobError

HEAD_SECONDS = 10.0
"""A connection on which no whole request arrives for so long is closed."""

LINGER_SECONDS = 2.0
"""What still comes of a request that was answered is read for so long."""

MOST_CONNECTIONS = 1000
"""Connections at once; further ones are told to come again (503)."""

HEAD_BYTES = 32_768
"""Largest head of a request."""


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol, which of itself would wait for ever for the end of a request's head, or for a body nobody reads."""

    _deadline: Any = None
    _linger: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        super().data_received(data)
        if self._linger is not None and self.conn.their_state is not h11.SEND_BODY:
            self._linger.cancel()
            self._linger = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._forget()
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request; of one that was answered too soon for it, a little more is read, so that it hears."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _UvicornServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, with as many threads for tiles as the cores can feed; many more would only wait for each other."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2 * (os.cpu_count() or 1)
        await super().startup(sockets)


class Server:
    """A server that runs in a thread.

    Args:
        app: the application.
        host: name or address to listen on.
        port: port, 0 for any that is free.

    Raises:
        JobError: it cannot listen there.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
        except (OSError, OverflowError) as error:
            raise JobError(
                f"cannot listen on {host}, port {port} ({error})",
                fix="Give another --port or --host",
            ) from error
        self.port = int(self._socket.getsockname()[1])
        self._server = _UvicornServer(
            uvicorn.Config(
                app,
                http=TimeoutProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="error",
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=HEAD_BYTES,
                backlog=512,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="swath-server", daemon=True
        )

    def start(self) -> None:
        """Begin to answer.

        Raises:
            JobError: it ended at once.
        """
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise JobError("the server did not start", fix="Run it with -v")

    def close(self) -> None:
        """Stop answering."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


def wait_for_signal() -> None:
    """Wait until someone presses Ctrl-C or ends the process; return then."""
    ended = threading.Event()
    with contextlib.suppress(ValueError):  # signals belong to the main thread
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with contextlib.suppress(KeyboardInterrupt):
        ended.wait()


def new_token() -> str:
    """Return a token that nobody guesses: 192 random bits."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens there."""
    import ipaddress

    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found)
