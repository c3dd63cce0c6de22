"""Make commands from options: arguments, flags, help, `--config`, `--json`, exit codes."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import re
import sys
import traceback
import typing
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.main import get_command

from swath._imports import without_collection
from swath.cli.signals import terminate_as_interrupt
from swath.errors import JobError, SwathError, UsageError, job_error_of, out_of_memory

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

EXTRAS = {
    "serve": "titiler uvicorn fastapi starlette rio_tiler morecantile prometheus_client h11 anyio",
    "report": "jinja2",
    "cluster": "ray fsspec",
    "parquet": "pyarrow",
    "onnx": "onnx",
}
"""Packages by the extra that brings them; others come with `train`."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the program; its options and their libraries are imported when it is named.

    Attributes:
        stage: heading under which `swath --help` lists it.
        name: the word after `swath`.
        summary: first line of the docstring of its options, which is its help.
        ok: whether a result means success (exit 0) or not (exit 1).
        wait: called before the result is printed, by commands that leave something running: it
            heeds signals from then on, and returns what is called afterwards to wait for one.
        function: name of its module, its function, and its text for people, where Python does not
            allow `name`.
    """

    stage: str
    name: str
    summary: str
    ok: Callable[[Any], bool] = lambda _: True
    wait: Callable[[Any], Callable[[], None]] = lambda _: lambda: None
    function: str = ""

    @property
    def word(self) -> str:
        """Name of its function."""
        return self.function or self.name

    @property
    def options(self) -> Any:
        """Its options class: `TrainOptions` makes `swath train`."""
        with without_collection():
            return getattr(import_module("swath.options"), f"{self.name.capitalize()}Options")

    @cached_property
    def parser(self) -> Any:
        """The command as typer has it."""

        def run(**given: Any) -> None:
            how = {key: given.pop(key) for key in ("config", *SWITCHES)}
            self.run({key: value for key, value in given.items() if value not in (None, [])}, **how)

        parameters = [_parameter(field) for field in option_fields(self.options)] + _COMMON
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(
            self.name,
            cls=_GroupedHelp,
            help=inspect.getdoc(self.options),
            epilog=self.options.EXAMPLE,
        )(run)
        return get_command(alone)

    def run(self, values: dict[str, Any], config: Path | None, **switches: bool) -> None:
        """Run the command, print its result, and exit with a code where that is not 0."""
        from swath.options import make_options

        logging.basicConfig(
            level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
        )
        # GDAL's messages are part of our own errors
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)
        logged = _LoggedTexts()
        logging.getLogger("swath").addHandler(logged)
        try:
            with terminate_as_interrupt():
                read = _read_config(config, self.options) if config else {}
                for name, word in SWITCHES.items():
                    switches[name] |= bool(read.pop(word, False))
                silent = logging.ERROR if switches["quiet"] else logging.WARNING
                level = logging.INFO if switches["verbose"] else silent
                logging.getLogger("swath").setLevel(level)
                values = read | values
                make_options(self.options, values)
                with without_collection():
                    function = getattr(import_module(f"swath.commands.{self.word}"), self.word)
                with _progress_shown(switches):
                    result = function(**values)
        except Exception as error:  # noqa: BLE001 - the last net: no traceback unless asked for
            as_json = switches["as_json"] or switches["json_progress"]
            fail(_as_swath_error(error, self.name, switches["verbose"]), as_json)
        finally:
            logging.getLogger("swath").removeHandler(logged)
        ended = self.wait(result)
        self._print(result, switches)
        if not switches["quiet"]:
            for warning in getattr(result, "warnings", ()):
                if warning not in logged.texts:
                    sys.stderr.write(f"Warning: {_plain(warning)}\n")
        ended()
        if not self.ok(result):
            raise SystemExit(1)

    def _print(self, result: Any, switches: dict[str, bool]) -> None:
        """Print a result: for people, as JSON, or both as lines of JSON."""
        lines, as_json = switches["json_progress"], switches["as_json"]
        if lines or not (as_json or switches["quiet"]):
            text = getattr(import_module("swath.cli.summaries"), self.word)(result)
            text = _plain(text.rstrip())
            sys.stdout.write((json.dumps({"text": text}) if lines else text) + "\n")
        if lines or as_json:
            sys.stdout.write(json.dumps(result.model_dump(mode="json")) + "\n")
        sys.stdout.flush()


def _progress_shown(switches: dict[str, bool]) -> AbstractContextManager[None]:
    """Show progress inside the block: as lines of JSON, as bars in a terminal, else as text."""
    from swath.progress import listen

    if switches["json_progress"]:
        from swath.cli.progress_lines import ProgressLines

        return listen(ProgressLines())
    if switches["quiet"]:
        return nullcontext()
    if not sys.stderr.isatty():
        from swath.cli.progress_text import ProgressText

        return listen(ProgressText())
    from swath.cli.progress_bar import ProgressBars

    return listen(ProgressBars())


class _LoggedTexts(logging.Handler):
    """Keeps the texts that were logged, so that none is printed twice."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.add(record.getMessage())


