"""Types that all packages use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from swath.errors import DataError, SwathError, as_sentence

PathLike: TypeAlias = str | Path
"""A path as users give it."""

Faults: TypeAlias = list[tuple[str, DataError]]
"""Errors of single entries of many, each with the name or path of the entry."""

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


MAX_FILES = 3
"""Files of one kind of finding that a summary or an error names."""


def findings_by_kind(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return findings in lists of one level and code, in the order of their first."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.level, finding.code), []).append(finding)
    return list(kinds.values())


def first_files(kind: Sequence[Finding]) -> str:
    """Return the first `MAX_FILES` files of a kind of finding, in their order."""
    files = list(dict.fromkeys(f.file for f in kind))
    return ", ".join(files[:MAX_FILES]) + (", ..." if len(files) > MAX_FILES else "")


def describe_kind(kind: Sequence[Finding]) -> str:
    """Return one line on findings of one kind: code, count, first files, message and mend.

    Where messages differ, each of the first files has its own; the mend is that of the first.
    """
    first, shown = kind[0], kind[:MAX_FILES]
    if len(kind) == 1:
        return f"{first.code}: {first.file}: {first.message} {first.fix}"
    if len({f.message for f in kind}) == 1:
        return f"{first.code} ({len(kind)}): {first_files(kind)}: {first.message} {first.fix}"
    texts = " ".join(f"{f.file}: {f.message}" for f in shown)
    more = " ..." if len(kind) > len(shown) else ""
    return f"{first.code} ({len(kind)}): {texts}{more} {first.fix}"


class Result(BaseModel):
    """Result of a command: frozen; `model_dump(mode="json")` is what `--json` prints."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


QualityReason: TypeAlias = Literal[
    "nodata", "cloud", "shadow", "cirrus", "haze", "saturated", "unusable", "snow", "water"
]
"""Why a pixel may be dropped; a pixel with several counts for the first of them."""

Tta: TypeAlias = Literal["none", "scales", "flips", "full"]

Gsd = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["none"] | None

Decoder = Literal["unet", "unetplusplus", "fpn", "deeplabv3plus", "segformer"]

PixelFeatures = Literal[
    "encoder", "bands", "local", "encoder-local", "model", "encoder-model", "encoder-local-model"
]
"""What describes a pixel for the quick recipe: bands alone, with their local mean and deviation,
with feature maps of the encoder, or also with the scores and the last feature map of
a model that is adapted."""

DESCRIBED_BY: dict[PixelFeatures, str] = {
    "encoder": "bands and feature maps of the encoder",
    "bands": "bands alone",
    "local": "bands with their mean and deviation around each pixel",
    "encoder-local": "bands, their mean and deviation around each pixel, and feature maps",
    "model": "bands, and scores and last feature map of the model",
    "encoder-model": "bands, feature maps of the encoder, and those and scores of the model",
    "encoder-local-model": "bands, their mean and deviation around each pixel, feature maps of the "
    "encoder, and those and scores of the model",
}
"""`PixelFeatures` in words."""

Adapted = Literal["unchanged", "corrected"]
"""How a model was adapted, by scores on labels that were held out in turn."""

ADAPTED: dict[Adapted, str] = {
    "unchanged": "the model as it is",
    "corrected": "the model corrected by the labels",
}
"""`Adapted` in words."""

Heads = Literal["softmax", "per-class"]

OutputKind = Literal["logits", "probabilities", "sigmoid", "labels"]
"""What the output of an imported network is: scores for a softmax, its probabilities, those of
independent masks, or class numbers."""

Loss = Literal["ce", "focal", "ce+dice", "focal+dice"]

ClassWeights = Literal["none", "effective", "inverse-sqrt"]
