"""The page's own files, read once and sent compressed; names outside the table are refused."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}

_NAMES = (
    "index.html docs.html viewer.css viewer.js maps.js panel.js link.js docs.css docs.js icon.svg "
    "label.html label.css label.js label-api.js label-classes.js label-draw.js label-finish.js "
    "label-layers.js label-train.js changes.js outlines.js "
    "maplibre/maplibre-gl.mjs maplibre/maplibre-gl-worker.mjs maplibre/maplibre-gl.css "
    "maplibre/LICENSE.txt maplibre/terra-draw.umd.js "
    "maplibre/terra-draw-maplibre-gl-adapter.umd.js maplibre/LICENSE-terra-draw.txt"
).split()

TYPES = {name: _MEDIA_TYPES[name.rsplit(".")[-1]] for name in _NAMES}
"""Media types by name of file."""


class _StaticFile(NamedTuple):
    content: bytes
    compressed: bytes
    tag: str


@cache
def _read(name: str) -> _StaticFile:
    content = (files("swath.server") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return _StaticFile(content, gzip.compress(content, 6, mtime=0), tag)


def send(name: str, request: Request) -> Response:
    """Return a file of the page, or 404."""
    if name not in TYPES:
        return Response("There is no such file.", 404, media_type="text/plain")
    file = _read(name)
    headers = {"etag": file.tag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.compressed, headers=headers, media_type=TYPES[name])
    return Response(file.content, headers=headers, media_type=TYPES[name])
