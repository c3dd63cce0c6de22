"""Small words that every floor uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from swath.errors import SwathError, as_sentence

PathLike: TypeAlias = str | Path
"""A path as users give it."""

Level: TypeAlias = Literal["error", "warning", "note"]
"""How bad a finding is: errors stop `prepare`, warnings deserve a look, notes are facts."""

SplitName: TypeAlias = Literal["train", "val", "test", "unlabeled"]
"""The part of a dataset that a sample belongs to."""


@dataclass(frozen=True)
class Finding:
    """One thing that is noteworthy or wrong in a source folder.

    Attributes:
        level: error, warning or note.
        code: a stable name of the kind of finding, such as `missing-mask`.
        file: the file or folder it is about, as a path.
        message: one sentence that says what was found.
        fix: one sentence that says what to do.
        sample: name of the sample it makes unusable, for `--skip-bad`; None where it concerns the
            whole source.
    """

    level: Level
    code: str
    file: str
    message: str
    fix: str
    sample: str | None = None

    @classmethod
    def of_error(cls, error: SwathError, file: PathLike, sample: str | None = None) -> Finding:
        """Make the finding that says the same as an error; `file` is used where the error names none."""
        message = as_sentence(error.message[:1].upper() + error.message[1:])
        return cls(
            "error",
            error.code,
            error.file or str(file),
            message,
            as_sentence(error.fix or "Look at the file"),
            sample,
        )

    def as_json(self) -> dict[str, str]:
        """Return the five public fields, in the order of the contract."""
        return {
            "level": self.level,
            "code": self.code,
            "file": self.file,
            "message": self.message,
            "fix": self.fix,
        }


class Result(BaseModel):
    """What a verb returns: frozen, and with `model_dump(mode="json")` the object that `--json` prints."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


Tta: TypeAlias = Literal["none", "scales", "flips", "full"]

Gsd = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["none"] | None

Decoder = Literal["unet", "unetplusplus", "fpn", "upernet", "deeplabv3plus", "segformer"]

Heads = Literal["softmax", "per-class"]

Loss = Literal["ce", "focal", "ce+dice", "focal+dice"]

ClassWeights = Literal["none", "effective", "inverse-sqrt"]
