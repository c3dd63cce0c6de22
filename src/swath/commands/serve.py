"""`swath serve`: maps, tiles and predictions over the network."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import PrivateAttr

from swath.commands.base import command
from swath.commands.label import SessionOptions, open_session
from swath.errors import DataError
from swath.options import ServeOptions
from swath.server.app import create_app
from swath.server.labeling.labels.opening import LabelSource
from swath.server.labeling.quick.quick_map import CONFIDENCE, MAP
from swath.server.labeling.session import LabelingSession
from swath.server.predictions.job_queue import Jobs
from swath.server.registry import Registry
from swath.server.security import AccessRules
from swath.server.uvicorn_server import ServedResult, Server, is_loopback, new_token

TOKEN = "SWATH_TOKEN"
"""Environment variable of the token; an option would show it to every user of the machine."""

MIN_TOKEN_LENGTH = 16


class ServeResult(ServedResult):
    """A server that runs until `close` is called or the program ends.

    Attributes:
        token: what requests must carry; None where only this machine can send requests.
        files: number of rasters served now (at most 1000 are counted).
    """

    token: str | None
    files: int
    _jobs: Jobs | None = PrivateAttr(default=None)
    _session: LabelingSession | None = PrivateAttr(default=None)

    def close(self) -> None:
        """Stop serving; a running prediction starts again next time."""
        super().close()
        if self._jobs:
            self._jobs.stop()
        if self._session:
            self._session.close()


@command(ServeOptions)
def serve(options: ServeOptions) -> ServeResult:
    """Serve the files under some folders, and nothing else; return while they are served.

    Raises:
        DataError: a folder or file does not exist, or the token is too short.
        JobError: the port is taken, or the folder for predictions cannot be used.
    """
    registry = Registry([Path(p) for p in options.paths])
    jobs = None
    if options.jobs is not None:
        jobs = Jobs(Path(options.jobs).resolve())
        registry.add_folder(jobs.work, "predictions")
    token = os.environ.get(TOKEN) or (None if is_loopback(options.host) else new_token())
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise DataError(
            f"The token in {TOKEN} has fewer than {MIN_TOKEN_LENGTH} characters",
            code="token-too-short",
            fix=f"Unset {TOKEN}, so that a token is generated",
        )
    rules = AccessRules(token=token, origins=frozenset(options.allow_origin))
    session, first = _open_labels(options, registry)
    try:
        app = create_app(
            registry,
            rules,
            first=first,
            jobs=jobs,
            upload=options.upload_mb * 10**6,
            labeling=session,
        )
        server = Server(app, options.host, options.port, "--port or --host")
        server.start()
    except BaseException:
        if session:
            session.close()
        raise
    if jobs:
        jobs.start()
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{server.port}/"
    result = ServeResult(url=url, token=token, files=len(registry.names()))
    result._server, result._jobs, result._session = server, jobs, session
    return result


def _open_labels(
    options: ServeOptions, registry: Registry
) -> tuple[LabelingSession | None, tuple[str, ...]]:
    """Open the labels that clients may change, and return the layers of their page.

    Raises:
        DataError: no raster is served, or the labels cannot be read.
        JobError: another process writes the labels.
    """
    if options.allow_label is None:
        return None, ()
    names = registry.names()
    if not names:
        message = "The served folders hold no raster to label"
        fix = "Name the scene first: swath serve scene.tif --allow-label fields.gpkg"
        raise DataError(message, code="nothing-to-show", fix=fix)
    path = registry.path(names[0])
    how = SessionOptions(LabelSource(Path(options.allow_label)))
    session = open_session(registry, names[0], path, [str(path)], how)
    return session, (names[0], MAP, CONFIDENCE)
