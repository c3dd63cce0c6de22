"""The public API and the help of all commands are those of tests/snapshots: `make snapshots`."""

import dataclasses
import inspect
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import swath
from swath import options
from swath.cli.command import option_fields
from swath.cli.main import COMMANDS, app
from swath.types import Result

FOLDER = Path(__file__).parent / "snapshots"


def signature(function):
    """Return names, kinds and defaults; annotations are written otherwise by each Python."""
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))


def members(kind):
    """Yield a line each for what a class shows."""
    for name, value in sorted(vars(kind).items()):
        if name.startswith("_"):
            continue
        if inspect.isfunction(value) or isinstance(value, (classmethod, staticmethod)):
            yield f"  .{name}{signature(getattr(kind, name))}"
        else:
            yield f"  .{name}"


def api():
    """Yield a line each for the names of `swath`, and for the fields of its results."""
    for name in sorted(swath.__all__):
        value = getattr(swath, name)
        yield f"swath.{name}{signature(value)}"
        if inspect.isclass(value):
            yield from members(value)
    for kind in sorted(Result.__subclasses__(), key=lambda kind: kind.__name__):
        if kind.__module__.startswith("swath.commands."):
            yield f"{kind.__name__}: {', '.join(kind.model_fields)}"


def flags(command):
    """Yield a line each for the options of a command, as its help shows them."""
    for field in option_fields(command.options):
        word = "" if field.positional else f"{field.declaration} "
        yield f"  {word}{field.metavar}  [{field.group}] {field.help}".rstrip()


def check(name, lines):
    path, text = FOLDER / f"{name}.txt", "\n".join(lines) + "\n"
    if os.environ.get("SWATH_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make snapshots` if the change is meant"


def test_the_public_api():
    check("api", api())


def test_the_options_of_all_commands():
    lines = (line for c in COMMANDS.values() for line in (f"swath {c.name}", *flags(c)))
    check("options", lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_each_option(name):
    run = CliRunner().invoke(app, [name, "--help"], terminal_width=100)
    text = run.output
    kind = COMMANDS[name].options
    assert run.exit_code == 0 and dataclasses.is_dataclass(kind)
    assert kind.__name__ in options.__all__
    for field in option_fields(kind):
        assert (field.name.upper() if field.positional else field.flag.removeprefix("--")) in text
