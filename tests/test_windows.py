"""What Windows lacks is not needed: POSIX-only names are guarded, and open files are not moved."""

from __future__ import annotations

import ast
import ctypes
import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swath.cli.main import main
from swath.data import folds
from swath.inference import memory

ROOT = Path(__file__).resolve().parents[1]

MODULES = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "crypt"}
"""Modules of the standard library that Windows lacks."""

GUARDED_IMPORTS = {("inference/memory.py", "resource")}
"""Imports inside functions that are not called on Windows."""

NAMES = {
    "os": """
        chown chroot confstr ctermid fchmod fchown fork forkpty getegid geteuid getgid getgroups
        getloadavg getpgid getpgrp getpriority getresuid getsid getuid killpg lchown lockf mkfifo
        mknod nice openpty pathconf pidfd_open posix_fadvise posix_fallocate posix_spawn pread
        preadv pwrite pwritev readv register_at_fork sched_getaffinity sched_setaffinity sendfile
        setegid seteuid setgid setpgid setpriority setsid setuid setxattr statvfs sync sysconf
        tcgetpgrp ttyname uname wait wait3 wait4 waitid writev EX_OK WNOHANG O_NOFOLLOW O_DIRECTORY
        O_CLOEXEC
    """,
    "signal": """
        SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1
        SIGUSR2 SIGWINCH SIGXCPU SIGXFSZ alarm getitimer pause pthread_kill pthread_sigmask
        setitimer siginterrupt sigwait
    """,
    "socket": "AF_UNIX socketpair SO_REUSEPORT",
    "time": "tzset",
    "errno": "EOPNOTSUPP ENOTSUP EDQUOT",
}
"""Names in modules of the standard library that Windows lacks, or may lack."""


ABSENT = {f"{module}.{name}" for module, names in NAMES.items() for name in names.split()}


@cache
def _trees() -> dict[str, ast.AST]:
    """Return the syntax of each file of the package."""
    files = sorted((ROOT / "src").rglob("*.py"))
    return {str(f.relative_to(ROOT)): ast.parse(f.read_text(encoding="utf-8")) for f in files}


def _needed(tree: ast.AST) -> set[str]:
    """Return the POSIX-only names that a module uses, but those that it asks `hasattr` for."""
    asked = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "hasattr"
        and isinstance(node.args[1], ast.Constant)
    }
    used = (
        (f"{node.value.id}.{node.attr}", node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    )
    return {name for name, word in used if name in ABSENT and word not in asked}


def test_no_name_is_used_that_windows_lacks() -> None:
    found: dict[str, set[str]] = {}
    for path, tree in _trees().items():
        names = _needed(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names} & MODULES
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module or ""} & MODULES
                names |= {f"{node.module}.{alias.name}" for alias in node.names} & set(ABSENT)
        names -= {name for file, name in GUARDED_IMPORTS if path.endswith(file)}
        if names:
            found[path] = names
    assert found == {}
    assert _needed(ast.parse("import os\nos.fork()")) == {"os.fork"}


def test_files_are_read_and_written_in_utf8() -> None:
    """Windows would take a code page for text without an encoding."""
    found = []
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
                continue
            if getattr(getattr(node.func, "value", None), "id", "") == "rasterio":
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            opens_text = name == "open" and {"r", "w", "a", "x"} & {*map(str, texts)}
            ends = name == "read_text" and len(node.args) == 0
            if opens_text or ends or (name == "write_text" and len(node.args) < 2):
                found.append((path, node.lineno))
    assert found == []


def test_the_peak_of_memory_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(process: int, counters: Any, size: int) -> int:
        assert (process, size) == (-1, 2 * 4 + 8 * ctypes.sizeof(ctypes.c_size_t))
        counters._obj.peak = 123_000_000
        return 1

    def kernel(name: str) -> SimpleNamespace:
        assert name == "kernel32"
        return SimpleNamespace(GetCurrentProcess=lambda: -1, K32GetProcessMemoryInfo=ask)

    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", kernel, raising=False)
    assert memory.peak_memory() == 123_000_000 and memory.peak_memory_of_workers() == 0
    with memory.freed_memory_kept():
        pass


