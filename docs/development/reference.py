"""Write the pages of the reference that follow from the source.

Usage: python docs/development/reference.py, which writes command-line.md and api.md (from the
options) and errors.md (from the calls that make errors) into docs/reference. A test tells when one
is not current.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import swath
from swath.cli.command import Command, OptionField, option_fields
from swath.cli.main import COMMANDS
from swath.options import Group

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"
MADE = "<!-- Written by `python docs/development/reference.py`: change the options instead. -->"
ERRORS = {"DataError", "UsageError", "JobError", "ModelError", "SwathError"}


def command_line() -> str:
    """Return the page of the command line, from the options of each command."""
    lines = ["# Command line", "", MADE, "", *_COMMON, ""]
    for command in COMMANDS.values():
        lines += _command(command)
    return "\n".join(lines).rstrip() + "\n"


_COMMON = [
    "Every command is also a function of `swath` with the same options ([API](api.md)). All take:",
    "",
    "| option | |",
    "| --- | --- |",
    "| `--config FILE` | YAML of options by name; the command line wins |",
    "| `--json` | the last line on stdout is one JSON object, also for an error |",
    "| `--json-progress` | the same, after lines of JSON with the progress and the text |",
    "| `-q`, `--quiet` | nothing but errors |",
    "| `-v`, `--verbose` | more, and the traceback of unexpected errors |",
    "| `-h`, `--help` | this, in the terminal |",
    "",
    "An option with several values is repeated (`--images a.tif --images b.tif`) or is a quoted "
    "pattern. `swath --install-completion` completes commands, options and values. Exit codes: 0 "
    "done, 1 the data or the job is at fault, 2 usage, 130 interrupted.",
]


def _command(command: Command) -> list[str]:
    fields = option_fields(command.options)
    usage = [f.metavar for f in fields if f.positional]
    lines = [f"## swath {command.name}", "", inspect.getdoc(command.options) or "", ""]
    lines += ["```text", f"swath {command.name} {' '.join(usage)}".rstrip() + " [OPTIONS]"]
    lines += [f"example: {command.options.EXAMPLE}", "```"]  # type: ignore[attr-defined]
    for group in ("Arguments", *get_args(Group)):
        rows = [f for f in fields if ("Arguments" if f.positional else f.group) == group]
        if rows:
            lines += ["", f"| {group.lower()} | |", "| --- | --- |"]
            lines += [f"| <code>{_usage(f)}</code> | {_cell(f.help)} |" for f in rows]
    return [*lines, ""]


def _usage(field: OptionField) -> str:
    if field.positional:
        return field.metavar
    if field.plain is bool:
        return f"--[no-]{field.flag[2:]}"
    # GitHub and the site differ on an escaped bar in backticks.
    return f"{field.flag} {field.metavar}".replace("|", "&#124;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def errors() -> str:
    """Return the page of error codes, from the calls that make errors."""
    found: dict[str, tuple[str, str, str]] = {}
    for path in sorted((ROOT / "src" / "swath").rglob("*.py")):
        for code, kind, message, fix in _errors_of(ast.parse(path.read_text(encoding="utf-8"))):
            known = found.get(code, ("", "", ""))
            found[code] = (known[0] or kind, known[1] or message, known[2] or fix)
    lines = ["# Errors", "", MADE, "", *_ABOUT, "", "| code | kind | first message | mend |"]
    lines += ["| --- | --- | --- | --- |"]
    for code, row in sorted(found.items()):
        lines.append(f"| `{code}` | " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines) + "\n"


_ABOUT = [
    "An error names its subject, the file and what to do, and ends with a code in brackets. Codes "
    "are stable, sentences are not. With `--json` it is "
    '`{"error": {"code": ..., "message": ..., "file": ..., "fix": ...}}`; in Python it is an '
    "exception with `.code`, `.message`, `.file` and `.fix` ([API](api.md)). `DataError`: an "
    "image, a mask or a folder cannot be used as it is. `ModelError`: a model file. `UsageError`: "
    "an option (exit code 2). `JobError`: the machine cannot do the work (disk, memory, "
    "packages). A code of which one file is the reason is also a [finding](findings.md) of "
    "`swath inspect`.",
    "",
    "One message of each code; `...` is filled in.",
]


def _errors_of(tree: ast.AST) -> Iterator[tuple[str, str, str, str]]:
    """Yield code, kind, message and mend of the calls that make an error."""
    assigned = _assigned(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        text = partial(_text, assigned=assigned, line=node.lineno)
        kind = getattr(node.func, "id", getattr(node.func, "attr", ""))
        given = {k.arg: k.value for k in node.keywords if k.arg}
        code = text(given.get("code"))
        if re.fullmatch(r"[a-z][a-z-]+", code) and node.args:
            yield code, kind if kind in ERRORS else "", text(node.args[0]), text(given.get("fix"))


def _assigned(tree: ast.AST) -> dict[str, dict[int, str]]:
    """Return the texts assigned to each name by line, also of `code, fix = "a", "b"`."""
    found: dict[str, dict[int, str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=False))
        for name, part in pairs:
            if isinstance(name, ast.Name):
                found.setdefault(name.id, {})[node.lineno] = _text(part)
    return found


def _text(
    node: ast.AST | None, assigned: dict[str, dict[int, str]] | None = None, line: int = 0
) -> str:
    """Return a literal text with `...` for its fields, or the last one assigned to a name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "..." for p in node.values)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check_path":
        return (_text(node.args[1]) if len(node.args) > 1 else "Check the path") + "; ..."
    if isinstance(node, ast.Name) and assigned:
        before = [n for n in assigned.get(node.id, {}) if line - 12 <= n <= line]
        return assigned[node.id][max(before)] if before else ""
    return ""


