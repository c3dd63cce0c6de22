"""QGIS with the plugin in an empty profile, and the program that it calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import pytest
from filelock import FileLock

from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "qgis" / "swath_qgis"
PYTHON = "/usr/bin/python3"
PROGRAM = "from swath.cli.main import main; main()"
PICTURES = "SWATH_PICTURES"
"""Variable with the folder where the pictures of the page are written."""

COLORS = {"water": "#1f4fe0", "forest": "#20a030"}


def folder_of(factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a new folder, with a short path where pictures are taken for the page."""
    if PICTURES not in os.environ:
        return factory.mktemp(name)
    folder = Path("/tmp/swath") / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def packaging() -> ModuleType:
    """Return the module that makes the zip."""
    spec = spec_from_file_location("package", ROOT / "qgis" / "package.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def archive(packaging: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the zip that the plugin manager installs."""
    return packaging.package(tmp_path_factory.mktemp("zip") / "swath_qgis.zip")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program `swath` of this source, as a file of its own."""
    path = folder_of(tmp_path_factory, "bin") / "swath"
    command = f"PYTHONPATH='{ROOT / 'src'}' exec '{sys.executable}' -c '{PROGRAM}' \"$@\""
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


class Ran(NamedTuple):
    code: int
    results: dict[str, Any]
    text: str


class Qgis:
    """Debian's QGIS with a profile of its own.

    Args:
        home: an empty folder for profile, caches and settings.
        program: what the plugin calls.
    """

    def __init__(self, home: Path, program: Path) -> None:
        self.home, self.profiles = home, home / "share" / "QGIS" / "QGIS3"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QT_"))}
        path = f"{program.parent}:{os.environ['PATH']}"
        self.env = {**kept, "HOME": str(home), "PATH": path, "XDG_RUNTIME_DIR": str(home)}
        self.env |= {"XDG_DATA_HOME": str(home / "share"), "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
        home.mkdir(mode=0o700, exist_ok=True)
        home.chmod(0o700)

    def process(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run `qgis_process`; Debian's script adds an option that its own program does not know."""
        name = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
        env = {**self.env, "QT_QPA_PLATFORM": "offscreen"}
        pipes = {"capture_output": True, "text": True, "check": False, "timeout": 500}
        return subprocess.run([str(name), *words], env=env, **pipes, **how)  # type: ignore[call-overload]

    def run(self, algorithm: str, **parameters: Any) -> Ran:
        """Run an algorithm of the plugin."""
        given = [
            f"{name}={one}"
            for name, value in parameters.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        done = self.process("run", "--json", f"swath:{algorithm}", "--", *given)
        try:
            results = json.loads(done.stdout[done.stdout.index("{") :])["results"]
        except (ValueError, KeyError):
            results = {}
        return Ran(done.returncode, results, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def qgis_python() -> str:
    """Return the Python that has QGIS, or skip."""
    found = Path(PYTHON).exists() and subprocess.run(
        [PYTHON, "-c", "import qgis.core"], capture_output=True, check=False
    )
    if not found or found.returncode or not shutil.which("qgis_process"):
        pytest.skip("QGIS is not here: apt-get install qgis python3-qgis")
    return PYTHON


@pytest.fixture(scope="session")
def qgis(
    qgis_python: str, archive: Path, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Qgis:
    """Return QGIS with the unpacked zip as its only plugin besides its own."""
    qgis = Qgis(tmp_path_factory.mktemp("qgis"), program)
    plugins = qgis.profiles / "profiles" / "default" / "python" / "plugins"
    with ZipFile(archive) as packed:
        packed.extractall(plugins)
    enabled = qgis.process("plugins", "enable", "swath_qgis")
    assert enabled.returncode == 0, enabled.stdout + enabled.stderr
    return qgis


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `scene.tif`, a chessboard of two classes, and 20 labeled squares.

    The 36 bands make the quick recipe fast: it describes pixels by them alone.
    """
    root = tmp_path_factory.getbasetemp()
    # what takes long is made once, also where several processes of pytest share the tests
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "qgis-field"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "labels.gpkg").exists():
            _write_field(folder)
    return folder


def _write_field(folder: Path) -> None:
    board = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((24, 24)))
    bands = [board * 120 + 40 + noise(144, 144, low=0, high=30, seed=i) for i in range(36)]
    write_raster(folder / "scene.tif", np.stack(bands).astype("uint8"), UTM, NORTH_UP)
    places = [(row, col) for row in range(6) for col in range(6)][:20]
    names = [list(COLORS)[(row + col) % 2] for row, col in places]
    squares = [box(row * 24 + 8, col * 24 + 8, 8, 8) for row, col in places]
    write_layer(folder / "labels.gpkg", squares, {"kind": names})


@pytest.fixture(scope="session")
def session(
    qgis_python: str, archive: Path, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs steps of `session.py` in QGIS, in an empty profile."""
    if not shutil.which("xvfb-run"):
        pytest.skip("there is no screen for QGIS: apt-get install xvfb xauth")

    def run(steps: list[list[Any]], **task: Any) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("session")
        qgis, path = Qgis(folder / "home", program), folder / "task.json"
        given = {"zip": str(archive), "program": str(program), "steps": steps, **task}
        path.write_text(json.dumps(given, default=str))
        words = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", "qgis", "--nologo"]
        words += ["--noversioncheck", "--code", str(Path(__file__).with_name("session.py"))]
        done = subprocess.run(
            [*words, "--profiles-path", str(folder / "home")],
            env={**qgis.env, "SWATH_TASK": str(path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=580,
        )
        seen = path.with_name("seen.json")
        assert seen.exists(), done.stdout + done.stderr
        result: dict[str, Any] = json.loads(seen.read_text())
        assert "error" not in result, json.dumps(result, indent=1)
        return result

    return run


@pytest.fixture(scope="session")
def clicked(session: Callable[..., dict[str, Any]], field: Path) -> dict[str, Any]:
    """Return what was seen when scene and labels became a model and a map by clicks."""
    steps = [["install"], ["open"], ["click", "train"], ["click", "map_all"], ["tree"], ["render"]]
    record = field / "seen.json"
    with FileLock(field / "lock"):
        if not record.exists():
            seen = session(
                [*steps, ["settings"]],
                scene=field / "scene.tif",
                labels=field / "labels.gpkg",
                field="kind",
                colors=COLORS,
                model=field / "field.swath",
                map=field / "field-scene-all.tif",
                places=[(12, 12), (36, 12), (12, 36), (132, 132)],
            )
            record.write_text(json.dumps(seen))
    result: dict[str, Any] = json.loads(record.read_text())
    return result


@pytest.fixture(scope="session")
def model(clicked: dict[str, Any], field: Path) -> Path:
    """Return the model that was trained by a click."""
    return field / "field.swath"
