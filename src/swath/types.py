"""Types that all packages use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from swath.errors import SwathError, as_sentence

PathLike: TypeAlias = str | Path
"""A path as users give it."""

Level: TypeAlias = Literal["error", "warning", "note"]
"""Severity of a finding: errors stop `prepare`, warnings are to be checked, notes are facts."""

OwnSplit: TypeAlias = Literal["train", "val", "test"]
"""A split that a dataset brings."""

SplitName: TypeAlias = Literal["train", "val", "test", "unlabeled"]
"""The part of a dataset that a sample belongs to."""


@dataclass(frozen=True)
class Finding:
    """One noteworthy or wrong thing in a source folder.

    Attributes:
        level: error, warning or note.
        code: stable name of the kind of finding, such as `missing-mask`.
        file: path of the file or folder at fault.
        message: what is wrong, one sentence.
        fix: what to do about it, one sentence.
        sample: name of the sample that cannot be used, for `--skip-bad`; None for the whole source.
    """

    level: Level
    code: str
    file: str
    message: str
    fix: str
    sample: str | None = None

    @classmethod
    def of_error(cls, error: SwathError, file: PathLike, sample: str | None = None) -> Finding:
        """Make a finding from an error; `file` is used where the error has none."""
        message = as_sentence(error.message[:1].upper() + error.message[1:])
        fix = as_sentence(error.fix or "Check the file")
        return cls("error", error.code, error.file or str(file), message, fix, sample)

    def as_json(self) -> dict[str, str]:
        """Return the five public fields, in the order of the JSON format."""
        return {key: getattr(self, key) for key in ("level", "code", "file", "message", "fix")}


class Result(BaseModel):
    """Result of a command: frozen; `model_dump(mode="json")` is what `--json` prints."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


Tta: TypeAlias = Literal["none", "scales", "flips", "full"]

Gsd = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["none"] | None

Decoder = Literal["unet", "unetplusplus", "fpn", "upernet", "deeplabv3plus", "segformer"]

Heads = Literal["softmax", "per-class"]

Loss = Literal["ce", "focal", "ce+dice", "focal+dice"]

ClassWeights = Literal["none", "effective", "inverse-sqrt"]
