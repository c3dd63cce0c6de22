"""The program `swath`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from swath import options
from swath.cli import summaries
from swath.cli.command import Command, StagedHelp, fail
from swath.errors import UsageError, out_of_memory


def _wait(result: Any) -> None:
    result.wait()


DATA, TRAINING, MAPS = "Data", "Training", "Maps"
ACCURACY, DEMO = "Accuracy and area", "Demo"

COMMANDS = {
    command.name: command
    for command in (
        Command(DATA, options.InspectOptions, summaries.inspect, ok=lambda result: result.ok),
        Command(DATA, options.PrepareOptions, summaries.prepare),
        Command(DATA, options.LabelOptions, summaries.label, wait=_wait),
        Command(TRAINING, options.TrainOptions, summaries.train),
        Command(TRAINING, options.CrossvalidateOptions, summaries.crossvalidate),
        Command(TRAINING, options.QuantizeOptions, summaries.quantize),
        Command(TRAINING, options.ExportOptions, summaries.export),
        Command(MAPS, options.PredictOptions, summaries.predict),
        Command(MAPS, options.SubmitOptions, summaries.submit),
        Command(MAPS, options.ViewOptions, summaries.view, wait=_wait),
        Command(MAPS, options.ServeOptions, summaries.serve, wait=_wait),
        Command(ACCURACY, options.EvaluateOptions, summaries.evaluate),
        Command(ACCURACY, options.CompareOptions, summaries.compare),
        Command(ACCURACY, options.SampleOptions, summaries.sample),
        Command(ACCURACY, options.AreaOptions, summaries.area),
        Command(DEMO, options.DemoOptions, summaries.demo, wait=_wait),
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

app = typer.Typer(
    name="swath",
    cls=StagedHelp,
    help="Satellite images and a few labels in, land-cover maps one can trust out.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in COMMANDS.values():
    command.add_to(app)


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
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    try:
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
