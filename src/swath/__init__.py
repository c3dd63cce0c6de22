"""Swath: satellite images and a few labels in, land-cover maps one can trust out.

Every command of the command line is a function of the same name and options: `inspect`, `prepare`,
`train`, `crossvalidate`, `evaluate`, `compare`, `predict`, `sample`, `area`, `change`, `calibrate`,
`quantize`, `export`, `submit`, `label`, `suggest`, `view`, `serve`, `demo`; `import_onnx` is `swath
import`, and `catalog` is `swath models`. `Model` opens a model file for arrays in memory. Heavy
libraries are imported when they are used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from swath.commands.area import area
    from swath.commands.calibrate import calibrate
    from swath.commands.catalog import catalog
    from swath.commands.change import change
    from swath.commands.compare import compare
    from swath.commands.crossvalidate import crossvalidate
    from swath.commands.demo import demo
    from swath.commands.evaluate import evaluate
    from swath.commands.export import export
    from swath.commands.import_onnx import import_onnx
    from swath.commands.inspect import inspect
    from swath.commands.label import label
    from swath.commands.predict import predict
    from swath.commands.prepare import prepare
    from swath.commands.quantize import quantize
    from swath.commands.sample import sample
    from swath.commands.serve import serve
    from swath.commands.submit import submit
    from swath.commands.suggest import suggest
    from swath.commands.train import train
    from swath.commands.view import view
    from swath.errors import DataError, JobError, ModelError, SwathError, UsageError
    from swath.models.model import Model

# Unless this is set before its import, ONNX Runtime sends telemetry with an id of the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "DataError",
    "JobError",
    "Model",
    "ModelError",
    "SwathError",
    "UsageError",
    "area",
    "calibrate",
    "catalog",
    "change",
    "compare",
    "crossvalidate",
    "demo",
    "evaluate",
    "inspect",
    "import_onnx",
    "export",
    "label",
    "predict",
    "prepare",
    "quantize",
    "sample",
    "serve",
    "submit",
    "suggest",
    "train",
    "view",
]

_HOMES = {"Model": "swath.models.model"} | {
    name: f"swath.commands.{name}" for name in __all__ if name.islower()
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("swath")
    if name not in __all__:
        raise AttributeError(f"module 'swath' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "swath.errors")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
