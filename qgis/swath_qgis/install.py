"""Install the program into an environment of its own, inside the profile of QGIS."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qgis import core

from .program import SETTING, Canceled, ProgramError, lines_of, start, version_of
from .texts import tr

PACKAGE = "swath[train,report] @ https://github.com/swath-maps/swath/archive/refs/heads/main.zip"
"""What pip installs, unless another version, a wheel or a folder is named."""

PACKAGES = 60
"""Packages that it brings, about, for the progress bar."""

FITS = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"


def find_python() -> str:
    """Return a Python that can make an environment for the program."""
    own = [f"{sys.exec_prefix}/python", f"{sys.exec_prefix}/bin/python3"]
    names = [*own, *(f"python3.{n}" for n in range(14, 10, -1)), "python3", "python"]
    for found in filter(None, map(shutil.which, names)):
        process = start([found, "-c", FITS])
        process.communicate()
        if process.returncode == 0:
            return found
    raise ProgramError(tr("No Python 3.11 or newer with the module venv is found: install it"))


class InstallTask(core.QgsTask):
    """Makes an environment with the program, whole or not at all, and puts it into the settings.

    Args:
        package: what pip installs.
    """

    def __init__(self, package: str) -> None:
        super().__init__(tr("Install Swath"), core.QgsTask.Flag.CanCancel)
        self._package, self.error = package, ""

    def run(self) -> bool:
        """Install, in a thread of its own; `error` says what went wrong."""
        root = Path(core.QgsApplication.qgisSettingsDirPath()) / "swath"
        old, new = list(root.glob("env-*")), root / f"env-{time.time_ns()}"
        places = new / "Scripts" if sys.platform == "win32" else new / "bin"
        try:
            self._follow([find_python(), "-m", "venv", str(new)])
            pip = [str(places / "python"), "-m", "pip", "install", "--progress-bar", "off"]
            self._follow([*pip, self._package])
            program = shutil.which(str(places / "swath")) or str(places / "swath")
            version_of(program)
        except (ProgramError, Canceled, OSError) as error:
            self.error = str(error)
            shutil.rmtree(new, ignore_errors=True)
            return False
        core.QgsSettings().setValue(SETTING, program)
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def _follow(self, words: Sequence[str]) -> None:
        process, lines, collected = start(words), [""], 0
        for _, line in lines_of(process, self.isCanceled):
            lines.append(line)
            collected += line.startswith(("Collecting", "Downloading", "Installing"))
            self.setProgress(min(99.0, 100 * collected / (2 * PACKAGES)))
        if process.returncode:
            raise ProgramError("\n".join(lines[-5:]))
