"""Options of each command: one frozen object per command.

The command line, the YAML file of `--config` and the Python signatures all come from these fields.
Annotated fields before `KW_ONLY` are the arguments of the command. `EXAMPLE` ends its help.

A class takes milliseconds to make, so that a module is imported when one of its classes is named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swath.options.base import (
    DROP,
    ENCODER,
    LAST_CLEAR,
    Group,
    Many,
    command_line,
    flag_of,
    make_options,
)

if TYPE_CHECKING:
    from swath.options.accuracy import AreaOptions, CompareOptions, EvaluateOptions, SampleOptions
    from swath.options.change import ChangeOptions
    from swath.options.maps import PredictOptions, SubmitOptions
    from swath.options.models import (
        CalibrateOptions,
        ExportOptions,
        ImportOptions,
        ModelsOptions,
        QuantizeOptions,
    )
    from swath.options.pages import (
        DemoOptions,
        LabelOptions,
        ServeOptions,
        SuggestOptions,
        ViewOptions,
    )
    from swath.options.sources import InspectOptions, PrepareOptions, SourceOptions
    from swath.options.training import CrossvalidateOptions, TrainingOptions, TrainOptions

__all__ = [
    "AreaOptions",
    "CalibrateOptions",
    "ChangeOptions",
    "CompareOptions",
    "CrossvalidateOptions",
    "DROP",
    "DemoOptions",
    "ENCODER",
    "EvaluateOptions",
    "ExportOptions",
    "Group",
    "ImportOptions",
    "InspectOptions",
    "LAST_CLEAR",
    "LabelOptions",
    "Many",
    "ModelsOptions",
    "PredictOptions",
    "PrepareOptions",
    "QuantizeOptions",
    "SampleOptions",
    "ServeOptions",
    "SourceOptions",
    "SubmitOptions",
    "SuggestOptions",
    "TrainOptions",
    "TrainingOptions",
    "ViewOptions",
    "command_line",
    "flag_of",
    "make_options",
]

_MODULES = {
    "sources": "Source Inspect Prepare",
    "training": "Training Train Crossvalidate",
    "accuracy": "Evaluate Compare Sample Area",
    "maps": "Predict Submit",
    "change": "Change",
    "models": "Calibrate Quantize Import Models Export",
    "pages": "Suggest View Serve Label Demo",
}
"""Commands whose options are in a module of this package."""

_HOMES = {f"{name}Options": module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"swath.options.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
