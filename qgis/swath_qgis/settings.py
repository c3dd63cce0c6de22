"""The settings page: path of the program, an environment of its own, version, diagnostics."""

from __future__ import annotations

import platform
import sys
from typing import Any

from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QT_VERSION_STR
from qgis.PyQt.QtGui import QIcon

from qgis import core, gui

from .install import PACKAGE, InstallTask
from .program import SETTING, ProgramError, find_program, version_of
from .texts import FOLDER, icon, tr


def diagnostics() -> str:
    """Return what a bug report needs: versions, and the program that is used."""
    metadata = (FOLDER / "metadata.txt").read_text(encoding="utf-8").splitlines()
    plugin = next(line for line in metadata if line.startswith("version="))
    lines = [
        f"Plugin {plugin}",
        f"QGIS {core.Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}, Python {sys.version.split()[0]}",
        platform.platform(),
    ]
    try:
        program = find_program()
        lines += [f"Program {program}", f"Version {version_of(program)}"]
    except ProgramError as error:
        lines.append(f"Program: {error}")
    return "\n".join(lines)


class SettingsPage(gui.QgsOptionsPageWidget):
    """The page "Swath" of the options of QGIS."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.path, self.package = gui.QgsFileWidget(), QtWidgets.QLineEdit(PACKAGE)
        self.path.setFilePath(str(core.QgsSettings().value(SETTING, "") or ""))
        self.status, self.bar = QtWidgets.QLabel(), QtWidgets.QProgressBar()
        self.status.setWordWrap(True)
        check = QtWidgets.QPushButton(tr("Check version"))
        copy = QtWidgets.QPushButton(tr("Copy diagnostics"))
        self.install_button = QtWidgets.QPushButton(tr("Install into an environment of its own..."))
        self.cancel_button = QtWidgets.QPushButton(tr("Cancel"))
        form = QtWidgets.QFormLayout(self)
        form.addRow(tr("Program"), self.path)
        form.addRow("", check)
        form.addRow(tr("Package"), self.package)
        for widget in (self.install_button, self.bar, self.cancel_button, self.status, copy):
            form.addRow("", widget)
        check.clicked.connect(self.check)
        copy.clicked.connect(self.copy)
        self.install_button.clicked.connect(self.ask)
        self._busy(False)

    def apply(self) -> None:
        """Keep the path."""
        core.QgsSettings().setValue(SETTING, self.path.filePath().strip())

    def check(self) -> None:
        """Show the version of the program, or what is wrong with it."""
        self.apply()
        try:
            program = find_program()
            self.status.setText(f"swath {version_of(program)}: {program}")
        except ProgramError as error:
            self.status.setText(str(error))

    def copy(self) -> None:
        """Put the diagnostics on the clipboard."""
        self.apply()
        QtWidgets.QApplication.clipboard().setText(diagnostics())
        self.status.setText(tr("Diagnostics are on the clipboard"))

    def ask(self) -> None:
        """Say how large it is, and install if that is wanted."""
        text = tr(
            "pip will fetch the program with PyTorch into your QGIS profile: about 1.7 GB on the "
            "disk, several more where PyTorch comes with CUDA. Go on?"
        )
        box = QtWidgets.QMessageBox
        if box.question(self, "Swath", text) == box.StandardButton.Yes:
            self.install()

    def install(self) -> None:
        """Install in the background."""
        self.task = InstallTask(self.package.text())
        self.task.progressChanged.connect(self._show)
        self.task.taskCompleted.connect(self._done)
        self.task.taskTerminated.connect(self._done)
        self.cancel_button.clicked.connect(self.task.cancel)
        self._busy(True)
        core.QgsApplication.taskManager().addTask(self.task)

    def _show(self, share: float) -> None:
        """Show the progress; a method, for QGIS drops its connection with the page."""
        self.bar.setValue(int(share))

    def _busy(self, busy: bool) -> None:
        self.install_button.setEnabled(not busy)
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)

    def _done(self) -> None:
        self._busy(False)
        if self.task.error:
            self.status.setText(self.task.error)
            return
        self.path.setFilePath(str(core.QgsSettings().value(SETTING, "")))
        self.check()


class SettingsFactory(gui.QgsOptionsWidgetFactory):
    """Makes the page when the options are opened."""

    def __init__(self) -> None:
        super().__init__("Swath", icon())

    def icon(self) -> QIcon:
        """Return the icon of the page."""
        return icon()

    def createWidget(self, parent: Any = None) -> SettingsPage:
        """Make the page."""
        return SettingsPage(parent)
