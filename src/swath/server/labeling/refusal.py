"""Requests that are refused."""

from __future__ import annotations

from swath.errors import UsageError


class Refused(UsageError):
    """A request is refused, and has changed nothing.

    Args:
        message: what is wrong, without a full stop.
        code: stable name of the reason.
        status: of the HTTP response.
        fix: what to do about it.
    """

    def __init__(
        self, message: str, *, code: str, status: int = 400, fix: str | None = None
    ) -> None:
        super().__init__(message, code=code, fix=fix)
        self.status = status
