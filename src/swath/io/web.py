"""Files on web servers, read within limits of size and time, by http and https alone."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from importlib.metadata import version
from typing import cast
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit

from swath.errors import DataError, JobError

TIMEOUT = 30
"""Seconds in which a server must send something."""

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 2**20
_KEPT = "%/:=&?~#+!$,;'@()*[]"
"""Characters of addresses that are sent as they are."""

_CHECK_ADDRESS = "Check the address, and whether it opens in a browser"
_TRY_AGAIN = "Run the command again"


def is_web(place: str) -> bool:
    """Return whether a place is an address of http or https."""
    return place.lower().startswith(("http://", "https://"))


def read_url(url: str, limit: int, deadline: float | None = None) -> bytes:
    """Return the content of a file on a web server; see `read_chunks`."""
    return b"".join(read_chunks(url, limit, deadline))


def read_chunks(url: str, limit: int, deadline: float | None = None) -> Iterator[bytes]:
    """Yield the content of a file on a web server.

    Args:
        url: its address.
        limit: bytes that it may have.
        deadline: time of `time.monotonic` by which all of it must be here; None for any.

    Raises:
        DataError: the server has no such file, sends more, or sends the reader elsewhere than to
            http or https, or from https to http.
        JobError: the server cannot be reached, is too slow, or ends too early.
    """
    with closing(_open(url)) as answer:
        length = answer.length
        if length is not None and length > limit:
            raise _too_large(url, limit)
        read = 0
        while chunk := _next_chunk(answer, url):
            read += len(chunk)
            if read > limit:
                raise _too_large(url, limit)
            if deadline is not None and time.monotonic() > deadline:
                raise _too_slow(url)
            yield chunk
        if length is not None and read < length:
            raise _truncated(url, f"{read} of {length} bytes")


def _next_chunk(answer: HTTPResponse, url: str) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except TimeoutError as error:
        raise _too_slow(url) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _truncated(url, type(error).__name__) from error


def _open(url: str) -> HTTPResponse:
    """Send a request; follow redirects that stay on the web, and on https where they began."""
    opener = urllib.request.OpenerDirector()  # the usual one also opens files and FTP
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    asked = url
    for _ in range(MAX_REDIRECTS + 1):
        headers = {"User-Agent": f"swath/{version('swath')}"}
        try:
            request = urllib.request.Request(quote(asked, safe=_KEPT), None, headers)
            return cast(HTTPResponse, opener.open(request, timeout=TIMEOUT))
        except HTTPError as error:
            error.close()
            target = error.headers.get("Location") if error.code in _REDIRECTS else None
            if target is None:
                message = f"The server refuses the file ({error.code} {error.reason})"
                raise DataError(message, code="http-error", file=url, fix=_CHECK_ADDRESS) from error
        except TimeoutError as error:
            raise _too_slow(url) from error
        except (OSError, HTTPException, ValueError) as error:
            message = f"The server cannot be reached ({error})"
            fix = "Check the address and the network"
            raise JobError(message, code="no-network", file=url, fix=fix) from error
        target = urljoin(asked, target)
        if not is_web(target) or is_downgrade(asked, target):
            message = f"The server sends the reader to {target[:200]!r}, which is not followed"
            fix = "Give the address of a file on the web itself"
            raise DataError(message, code="redirect-refused", file=url, fix=fix)
        asked = target
    message = f"The server sends the reader on more than {MAX_REDIRECTS} times"
    raise DataError(message, code="redirect-refused", file=url, fix=_CHECK_ADDRESS)


def is_downgrade(origin: str, target: str) -> bool:
    """Return whether a link leads from https to http, where anybody on the way can change files."""
    return urlsplit(origin).scheme == "https" and urlsplit(target).scheme != "https"


def _too_large(url: str, limit: int) -> DataError:
    message = f"The server sends more than {limit} bytes"
    return DataError(message, code="too-large", file=url, fix=_CHECK_ADDRESS)


def _too_slow(url: str) -> JobError:
    return JobError("The server is too slow", code="too-slow", file=url, fix=_TRY_AGAIN)


def _truncated(url: str, reason: str) -> JobError:
    message = f"The connection ended before the file was whole ({reason})"
    return JobError(message, code="truncated-download", file=url, fix=_TRY_AGAIN)
