"""`swath serve`: maps, tiles and predictions for others."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import PrivateAttr

from swath.commands.base import command
from swath.errors import DataError
from swath.options import ServeOptions
from swath.server.app import create_app
from swath.server.jobs import Jobs
from swath.server.registry import Registry
from swath.server.security import AccessRules
from swath.server.uvicorn_server import Server, is_loopback, new_token, wait_for_signal
from swath.types import Result

TOKEN = "SWATH_TOKEN"
"""Environment variable that holds the token; a flag would show it to everybody on the machine."""


class ServeResult(Result):
    """A server that runs, until `close` is called or the program ends.

    Attributes:
        url: its address.
        token: what requests must show; None where only this machine can ask.
        files: how many rasters it serves now (at most 1000 are counted).
    """

    url: str
    token: str | None
    files: int
    _server: Server = PrivateAttr()
    _jobs: Jobs | None = PrivateAttr(default=None)

    def wait(self) -> None:
        """Serve until someone presses Ctrl-C or ends the process."""
        wait_for_signal()
        self.close()

    def close(self) -> None:
        """Stop serving; a prediction that runs is begun again next time."""
        self._server.close()
        if self._jobs:
            self._jobs.stop()


@command(ServeOptions)
def serve(options: ServeOptions) -> ServeResult:
    """Serve the files under some folders, and nothing else; return while they are being served.

    Raises:
        DataError: a folder or file does not exist.
        JobError: the port is taken, or the folder for predictions cannot be used.
    """
    registry = Registry([Path(p) for p in options.paths])
    jobs = None
    if options.jobs is not None:
        jobs = Jobs(Path(options.jobs).resolve())
        registry.add_folder(jobs.work, "predictions")
    local = is_loopback(options.host)
    token = os.environ.get(TOKEN) or (None if local else new_token())
    if token is not None and len(token) < 16:
        raise DataError(
            f"the token in {TOKEN} has fewer than 16 characters",
            fix="Leave it out, and one is made",
        )
    rules = AccessRules(token=token, origins=frozenset(options.allow_origin))
    server = Server(
        create_app(registry, rules, jobs=jobs, upload=options.upload_mb * 10**6),
        options.host,
        options.port,
    )
    server.start()
    if jobs:
        jobs.start()
    shown = f"[{options.host}]" if ":" in options.host else options.host
    result = ServeResult(
        url=f"http://{shown}:{server.port}/", token=token, files=len(registry.names())
    )
    result._server, result._jobs = server, jobs
    return result
