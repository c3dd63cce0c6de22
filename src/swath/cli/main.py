"""The program `swath`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from swath.cli import (
    area,
    compare,
    crossvalidate,
    demo,
    evaluate,
    export,
    inspect,
    predict,
    prepare,
    quantize,
    sample,
    serve,
    submit,
    train,
    view,
)
from swath.cli.command import fail
from swath.errors import SwathError

VERBS = (
    inspect,
    prepare,
    train,
    crossvalidate,
    evaluate,
    compare,
    predict,
    sample,
    area,
    quantize,
    export,
    submit,
    view,
    serve,
    demo,
)
COMMANDS = {c.name: c for c in (m.COMMAND for m in VERBS)}

app = typer.Typer(
    name="swath",
    help="Satellite images and a few labels in, land-cover maps one can trust out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS.values():
    command.add_to(app)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
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
    command = COMMANDS.get(words[0]) if words else None
    if command:
        words = [words[0], *command.spread(words[1:])]
    try:
        app(words)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None
    except MemoryError:
        fail(
            SwathError(
                "there is not enough memory", fix="Close other programs, or use a machine with more"
            )
        )
