"""Checks on each request (host, origin, token, size, time) and headers on each response.

On loopback there is no token; then the `Host` header must name this machine, so that no foreign
page reaches the server under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "swath-token"

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

SEND_SECONDS = 30
"""Longest time for one chunk of a response to be sent, before the connection is closed."""

MAX_REQUEST_HEAD = 16_384
"""Largest size of a request's headers and query in bytes."""

METRIC_PATHS = frozenset(
    "cog differ outlines scene files values shares progress predict jobs label static health "
    "metrics docs".split()
)
"""First parts of paths that metrics name."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class AccessRules:
    """Who may send requests.

    Attributes:
        token: secret that a request must carry; None where only this machine can send requests.
        origins: origins of foreign pages that may read tiles and values.
    """

    token: str | None = None
    origins: frozenset[str] = frozenset()


class Metrics:
    """Counts for Prometheus."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        labels = ["path", "status"]
        self.requests = Counter("swath_requests", "Requests answered", labels, registry=own)
        self.seconds = Histogram(
            "swath_request_seconds", "Time to answer", labels[:1], registry=own
        )
        self.jobs = Gauge("swath_jobs", "Predictions by state", ["state"], registry=own)


@dataclass
class SecurityMiddleware:
    """ASGI middleware that lets in what the rules allow."""

    app: ASGIApp
    rules: AccessRules
    metrics: Metrics = field(default_factory=Metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        extra = self._extra_headers(headers)

        async def send_in_time(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {key.lower() for key, _ in message["headers"]}
                added = {
                    k.encode(): v.encode() for k, v in (extra | _caching(scope, status)).items()
                }
                message["headers"] = [
                    *message["headers"],
                    *(row for row in added.items() if row[0] not in present),
                ]
            await asyncio.wait_for(send(message), SEND_SECONDS)

        try:
            await (self._refusal(scope, headers) or self.app)(scope, receive, send_in_time)
        except TimeoutError:
            status = 408
            raise
        finally:
            first = scope["path"].split("/")[1]
            path = first if first in METRIC_PATHS else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - begun)

    def _extra_headers(self, headers: dict[str, str]) -> dict[str, str]:
        origin = headers.get("origin", "")
        if origin not in self.rules.origins:
            return {**HEADERS, "cross-origin-resource-policy": "same-origin"}
        shared = {"access-control-allow-origin": origin, "vary": "origin"}
        return {**HEADERS, **shared, "cross-origin-resource-policy": "cross-origin"}

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """Return the response to a request that must not reach the application."""
        size = sum(len(key) + len(value) for key, value in scope["headers"])
        if len(scope["query_string"]) + size > MAX_REQUEST_HEAD:
            return PlainTextResponse("The head of this request is too long.", 431)
        if self.rules.token is None and _host_name(headers.get("host", "")) not in LOCAL_HOSTS:
            return PlainTextResponse("This server answers to its own name only.", 421)
        if scope["method"] == "OPTIONS" and headers.get("origin") in self.rules.origins:
            return Response(None, 204, {"access-control-allow-headers": "authorization"})
        if scope["method"] not in ("GET", "HEAD") and _is_cross_site(headers):
            return PlainTextResponse("This request comes from a page of another server.", 403)
        if self.rules.token is None or scope["path"] == "/health":
            return None
        return _check_token(self.rules.token, scope, headers)


def _check_token(token: str, scope: Scope, headers: dict[str, str]) -> Response | None:
    """Refuse a request without the token; move a token in the page's address into a cookie."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    in_query = dict(query).get("token")
    given = (_bearer_token(headers), _cookie_token(headers), in_query)
    if not any(g is not None and hmac.compare_digest(token.encode(), g.encode()) for g in given):
        return PlainTextResponse("A token is needed here.", 401, {"www-authenticate": "Bearer"})
    if scope["path"] != "/" or in_query is None:
        return None
    rest = urlencode([pair for pair in query if pair[0] != "token"])
    response = RedirectResponse("/" + (f"?{rest}" if rest else ""), 303)
    secure = scope["scheme"] == "https"
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
    return response


def _caching(scope: Scope, status: int) -> dict[str, str]:
    """Let clients keep tiles and outlines whose address holds the file's version, nothing else."""
    versioned = b"v=" in scope["query_string"]
    paths = ("/cog/tiles/", "/differ/", "/outlines")
    kept = status == 200 and versioned and scope["path"].startswith(paths)
    return {"cache-control": "private, max-age=86400, immutable" if kept else "no-cache"}


def _host_name(host: str) -> str:
    """Return a `Host` header without its port; empty for a malformed one."""
    if not host.isprintable() or "@" in host or "/" in host:
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that do not match
        return ""


def _is_cross_site(headers: dict[str, str]) -> bool:
    origin = headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != headers.get("host", "")
    return foreign or headers.get("sec-fetch-site") == "cross-site"


def _bearer_token(headers: dict[str, str]) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _cookie_token(headers: dict[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None
