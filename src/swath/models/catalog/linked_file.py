"""Documents of a catalog, on a disk or on the web, and where their links lead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

from swath.errors import DataError
from swath.io.web import is_downgrade, is_web, read_chunks
from swath.types import PathLike

_CHUNK = 2**20
_TELL_HOST = "Tell the host of the catalog, or give another one"


@dataclass(frozen=True)
class LinkedFile:
    """A document or a file, as a catalog links it.

    Attributes:
        href: its address, or its path.
        base: folder that relative links from it must stay in.
    """

    href: str
    base: str

    @classmethod
    def of(cls, catalog: PathLike) -> LinkedFile:
        """Return the place of a catalog, which is a file or an address of http or https.

        Raises:
            DataError: the address is of another scheme.
        """
        text = str(catalog)
        if is_web(text):
            return cls(text, _folder(text))
        if "://" in text:
            message = f"The address is of {text.partition('://')[0][:20]!r}, not of http or https"
            fix = "Give a file, or an address that begins with https://"
            raise DataError(message, code="url-scheme", file=text, fix=fix)
        path = Path(text).resolve()
        return cls(str(path), str(path.parent))

    def follow(self, link: str) -> LinkedFile:
        """Return where a link of this document leads.

        Raises:
            DataError: it leads out of the folder of the catalog, to another scheme than http and
                https, or from https to http.
        """
        try:
            if not (isinstance(link, str) and link.strip() and link.isprintable()):
                raise ValueError
            parts = urlsplit(link)
        except ValueError as error:
            raise self._refused(link, "is no address") from error
        if parts.scheme or parts.netloc:
            target = urljoin(self.href, link) if is_web(self.href) else link
            if not is_web(target):
                raise self._refused(link, "is not of http or https")
            if is_downgrade(self.href, target):
                raise self._refused(link, "leads from https to http")
            return LinkedFile(target, _folder(target))
        if is_web(self.href):
            target = urljoin(self.href, link)
            climbs = ".." in re.split(r"[/\\]", unquote(urlsplit(target).path))
            if climbs or not target.startswith(self.base):
                raise self._refused(link, f"leads out of {self.base}")
            return LinkedFile(target, self.base)
        name = os.fsdecode(unquote_to_bytes(parts.path))
        path = Path(self.href).parent.joinpath(name).resolve()
        if not path.is_relative_to(self.base):
            raise self._refused(link, f"leads out of {self.base}")
        return LinkedFile(str(path), self.base)

    def chunks(self, limit: int, deadline: float | None = None) -> Iterator[bytes]:
        """Yield the content; see `swath.io.web.read_chunks`.

        Raises:
            DataError: the file cannot be read, or has more bytes than `limit`.
            JobError: the server cannot be reached, is too slow, or ends too early.
        """
        if is_web(self.href):
            yield from read_chunks(self.href, limit, deadline)
            return
        path = Path(self.href)
        try:
            if path.stat().st_size > limit:
                message = f"The file has more than {limit} bytes"
                raise DataError(message, code="too-large", file=path, fix=_TELL_HOST)
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            message, fix = "There is no such file", "Check the path"
            raise DataError(message, code="no-such-file", file=path, fix=fix) from error
        except OSError as error:
            message = f"The file cannot be read ({error.strerror or error})"
            fix = "Give a file that can be read"
            raise DataError(message, code="file-access", file=path, fix=fix) from error

    def _refused(self, link: object, why: str) -> DataError:
        message = f"The link {str(link)[:200]!r} {why}"
        return DataError(message, code="link-refused", file=self.href, fix=_TELL_HOST)


def _folder(url: str) -> str:
    """Return the address of the folder of a file."""
    return urljoin(url, ".")
