"""The page's own files: read once, sent small. A name that is not in the table is not a file."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    "index.html": "text/html; charset=utf-8",
    "docs.html": "text/html; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "maps.js": "text/javascript; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "link.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "maplibre/maplibre-gl.mjs": "text/javascript; charset=utf-8",
    "maplibre/maplibre-gl-worker.mjs": "text/javascript; charset=utf-8",
    "maplibre/maplibre-gl.css": "text/css; charset=utf-8",
    "maplibre/LICENSE.txt": "text/plain; charset=utf-8",
}


class _StaticFile(NamedTuple):
    content: bytes
    small: bytes
    tag: str


@cache
def _read(name: str) -> _StaticFile:
    content = (files("swath.server") / "static" / name).read_bytes()
    return _StaticFile(
        content, gzip.compress(content, 6, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    )


def send(name: str, request: Request) -> Response:
    """Return a file of the page, or 404."""
    if name not in TYPES:
        return Response("There is no such file.", 404, media_type="text/plain")
    file = _read(name)
    headers = {"etag": file.tag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            file.small, headers=headers | {"content-encoding": "gzip"}, media_type=TYPES[name]
        )
    return Response(file.content, headers=headers, media_type=TYPES[name])
