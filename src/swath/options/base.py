"""Parts of all options: kinds of values, groups in `--help`, checks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from swath.errors import UsageError
from swath.types import PathLike, QualityReason

T = TypeVar("T")

Group: TypeAlias = Literal[
    "Options", "Data", "Split", "Network", "Loss", "Schedule", "Output", "Resume", "Resources"
]
"""Group of an option in `--help`, in this order; "Options" has the five that most people need."""


def option(default: T, help: str, group: Group = "Options", **limits: Any) -> T:
    """Declare a keyword option with its help text; `limits` are those of `pydantic.Field`."""
    extra: dict[str, Any] = {"group": group}
    info = Field(default, description=help, kw_only=True, json_schema_extra=extra, **limits)
    return cast(T, info)


def split_words(value: Any) -> Any:
    """Turn `a,b` into ["a", "b"]; a part in double quotes may have commas."""
    if isinstance(value, str):
        parts = re.findall(r'\s*("[^"]*"|[^,]+)\s*(?:,|$)', value)
        return [part.strip().strip('"') for part in parts if part.strip()]
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return [str(value)] if isinstance(value, int) else value


def _list_paths(value: Any) -> Any:
    """Turn one path into a list, and paths into text."""
    values = [value] if isinstance(value, (str, Path)) else value
    return [str(v) for v in values] if isinstance(values, (list, tuple)) else values


class Many:
    """Marks an option that can be repeated on the command line."""


def _split_reasons(value: Any) -> Any:
    """Turn `a,b` into ["a", "b"], and `none` into nothing."""
    parts = split_words(value)
    return [] if parts == ["none"] else parts


Reasons = Annotated[tuple[QualityReason, ...], BeforeValidator(_split_reasons)]


def _split_numbers(value: Any) -> Any:
    """Turn `0.1,0.2`, one number or a list into numbers."""
    return list(value) if isinstance(value, (list, tuple)) else str(value).split(",")


Groups = Annotated[Sequence[str], BeforeValidator(split_words)]

Numbers = Annotated[
    Sequence[Annotated[float, Field(allow_inf_nan=False)]], BeforeValidator(_split_numbers)
]

Globs = Annotated[Sequence[str], Many(), BeforeValidator(_list_paths)]

Split: TypeAlias = Literal["train", "val", "test"]

DROP: tuple[QualityReason, ...] = ("cloud", "shadow", "cirrus", "saturated", "unusable")
"""Reasons of quality layers for which pixels are dropped by default; `nodata` always is.

Snow and water are land cover, and through haze the ground is seen.
"""

LAST_CLEAR = 40.0
"""Cloud probability in percent from which a pixel is cloud by default."""

NODATA_HELP = "Value that means no data in images that do not declare it; nan too."
BAND_NODATA_HELP = "A pixel has data if one of its bands does; the others get their mean."
WARP_HELP = "Warp images that ground control points or RPCs place, as they are read."
QUALITY_HELP = (
    "Quality layer: auto (what a product brings), none, a file or a quoted pattern, such as "
    "'qa/{id}_SCL.tif'; scl:FILE tells the kind; repeatable."
)

DROP_HELP = (
    "What a quality layer drops: cloud, shadow, cirrus, haze, saturated, unusable, snow, water, or "
    "none; default: cloud,shadow,cirrus,saturated,unusable."
)

ERODE_HELP = (
    "Pixels around those without data that have none either, such as the ring that JPEG leaves."
)

MAX_EROSION = 256
"""Largest number of pixels by which nodata grows."""

CLEAR_HELP = "Cloud probability in percent from which a pixel is cloud."

Precision: TypeAlias = Literal["auto", "float32", "bf16", "int8"]

ENCODER = "tf_efficientnet_lite0"
"""Default encoder."""

FROZEN = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

O = TypeVar("O")


def flag_of(name: str) -> str:
    """Return the flag of an option: `--name`, or `-n` of one letter; `from_` stands for `from`."""
    word = name.rstrip("_").replace("_", "-")
    return f"--{word}" if len(word) > 1 else f"-{word}"


def command_line(options: Any) -> str:
    """Return the command with its options as it is typed in a shell, less options by default."""
    name = type(options).__name__.removesuffix("Options").lower()
    words = ["swath", name]
    for field in sorted(fields(options), key=lambda f: bool(f.kw_only)):
        info, value = options.__pydantic_fields__[field.name], getattr(options, field.name)
        parts = [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]
        if not field.kw_only:
            words += [] if value is None else parts
        elif value == info.default or (not value and not info.default):
            continue
        elif isinstance(value, bool):
            words.append(flag_of(field.name if value else f"no_{field.name}"))
        elif any(isinstance(note, Many) for note in info.metadata):
            words += [word for part in parts for word in (flag_of(field.name), part)]
        else:
            words += [flag_of(field.name), ",".join(parts) or "none"]
    return shlex.join(words)


def make_options(kind: Callable[..., O], values: dict[str, Any]) -> O:
    """Make an options object.

    Raises:
        UsageError: a value is not allowed, an option is unknown, or one is missing.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first, fix = error.errors()[0], "See the help of the command"
        names = [str(part) for part in first["loc"] if part in values]
        name = names[0] if names else str(first["loc"][0] if first["loc"] else "options")
        if first["type"] == "missing":
            message, code = f"{name.upper()} is missing", "option-missing"
            fields = getattr(kind, "__pydantic_fields__", {})
            if name in fields and fields[name].kw_only:
                message = f"Option {name} is missing"
                fix = f"Give --{name.replace('_', '-')}, in Python {name}="
        elif first["type"] == "unexpected_keyword_argument":
            message, code = f"There is no option {name}", "option-unknown"
        elif hasattr(values.get(name), "shape") or hasattr(values.get(name), "data_vars"):
            message, code = f"Option {name} is an array, and a path is wanted", "option-value"
            fix = "Write a file, or map the array with swath.Model(PATH).predict(array)"
        else:
            message, code = f"Option {name}: {first['msg']}", "option-value"
        raise UsageError(message, code=code, fix=fix) from None


def check_polygon_file(path: PathLike | None) -> None:
    """Refuse the name of a polygon file of another format.

    Raises:
        UsageError: it ends otherwise.
    """
    if path and Path(path).suffix.lower() not in (".gpkg", ".parquet"):
        raise UsageError(
            "The name of the polygon file has another ending than .gpkg and .parquet",
            code="file-extension",
            file=path,
            fix="Use one of these endings",
        )


def conflict(message: str, fix: str) -> UsageError:
    """Return the error for options that do not go together."""
    return UsageError(message, code="option-conflict", fix=fix)
