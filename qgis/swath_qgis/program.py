"""The program `swath`: where it is, and how it is run. QGIS's Python never imports it."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

from qgis import core

from .texts import tr

SETTING = "swath/program"
FOREIGN = (
    "PYTHONHOME PYTHONPATH PYTHONEXECUTABLE PYTHONNOUSERSITE GDAL_DATA GDAL_DRIVER_PATH PROJ_LIB "
    "PROJ_DATA SSL_CERT_FILE VIRTUAL_ENV __PYVENV_LAUNCHER__"
).split()
"""Variables by which QGIS places its own Python, GDAL and PROJ; the program has others."""

PATIENCE = 30
"""Seconds in which a cancelled program can put away its unfinished files."""


class ProgramError(Exception):
    """The program is missing, or ended with an error."""


class Canceled(Exception):
    """The user has cancelled the run."""


def find_program() -> str:
    """Return the path of the program: that of the settings, else the one on the PATH."""
    chosen = str(core.QgsSettings().value(SETTING, "") or "")
    found = shutil.which(chosen or "swath")
    if found is None:
        text = tr("The program {} is not found").format(chosen or "swath")
        where = tr("Give its path, or install it, in Settings > Options > Swath")
        raise ProgramError(f"{text}. {where}")
    return found


def environment() -> dict[str, str]:
    """Return the environment variables for a program with a Python of its own."""
    kept = {k: v for k, v in os.environ.items() if k not in FOREIGN}
    return {**kept, "PYTHONUTF8": "1"}


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start a program with pipes for its output, without a window."""
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    how = {"text": True, "encoding": "utf-8", "errors": "replace", "env": environment()}
    return subprocess.Popen([*words], **pipes, **how, **hidden)  # type: ignore[call-overload]


def lines_of(process: subprocess.Popen[str], is_canceled: Callable[[], bool]) -> Any:
    """Yield what a program prints, as pairs of stream ("out" or "err") and line.

    When the user has cancelled, the program is ended, and `Canceled` raised.
    """
    lines: queue.Queue[tuple[str, str | None]] = queue.Queue()

    def read(name: str, stream: IO[str]) -> None:
        for line in stream:
            lines.put((name, line.rstrip("\n")))
        lines.put((name, None))

    for name, stream in (("out", process.stdout), ("err", process.stderr)):
        threading.Thread(target=read, args=(name, stream), daemon=True).start()
    open_streams = 2
    try:
        while open_streams:
            if is_canceled():
                raise Canceled(tr("Cancelled"))
            try:
                name, line = lines.get(timeout=0.2)
            except queue.Empty:
                continue
            if line is None:
                open_streams -= 1
            else:
                yield name, line
        process.wait()
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program that still runs: it removes what is half written."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        stream.close()


def run(
    words: Sequence[str],
    on_progress: Callable[[float, str], None],
    on_text: Callable[[str], None],
    is_canceled: Callable[[], bool],
) -> dict[str, Any]:
    """Run a command of the program to its end, and return its result.

    Args:
        words: the command with its options.
        on_progress: called with the share done, 0..1, and what is being done.
        on_text: called with each line for people.
        is_canceled: asked several times a second.
    """
    result: dict[str, Any] = {}
    printed: list[str] = []
    process = start([find_program(), *words, "--json-progress"])
    for stream, line in lines_of(process, is_canceled):
        message = _parsed(line) if stream == "out" else None
        if message is None:
            printed.append(line)
            if not line.startswith("Error: "):  # which comes as JSON, too
                on_text(line)
        elif "progress" in message:
            on_progress(message["progress"], message["title"])
        elif "text" in message:
            on_text(message["text"])
        else:
            result = message
    if "error" in result:
        raise ProgramError(_sentence(result["error"]))
    if not result:
        said = "\n".join(printed[-5:]) or f"exit code {process.returncode}"
        raise ProgramError(tr("The program ended without a result: {}").format(said))
    return result


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _sentence(error: dict[str, Any]) -> str:
    """Return an error with its file, its mend and its code."""
    parts = [error["message"], error.get("fix")]
    text = ". ".join(str(part).rstrip(".") for part in parts if part)
    file = f"{error['file']}: " if error.get("file") else ""
    return f"{file}{text}. [{error['code']}]"


def version_of(program: str) -> str:
    """Return the version of a program, if it is one that the plugin can run."""
    said = _output([program, "--version"])
    if not said.startswith("swath "):
        raise ProgramError(tr("This is not the program swath: {}").format(program))
    if "--json-progress" not in _output([program, "predict", "--help"]):
        raise ProgramError(
            tr("{} is too old for this plugin: install a newer one").format(said.strip())
        )
    return said.split()[1]


def _output(words: Sequence[str]) -> str:
    try:
        process = start(words)
        return process.communicate(timeout=120)[0]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(tr("{} cannot be run ({})").format(words[0], error)) from error
