"""A web server whose answers the tests choose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """Serves a folder, and answers of its own at some paths.

    Attributes:
        folder: what it serves.
        answers: functions by path, which answer instead.
        asked: paths of all requests.
    """

    folder: Path
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def redirect(self, path: str, target: str) -> None:
        """Send who asks for `path` to `target`."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", target)
            request.end_headers()

        self.answers[path] = answer

    def send(self, path: str, content: bytes, length: int | None = None) -> None:
        """Send `content`, and tell another length."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            if length is not None:
                request.send_header("Content-Length", str(length))
            request.end_headers()
            request.wfile.write(content)

        self.answers[path] = answer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            file = folder / unquote(self.path).lstrip("/")
            if self.path in site.answers:
                site.answers[self.path](self)
            elif file.is_file():
                self.send_response(200)
                self.send_header("Content-Length", str(file.stat().st_size))
                self.end_headers()
                self.wfile.write(file.read_bytes())
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
