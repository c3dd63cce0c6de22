"""Images of a batch that cannot be mapped: they end it, or are left out where the user asks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from swath.errors import DataError
from swath.mapping.inputs import ImageInput
from swath.types import Finding

T = TypeVar("T")
log = logging.getLogger(__name__)


class BadImages:
    """Takes the errors of single images.

    Args:
        skip: whether images with errors are left out.
        many: whether there are other images.

    Attributes:
        findings: the errors of the images that were left out.
    """

    def __init__(self, skip: bool, many: bool) -> None:
        self.findings: list[Finding] = []
        self._skip, self._many = skip, many
        self._first: DataError | None = None

    @property
    def names(self) -> list[str]:
        """Names of the images that were left out."""
        return [finding.sample for finding in self.findings if finding.sample is not None]

    def try_on(self, image: ImageInput, work: Callable[[], T]) -> T | None:
        """Return the result of work on an image, None where it is left out.

        Raises:
            DataError: the image is damaged or does not fit, and is not to be left out.
        """
        try:
            return work()
        except DataError as error:
            if not self._skip:
                if self._many:
                    fix = error.fix or "Check the file"
                    error.fix = f"{fix}; --skip-bad leaves out such images"
                raise
            self.leave_out(error, image.files[0], image.name)
            return None

    def leave_out(self, error: DataError, file: str, name: str) -> None:
        """Note the error of an image that is left out."""
        self._first = self._first or error
        self.findings.append(Finding.of_error(error, file, name))
        log.warning(f"{name} is left out: {error}")

    def check_left(self, left: int) -> None:
        """Raise the first error where no image is left."""
        if not left and self._first is not None:
            raise self._first


def open_once(image: ImageInput) -> bool:
    """Open an image and close it, so that what cannot be opened is found before the work.

    Raises:
        DataError: it cannot be opened.
    """
    image.open().close()
    return True
