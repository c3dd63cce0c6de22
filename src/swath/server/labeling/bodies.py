"""Bodies of requests: JSON of bounded size and depth, in bounded time, and their fields."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from swath.server.labeling.labels.class_table import MAX_NAME
from swath.server.labeling.labels.label_store import Source
from swath.server.labeling.refusal import Refused

MAX_BYTES = 8_000_000
"""Largest body."""

MAX_FEATURES = 500
"""Features of one request, at most."""

BODY_SECONDS = 30.0
"""Longest time that a body may take to arrive."""

B = TypeVar("B", bound="Body")

Degrees = Annotated[float, Field(ge=-720, le=720, allow_inf_nan=False)]
Id = Annotated[int, Field(ge=0, lt=2**63)]
View = tuple[Degrees, Degrees, Degrees, Degrees]


ClassName = Annotated[str | None, Field(alias="class", max_length=200)]


class Body(BaseModel):
    """What a client sends; unknown fields are refused.

    Attributes:
        author: who sends it; None for the user of the server.
    """

    model_config = ConfigDict(extra="forbid", strict=False)

    author: Annotated[str, Field(max_length=MAX_NAME)] | None = None


class FeatureBody(BaseModel):
    """A new label; its class by name or code.

    Attributes:
        radius: of a round brush that follows the geometry, in degrees of longitude of the page.
        key: random text; a label that is sent again with its key is stored once.
    """

    model_config = ConfigDict(extra="forbid")

    geometry: dict[str, Any]
    class_: ClassName = None
    code: Id | None = None
    source: Source = "drawn"
    radius: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    key: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{16,64}$")] | None = None


class FeaturesBody(Body):
    """New labels."""

    features: Annotated[list[FeatureBody], Field(min_length=1)]


class ChangeBody(Body):
    """A change of a label."""

    geometry: dict[str, Any] | None = None
    class_: ClassName = None
    code: Id | None = None
    seen: Annotated[str, Field(max_length=100)] | None = None


class IdsBody(Body):
    """Ids of labels."""

    ids: Annotated[list[Id], Field(max_length=100_000)]


class ClassBody(Body):
    """A new class."""

    name: Annotated[str, Field(max_length=1000)]
    color: Annotated[str, Field(max_length=20)] | None = None
    code: Id | None = None


class ClassChangeBody(Body):
    """A change of a class."""

    name: Annotated[str, Field(max_length=1000)] | None = None
    color: Annotated[str, Field(max_length=20)] | None = None


class OrderBody(Body):
    """Codes of all classes in a new order."""

    codes: Annotated[list[Id], Field(max_length=1000)]


class ViewBody(Body):
    """What the page shows: west, south, east, north in degrees."""

    view: View


class AcceptBody(Body):
    """An area of the quick map that becomes labels."""

    geometry: dict[str, Any]
    codes: Annotated[list[Id], Field(max_length=1000)] | None = None
    min_confidence: Annotated[int, Field(ge=0, le=100)] = 0


class ObjectBody(Body):
    """A point, and how unlike it the pixels of one object may be."""

    point: tuple[Degrees, Degrees]
    tolerance: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.15


async def json_body(request: Request) -> Any:
    """Return the JSON object of a request.

    Raises:
        Refused: 415 another media type, 413 too large, 408 too slow, 400 not JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("The body is not application/json", code="not-json", status=415)
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:15]) > MAX_BYTES:
        raise _too_large()
    try:
        content = await asyncio.wait_for(_received(request), BODY_SECONDS)
    except TimeoutError:
        raise Refused("The body comes too slowly", code="too-slow", status=408) from None
    except ClientDisconnect:
        raise Refused("The body was cut off", code="cut-off") from None
    try:
        return json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON of finite numbers", code="not-json") from None


async def _received(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise _too_large()
    return bytes(content)


def parsed(kind: type[B], content: Any) -> B:
    """Return the fields of a body.

    Raises:
        Refused: a field is missing, unknown or of another type.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise Refused(f"Field {where!r}: {first['msg']}", code="bad-request") from None


def _too_large() -> Refused:
    message = f"The body is larger than {MAX_BYTES} bytes"
    return Refused(message, code="body-too-large", status=413, fix="Send it in parts")


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