def test_links_that_are_not_allowed_become_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels").mkdir()
    (tmp_path / "pixels" / "0.npy").write_bytes(b"0")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folds._link(tmp_path / "pixels", tmp_path / "linked")
    folds._link(tmp_path / "pixels" / "0.npy", tmp_path / "1.npy")
    assert (tmp_path / "linked" / "0.npy").samefile(tmp_path / "pixels" / "0.npy")
    monkeypatch.setattr(os, "link", refuse)
    folds._link(tmp_path / "pixels", tmp_path / "copied")
    assert (tmp_path / "copied" / "0.npy").read_bytes() == b"0"
    assert not (tmp_path / "copied" / "0.npy").samefile(tmp_path / "pixels" / "0.npy")


def test_a_terminal_of_another_code_page_gets_what_it_can_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    with pytest.raises(SystemExit):
        main(["inspect", "Карта"])
    sys.stdout.flush()
    assert b"no-such-folder: ?????: " in shown.getvalue()


IMPORT = f"""
import json, os, shutil, sys
from pathlib import Path

import swath._torchvision_shim
import filelock, lightning, onnxruntime, openvino, pyogrio, rasterio, sklearn, timm, torch

for name in {sorted(MODULES)}:
    sys.modules[name] = None
for name in {NAMES["os"].split()}:
    if hasattr(os, name):
        delattr(os, name)

from swath.inference import memory
memory.peak_memory = lambda: 1  # Windows has a function of its own
memory.peak_memory_of_workers = lambda: 0
from importlib import import_module
from pkgutil import walk_packages
import swath
for module in walk_packages(swath.__path__, "swath."):
    if module.name != "swath.__main__":
        import_module(module.name)
"""
"""Import all modules as on Windows."""

RUN = (
    IMPORT
    + """
moved = []

def opened():
    for number in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    for line in open("/proc/self/maps"):
        yield line.split(maxsplit=5)[-1].strip()

def watched(module, name):
    real = getattr(module, name)
    def call(path, *more, **how):
        if not how.get("dir_fd"):
            files = [path, *(more[:1] if name == "replace" else ())]
            for file in map(os.path.realpath, files):
                held = {f for f in opened() if f == file or f.startswith(file + "/")}
                if held and not file.endswith((".lock", ".busy")):  # filelock sees to these
                    moved.append([name, sorted(held)])
        return real(path, *more, **how)
    setattr(module, name, call)

for name in ("replace", "rename", "unlink", "remove"):
    watched(os, name)
watched(shutil, "rmtree")

from tests.make import NORTH_UP, UTM, noise, train_small, write_pairs, write_raster
for name in "abcd":
    write_pairs(Path("source", name), [name + "1"], size=96)
for _ in range(2):
    swath.prepare("source", "dataset", test="d", val="c")
for _ in range(2):
    train_small("dataset", "m.swath", steps=2)
write_raster(Path("i.tif"), noise(3, 130, 120), UTM, NORTH_UP)
for _ in range(2):
    extras = {"confidence": True, "probabilities": True, "polygons": "p.gpkg", "review": 3}
    swath.predict("m.swath", "i.tif", "o.tif", **extras)
print(json.dumps(moved))
"""
)


def _run(code: str, folder: Path) -> str:
    """Run a program in a process of its own, and return what it prints."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    words, pipes = [sys.executable, "-W", "ignore", "-c", code], {"capture_output": True}
    run = subprocess.run(words, cwd=folder, env=env, text=True, check=False, **pipes)
    assert run.returncode == 0, run.stderr
    return str(run.stdout)


def test_all_modules_are_imported_without_posix(tmp_path: Path) -> None:
    assert int(_run(f"{IMPORT}\nprint(len(sys.modules))", tmp_path)) > 1000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells open files")
def test_train_and_predict_without_posix_and_without_moving_open_files(tmp_path: Path) -> None:
    """Windows refuses to move or remove a file that is open or mapped."""
    assert json.loads(_run(RUN, tmp_path).splitlines()[-1]) == []
    assert (tmp_path / "o_confidence.tif").is_file()
