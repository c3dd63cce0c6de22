"""How an options object becomes a command: arguments, flags, `--config`, `--json`, `-q`, `-v` and exit codes."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import re
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from swath.cli.signals import terminate_as_interrupt
from swath.errors import SwathError, UsageError, job_error_of
from swath.options import Many, make_options

_SWITCHES = {"--json", "--quiet", "--verbose", "--help", "-h", "-q", "-v", "-qv", "-vq"}
"""Flags of every verb that take no value."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A verb of the program.

    Attributes:
        options: its options class; `TrainOptions` makes `swath train`, and its docstring is the
            help.
        summarize: turns the verb's result into text for people.
        ok: whether a result means success (exit 0) or not (exit 1).
        wait: what to do after the result is printed, for verbs that leave something running.
    """

    options: type
    summarize: Callable[[Any], str]
    ok: Callable[[Any], bool] = lambda _: True
    wait: Callable[[Any], None] = lambda _: None

    @property
    def name(self) -> str:
        """The verb."""
        return self.options.__name__.removesuffix("Options").lower()

    def add_to(self, app: typer.Typer) -> None:
        """Make it a command of the program."""

        def run(**given: Any) -> None:
            how = {key: given.pop(key) for key in ("config", "as_json", "quiet", "verbose")}
            self.run({key: value for key, value in given.items() if value not in (None, [])}, **how)

        parameters = [_parameter(field) for field in _fields(self.options)] + _COMMON
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(self.name, help=inspect.getdoc(self.options))(run)

    def run(
        self, values: dict[str, Any], config: Path | None, as_json: bool, quiet: bool, verbose: bool
    ) -> None:
        """Run the verb, print its result, and leave with an exit code where that is not 0."""
        from swath.cli.progress_bar import ProgressBars
        from swath.progress import listen

        logging.basicConfig(
            level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
        )
        logging.getLogger("rasterio").setLevel(
            logging.CRITICAL
        )  # what GDAL says comes as an error of ours
        try:
            with terminate_as_interrupt():
                read = _read_config(config, self.options) if config else {}
                as_json, quiet, verbose = (
                    bool(read.pop(key, False)) or flag
                    for key, flag in (("json", as_json), ("quiet", quiet), ("verbose", verbose))
                )
                level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
                logging.getLogger("swath").setLevel(level)
                values = read | values
                make_options(self.options, values)
                verb = getattr(import_module(f"swath.commands.{self.name}"), self.name)
                with listen(ProgressBars(quiet)):
                    result = verb(**values)
        except SwathError as error:
            fail(error)
        except ModuleNotFoundError as error:
            fail(
                SwathError(
                    f"this needs the package {error.name}",
                    fix=f'Run `pip install "swath[{_extra(error.name)}]"`',
                )
            )
        except (
            OSError
        ) as error:  # while libraries are imported: torch looks for a folder for temporary files
            fail(job_error_of(error))
        except Exception as error:  # noqa: BLE001 - the last net: a user never sees a traceback unasked
            if verbose:
                traceback.print_exc()
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            fail(
                SwathError(
                    f"swath {self.name} failed unexpectedly ({reason})",
                    fix="Please report it; -v shows where",
                )
            )
        if as_json:
            sys.stdout.write(json.dumps(result.model_dump(mode="json")) + "\n")
        elif not quiet:
            sys.stdout.write(_plain(self.summarize(result).rstrip()) + "\n")
        sys.stdout.flush()
        self.wait(result)
        if not self.ok(result):
            raise SystemExit(1)

    def spread(self, words: Sequence[str]) -> list[str]:
        """Repeat the flag before each value of a list option, so that `--images a.tif b.tif` is understood.

        Such an option takes all words up to the next flag, except those that the command's
        arguments still lack.
        """
        fields = _fields(self.options)
        lists = {f.flag for f in fields if f.many and not f.positional}
        switches = {
            flag for f in fields if f.plain is bool for flag in f.declaration.split("/")
        } | _SWITCHES
        lacking = sum(f.positional and f.required for f in fields)
        runs: list[tuple[str | None, list[str]]] = [(None, [])]
        value_next = False
        for word in words:
            if word in lists and not value_next:
                runs.append((word, []))
                continue
            if word.startswith("-") and not value_next:
                runs.append((None, []))
                value_next = word not in switches and "=" not in word
            elif runs[-1][0] is None:
                lacking -= not value_next
                value_next = False
            runs[-1][1].append(word)
        for i, (flag, values) in reversed(list(enumerate(runs))):
            if flag and lacking > 0:
                keep = max(1, len(values) - lacking)
                lacking -= len(values) - keep
                runs[i : i + 1] = [(flag, values[:keep]), (None, values[keep:])]
        out: list[str] = []
        for flag, values in runs:
            out += (
                [piece for value in values for piece in (flag, value)] or [flag] if flag else values
            )
        return out


def _extra(package: str | None) -> str:
    """Return the extras that bring a package."""
    serving = {
        "titiler",
        "uvicorn",
        "fastapi",
        "starlette",
        "rio_tiler",
        "prometheus_client",
        "h11",
        "anyio",
    }
    return "serve" if (package or "").split(".")[0] in serving else "train,report"


def _plain(text: str) -> str:
    """Take out what would command a terminal: names of files and classes may be a stranger's."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", text)