def api() -> str:
    """Return the page of the Python API: signatures here, docstrings by mkdocstrings."""
    lines = ["# Python API", "", MADE, "", *_PYTHON]
    for name in (command.word for command in COMMANDS.values()):
        function = getattr(swath, name)
        lines += ["", f"## swath.{name}", "", "```python", _signature(name, function), "```", ""]
        lines += [f"::: {function.__module__}.{name}", *_BARE]
        for result in _results(function):
            lines += ["", f"::: {result.__module__}.{result.__qualname__}", *_NESTED]
    lines += ["", "## swath.Model", "", "::: swath.models.model.Model", *_NESTED]
    lines += ["", "## Errors", "", "::: swath.errors", *_NESTED]
    lines += ["        members: [SwathError, UsageError, DataError, ModelError, JobError]"]
    lines += ["        show_root_heading: false"]
    return "\n".join(lines) + "\n"


_PYTHON = [
    "Each command is a function of the same name and options; [its page](command-line.md) says "
    "what the options mean. A result is a frozen object with `.model_dump()` (plain "
    "dictionaries, as `--json` prints them). Nothing is printed; warnings go to the logger "
    "`swath`.",
]
_BARE = [
    "    options: {show_root_heading: false, show_root_toc_entry: false, show_signature: false}"
]
_NESTED = ["    options:", "        heading_level: 3"]


def _signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parts: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        required = parameter.default is parameter.empty
        default = getattr(parameter.default, "default", parameter.default)
        parts.append(parameter.name if required else f"{parameter.name}={default!r}")
    text = f"swath.{name}({', '.join(parts)})"
    return textwrap.fill(text, 76, subsequent_indent="    ", break_long_words=False)


def _results(function: Callable[..., Any]) -> list[type]:
    returned = inspect.signature(function, eval_str=False).return_annotation
    module = sys.modules[function.__module__]
    names = re.findall(r"\w+", returned if isinstance(returned, str) else returned.__name__)
    return [found for found in (getattr(module, n, None) for n in names) if inspect.isclass(found)]


PAGES_MADE = {"command-line.md": command_line, "errors.md": errors, "api.md": api}
"""Functions that make the pages, by the pages' names."""

if __name__ == "__main__":
    for page, make in PAGES_MADE.items():
        (PAGES / page).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"{PAGES / page}\n")