def _as_swath_error(error: Exception, name: str, verbose: bool) -> SwathError:
    if isinstance(error, SwathError):
        return error
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").split(".")[0]
        extra = next((e for e, packages in EXTRAS.items() if package in packages.split()), "train")
        fix = f'Run `pip install "swath[{extra}]"`'
        return JobError(f"The package {error.name} is missing", code="package-missing", fix=fix)
    if isinstance(error, MemoryError):
        return out_of_memory()
    if isinstance(error, OSError):  # also in imports: torch needs a folder for temporary files
        return job_error_of(error)
    if verbose:
        traceback.print_exception(error)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return SwathError(
        f"The command {name} failed unexpectedly ({reason})",
        code="unexpected",
        fix="Please report it; -v shows the traceback",
    )


def _plain(text: str) -> str:
    """Replace control characters: names of files and classes can come from strangers."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", text)


def fail(error: SwathError, as_json: bool = False) -> typing.NoReturn:
    """Print an error as one unbroken paragraph on stderr, or also as JSON on stdout, and exit."""
    text = " ".join(f"{error} [{error.code}]".split("\n"))
    sys.stderr.write(f"Error: {_plain(text)}\n")
    if as_json:
        fields = {key: getattr(error, key) for key in ("code", "message", "file", "fix")}
        if error.findings:
            fields["findings"] = error.findings
        sys.stdout.write(json.dumps({"error": fields}) + "\n")
        sys.stdout.flush()
    raise SystemExit(error.exit_code) from None


@dataclasses.dataclass(frozen=True)
class OptionField:
    """One field of an options class, as the command line sees it; `plain` is its type less None."""

    name: str
    plain: Any
    info: FieldInfo
    positional: bool

    @property
    def flag(self) -> str:
        """The flag, such as `--name`."""
        from swath.options import flag_of

        return flag_of(self.name)

    @property
    def declaration(self) -> str:
        """The flag as it is declared; a switch can also be turned off, against `--config`."""
        return f"{self.flag}/--no-{self.flag[2:]}" if self.plain is bool else self.flag

    @property
    def help(self) -> str:
        """The description, and the default if it is a number or a word."""
        default = self.info.default
        if default is True or (isinstance(default, (str, int, float)) and default is not False):
            shown = "on" if default is True else default
            return f"{self.info.description} [default: {shown}]"
        required = self.info.is_required() and not self.positional
        return f"{self.info.description}{' [required]' if required else ''}"

    @property
    def group(self) -> str:
        """Heading in `--help`."""
        extra = self.info.json_schema_extra
        return str(extra["group"]) if isinstance(extra, dict) else "Options"

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        from swath.options import Many

        return any(isinstance(note, Many) for note in self.info.metadata)

    @property
    def metavar(self) -> str:
        """Placeholder of the value in `--help`."""
        if self.positional:
            word = self.name.upper() + ("..." if self.many else "")
            return word if self.info.is_required() else f"[{word}]"
        if get_origin(self.plain) is Literal:
            return "|".join(get_args(self.plain))
        if self.many or Path in get_args(self.plain):
            return "PATH"
        return {bool: "", int: "N", float: "X", str: "TEXT"}.get(self.plain, "VALUE")

    @property
    def parsed_as(self) -> Any:
        """Type for typer: numbers and choices are checked there, all else by the options object."""
        if self.many:
            return list[str]
        known = self.plain in (bool, int, float) or get_origin(self.plain) is Literal
        return self.plain if known else str


def option_fields(options: type) -> list[OptionField]:
    """List the fields of an options class, arguments first."""
    fields = []
    infos: dict[str, FieldInfo] = options.__pydantic_fields__  # type: ignore[attr-defined]
    for field in dataclasses.fields(options):
        plain: Any = infos[field.name].annotation
        inner = [part for part in get_args(plain) if part is not type(None)]
        if len(inner) == 1 and type(None) in get_args(plain):
            plain = inner[0]
        fields.append(OptionField(field.name, plain, infos[field.name], not field.kw_only))
    return sorted(fields, key=lambda f: not f.positional)


def _parameter(field: OptionField) -> inspect.Parameter:
    """Make a command's parameter; None means "not given", so that `--config` and defaults apply."""
    shown: dict[str, Any] = {"metavar": field.metavar, "help": field.help, "show_default": False}
    info: Any = typer.Argument(**shown)
    if not field.positional:
        info = typer.Option(field.declaration, rich_help_panel=field.group, **shown)
    kind: Any = Optional[field.parsed_as]  # noqa: UP045 - made at run time
    return _keyword(field.name, Annotated[kind, info], None)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


