"""What every request passes before it is answered: host, origin, token, and limits on time; and what every answer carries.

On loopback there is no token; then the `Host` header must name this machine, so that no foreign
page reaches the server by a name of its own that leads here (DNS rebinding).
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

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

SEND_SECONDS = 30
"""A client that takes no byte of an answer for so long is let go."""

MOST_HEAD = 16_384
"""Bytes of a request's headers and query at most."""

KNOWN = (
    "cog",
    "differ",
    "scene",
    "files",
    "values",
    "shares",
    "progress",
    "predict",
    "jobs",
    "static",
    "health",
    "metrics",
    "docs",
)
"""First parts of paths, as metrics name them."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class AccessRules:
    """Who may ask.

    Attributes:
        token: what a request must show; None where only this machine can ask.
        hosts: names that `Host` may have besides this machine's where there is no token.
        origins: origins of foreign pages that may read tiles and values.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()


class Metrics:
    """Counts for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["path"]
        self.requests = Counter(
            "swath_requests", "Requests answered", [*names, "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "swath_request_seconds", "Time to answer", names, registry=self.registry
        )
        self.jobs = Gauge("swath_jobs", "Predictions by state", ["state"], registry=self.registry)


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
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        extra = self._extra(scope, headers)

        async def patient(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                had = {key.lower() for key, _ in message["headers"]}
                more = extra | _caching(scope, status)
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in more.items() if k.encode() not in had),
                ]
            await asyncio.wait_for(send(message), SEND_SECONDS)

        try:
            answer = self._refusal(scope, headers)
            await (answer or self.app)(scope, receive, patient)
        except TimeoutError:
            status = 408
            raise
        finally:
            first = scope["path"].split("/")[1]
            path = first if first in KNOWN else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - begun)

    def _extra(self, scope: Scope, headers: dict[str, str]) -> dict[str, str]:
        origin = headers.get("origin", "")
        if origin not in self.rules.origins:
            return {**HEADERS, "cross-origin-resource-policy": "same-origin"}
        return {
            **HEADERS,
            "access-control-allow-origin": origin,
            "vary": "origin",
            "cross-origin-resource-policy": "cross-origin",
        }

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """Return the answer to a request that goes no further."""
        if (
            len(scope["query_string"])
            + sum(len(key) + len(value) for key, value in scope["headers"])
            > MOST_HEAD
        ):
            return PlainTextResponse("The head of this request is too long.", 431)
        host = headers.get("host", "")
        if self.rules.token is None and _name(host) not in LOCAL | self.rules.hosts:
            return PlainTextResponse("This server answers to its own name only.", 421)
        origin = headers.get("origin")
        if scope["method"] == "OPTIONS" and origin in self.rules.origins:
            return Response(
                status_code=204, headers={"access-control-allow-headers": "authorization"}
            )
        foreign = origin is not None and urlsplit(origin).netloc != host
        if scope["method"] not in ("GET", "HEAD") and (
            foreign or headers.get("sec-fetch-site") == "cross-site"
        ):
            return PlainTextResponse("This request comes from a page of another server.", 403)
        if self.rules.token is None or scope["path"] == "/health":
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get("token")
        if not any(
            _same(self.rules.token, given) for given in (_bearer(headers), _cookie(headers), shown)
        ):
            return PlainTextResponse("A token is needed here.", 401, {"www-authenticate": "Bearer"})
        if scope["path"] == "/" and shown is not None:
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse("/" + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(
                COOKIE,
                self.rules.token,
                httponly=True,
                samesite="strict",
                secure=scope["scheme"] == "https",
            )
            return answer
        return None


def _caching(scope: Scope, status: int) -> dict[str, str]:
    """Let a tile whose address holds the version of its file be kept; all else is asked for again."""
    lasting = (
        status == 200
        and b"v=" in scope["query_string"]
        and scope["path"].startswith(("/cog/tiles/", "/differ/"))
    )
    return {"cache-control": "private, max-age=86400, immutable" if lasting else "no-cache"}


def _name(host: str) -> str:
    """Return a `Host` header without its port."""
    return (
        (urlsplit(f"//{host}").hostname or "")
        if host.isprintable() and "@" not in host and "/" not in host
        else ""
    )


def _same(token: str, given: str | None) -> bool:
    return given is not None and hmac.compare_digest(token.encode(), given.encode())


def _bearer(headers: dict[str, str]) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _cookie(headers: dict[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None
