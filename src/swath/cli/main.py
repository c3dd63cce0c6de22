"""The program `swath`."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from swath.cli.command import Command, fail, write_sections
from swath.errors import UsageError, out_of_memory
from swath.progress import whole_run


def _wait(result: Any) -> Callable[[], None]:
    wait: Callable[[], None] = result.until_ended()
    return wait


DATA, TRAINING, MAPS = "Data", "Training", "Maps"
ACCURACY, DEMO = "Accuracy and area", "Demo"

COMMANDS = {
    command.name: command
    for command in (
        Command(
            *(DATA, "inspect", "Report what a source folder holds, and what is wrong with it."),
            ok=lambda result: result.ok,
        ),
        Command(DATA, "prepare", "Turn a source folder into a dataset for training."),
        Command(
            *(DATA, "label", "Label a scene in the browser, and see its map grow."),
            wait=_wait,
        ),
        Command(DATA, "suggest", "Find regions to label next."),
        Command(TRAINING, "train", "Train a network, and pack it into a model file."),
        Command(TRAINING, "crossvalidate", "Train and score on each part of a dataset in turn."),
        Command(
            *(TRAINING, "import", "Turn any ONNX segmentation network into a model file."),
            function="import_onnx",
        ),
        Command(
            *(TRAINING, "calibrate", "Fit the confidence of a model to labels, without training."),
        ),
        Command(TRAINING, "quantize", "Add an 8-bit network to a model file, for faster maps."),
        Command(
            *(TRAINING, "models", "List models of a folder or a catalog, and fetch one."),
            function="catalog",
        ),
        Command(TRAINING, "export", "Write a network as plain ONNX, for QGIS Deepness and others."),
        Command(
            *(MAPS, "predict", "Map one image of any size, or many."),
            ok=lambda result: not result.skipped,
        ),
        Command(MAPS, "change", "Compare maps of dates: what became what, and how sure."),
        Command(MAPS, "submit", "Map a folder of contest images into a zip file to submit."),
        Command(MAPS, "view", "Show a map in the browser, over its image.", wait=_wait),
        Command(
            *(MAPS, "serve", "Serve maps to web maps, QGIS and browsers, and predict."),
            wait=_wait,
        ),
        Command(ACCURACY, "evaluate", "Score a model or a map on a split of a dataset."),
        Command(ACCURACY, "compare", "Score two models or maps on the same split, with intervals."),
        Command(ACCURACY, "sample", "Draw points on a map for a person to label."),
        Command(ACCURACY, "area", "Estimate the area of each class in hectares, with intervals."),
        Command(
            *(DEMO, "demo", "Map the world: from labeled images to a map, on real data."),
            wait=_wait,
        ),
    )
}
"""The commands by name, in the order of `swath --help`; they are imported when they run."""

PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""UsageError of click, of which newer versions of typer have a copy of their own."""

PARSER_CODES = {
    "MissingParameter": "option-missing",
    "NoSuchOption": "option-unknown",
    "BadParameter": "option-value",
    "BadOptionUsage": "option-value",
}
"""Codes of the errors that the parser of typer raises, by the name of their class."""


class _Parsers(Mapping[str, Any]):
    """The commands as typer has them, each made when it is asked for: that needs its options."""

    def __getitem__(self, name: str) -> Any:
        return COMMANDS[name].parser

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Program(TyperGroup):
    """The program, whose help lists commands by stage."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands: Any = _Parsers()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the first line of each command's help, under its stage."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for command in COMMANDS.values():
            rows.setdefault(command.stage, []).append((command.name, command.summary))
        write_sections(formatter, rows)


app = typer.Typer(
    name="swath",
    cls=Program,
    help="Satellite images and a few labels in, land-cover maps one can trust out.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from swath import __version__

        sys.stdout.write(f"swath {__version__}\n")
        raise typer.Exit


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program.

    Exit codes: 0 done; 1 the data or the job is at fault; 2 usage; 130 interrupted (Ctrl-C or
    SIGTERM).
    """
    # At its exit Python would search all objects for garbage, several times: 0.15 s.
    atexit.register(gc.freeze)
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files and classes may be in any script
            stream.reconfigure(errors="replace")
    as_json = bool({"--json", "--json-progress"} & set(words))
    try:
        with whole_run():
            code = app(words or ["--help"], prog_name="swath", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except MemoryError:
        fail(out_of_memory(), as_json)
    except PARSER_ERROR as error:
        fail(_usage_error(error, words), as_json)
    if code == 130:
        sys.stderr.write("Interrupted.\n")
    if code or not words:
        raise SystemExit(code or 2)


def _usage_error(error: Any, words: Sequence[str]) -> UsageError:
    """Make an error of this package from one of typer's parser."""
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    name = words[0] if words and words[0] in COMMANDS else ""
    fix = f"See swath {name} --help" if name else "See swath --help"
    if "unexpected extra argument" in message:
        fix = f"Repeat a flag before each of its values, or quote a pattern. {fix}"
    return UsageError(message, code=PARSER_CODES.get(type(error).__name__, "usage"), fix=fix)