def fail(error: SwathError) -> typing.NoReturn:
    """Say what went wrong in one paragraph that no terminal's width breaks, and leave."""
    sys.stderr.write("Error: " + _plain(" ".join(str(error).split("\n"))) + "\n")
    raise SystemExit(error.exit_code) from None


@dataclasses.dataclass(frozen=True)
class _Field:
    """One field of an options class, as the command line sees it."""

    name: str
    plain: Any
    notes: tuple[Any, ...]
    default: Any
    positional: bool

    @property
    def flag(self) -> str:
        """The word on the command line: two dashes and the name, one where that is a letter; `from_` stands for `from`."""
        word = self.name.rstrip("_").replace("_", "-")
        return f"--{word}" if len(word) > 1 else f"-{word}"

    @property
    def declaration(self) -> str:
        """The flag as it is declared; a switch can also be turned off, against `--config`."""
        return f"{self.flag}/--no-{self.flag[2:]}" if self.plain is bool else self.flag

    @property
    def many(self) -> bool:
        return any(isinstance(note, Many) for note in self.notes)

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def help(self) -> str:
        text = next(
            (n.description for n in self.notes if isinstance(n, FieldInfo) and n.description), ""
        )
        tells = isinstance(self.default, (str, int, float)) and not isinstance(self.default, bool)
        return f"{text} [default: {self.default}]" if tells else text

    @property
    def parsed_as(self) -> Any:
        """Numbers and choices are checked where they are typed, all else is text for the options object."""
        if self.many:
            return list[str]
        return (
            self.plain
            if self.plain in (bool, int, float) or get_origin(self.plain) is Literal
            else str
        )


def _fields(options: type) -> list[_Field]:
    """List the fields of an options class, positional ones first."""
    hints = typing.get_type_hints(options, include_extras=True)
    fields = []
    for field in dataclasses.fields(options):
        hint, notes = hints[field.name], ()
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            notes = tuple(rest)
        inner = [part for part in get_args(hint) if part is not type(None)]
        if len(inner) == 1 and type(None) in get_args(hint):
            hint = inner[0]
        fields.append(_Field(field.name, hint, notes, field.default, not field.kw_only))
    return sorted(fields, key=lambda f: not f.positional)


def _parameter(field: _Field) -> inspect.Parameter:
    """Make a command's parameter; None stands for not given, so that `--config` and defaults can fill it."""
    if field.positional:
        info: Any = typer.Argument(metavar=field.name.upper(), help=field.help, show_default=False)
    else:
        info = typer.Option(field.declaration, help=field.help, show_default=False)
    kind: Any = Optional[field.parsed_as]  # noqa: UP045 - made at run time
    annotation = Annotated[kind, info]
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _common(name: str, kind: Any, default: Any, *flags: str, text: str) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(*flags, help=text, show_default=False)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


_COMMON = [
    _common(
        "config",
        Path | None,
        None,
        "--config",
        text="YAML file with any of these options; flags win over it.",
    ),
    _common(
        "as_json",
        bool,
        False,
        "--json",
        text="Print the result as one JSON object, the last line on stdout.",
    ),
    _common("quiet", bool, False, "--quiet", "-q", text="Print nothing but errors (and --json)."),
    _common("verbose", bool, False, "--verbose", "-v", text="Say more on stderr."),
]


def _read_config(path: Path, options: type) -> dict[str, Any]:
    """Read `--config`.

    Raises:
        UsageError: the file is not a YAML mapping of known options.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"the configuration cannot be read ({error})", file=path, fix="Check the path and YAML"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            "the configuration is not a mapping", file=path, fix="Write one `option: value` a line"
        )
    known = [f.name for f in _fields(options)] + ["json", "quiet", "verbose"]
    words = {name.rstrip("_"): name for name in known}
    values = {
        words.get(word := str(key).replace("-", "_"), word): value for key, value in content.items()
    }
    for key in values:
        if key not in known:
            raise UsageError(
                f"there is no option {key!r}", file=path, fix=f"Options are: {', '.join(known)}"
            )
    return values