SWITCHES = {
    "as_json": "json",
    "json_progress": "json_progress",
    "quiet": "quiet",
    "verbose": "verbose",
}
"""Switches of all commands, and their names in `--config`."""

_COMMON = [
    _keyword(
        name,
        Annotated[kind, typer.Option(*flags, metavar="FILE", help=text, rich_help_panel="Common")],
        None if kind is Path else False,
    )
    for name, kind, flags, text in (
        ("config", Path, ["--config"], "YAML file with any of these options; flags override it."),
        ("as_json", bool, ["--json"], "Print one JSON object, the last line on stdout."),
        (
            "json_progress",
            bool,
            ["--json-progress"],
            "As --json, after lines of JSON with the progress.",
        ),
        ("quiet", bool, ["--quiet", "-q"], "Print only errors, and --json."),
        ("verbose", bool, ["--verbose", "-v"], "Print more on stderr."),
    )
]


class _GroupedHelp(TyperCommand):
    """A command whose help lists options in groups, and ends with an example."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the name of the command."""
        arguments = [_usage(p) for p in self.params if p.param_type_name == "argument"]
        return [str(self.options_metavar), *arguments]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, `Options` first and `Common` last."""
        from swath.options import Group

        order = ("Arguments", *get_args(Group), "Common")
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in order}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            rows[_heading(parameter)].append((_usage(parameter), parameter.help or ""))
        write_sections(formatter, rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example, which is not wrapped."""
        formatter.write(f"\nExample:\n  {self.epilog}\n")


def write_sections(formatter: Any, rows: dict[str, list[tuple[str, str]]]) -> None:
    """Write lists of a term and its text under their headings."""
    width = max(len(first) for section in rows.values() for first, _ in section)
    for heading, section in rows.items():
        if section:
            with formatter.section(heading):
                aligned = [(first.ljust(min(width, 24)), text) for first, text in section]
                formatter.write_dl(aligned, col_max=24)


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return str(getattr(parameter, "rich_help_panel", None) or "Common")


def _usage(parameter: Any) -> str:
    """Return the first column: `MODEL`, `--seed N`, `--[no-]resume`, `-q, --quiet`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    flags = sorted(parameter.opts, key=len)
    if parameter.secondary_opts:
        return f"--[no-]{flags[0][2:]}"
    return ", ".join(flags) if parameter.is_flag else f"{flags[0]} {parameter.metavar}"


def _read_config(path: Path, options: type) -> dict[str, Any]:
    """Read `--config`.

    Raises:
        UsageError: the file is not a YAML mapping of known options.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message, fix = f"The configuration cannot be read ({error})", "Check path and YAML syntax"
        raise UsageError(message, code="config-unreadable", file=path, fix=fix) from error
    if not isinstance(content, dict):
        message, fix = "The configuration is not a mapping", "Write one `option: value` per line"
        raise UsageError(message, code="config-not-a-mapping", file=path, fix=fix)
    known = [*(f.name for f in option_fields(options)), *SWITCHES.values()]
    words = {name.rstrip("_"): name for name in known}
    values = {}
    for key, value in content.items():
        word = str(key).replace("-", "_")
        if word.rstrip("_") not in words:
            message, fix = f"There is no option {str(key)!r}", f"Options are: {', '.join(words)}"
            raise UsageError(message, code="option-unknown", file=path, fix=fix)
        values[words[word.rstrip("_")]] = value
    return values
