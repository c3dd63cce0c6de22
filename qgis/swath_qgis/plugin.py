"""The plugin: provider, dock, settings, translations."""

from __future__ import annotations

from typing import Any

from qgis.PyQt.QtCore import QCoreApplication, Qt, QTranslator

from qgis import core

from .provider import SwathProvider
from .texts import FOLDER, icon, tr


class SwathPlugin:
    """What QGIS starts and ends; in `qgis_process`, `iface` is None and there is no window."""

    def __init__(self, iface: Any) -> None:
        self._iface, self._dock, self._options = iface, None, None
        locale = str(core.QgsApplication.locale())
        self._translator = QTranslator()
        if self._translator.load(str(FOLDER / "i18n" / f"swath_{locale[:2]}.qm")):
            QCoreApplication.installTranslator(self._translator)

    def initProcessing(self) -> None:
        """Add the algorithms; all that `qgis_process` asks for."""
        self.provider = SwathProvider()
        core.QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Add algorithms, dock, menu entry and settings page."""
        from .dock import SwathDock
        from .settings import SettingsFactory

        self.initProcessing()
        self._options = SettingsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)
        self._dock = SwathDock(self._iface.mapCanvas())
        self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._dock)
        self._dock.hide()
        self.action = self._dock.toggleViewAction()
        self.action.setIcon(icon())
        self.action.setText(tr("Swath"))
        self._iface.addPluginToRasterMenu("Swath", self.action)
        self._iface.addToolBarIcon(self.action)

    def unload(self) -> None:
        """Take all of it away."""
        core.QgsApplication.processingRegistry().removeProvider(self.provider)
        QCoreApplication.removeTranslator(self._translator)
        if self._dock is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._iface.removePluginRasterMenu("Swath", self.action)
            self._iface.removeToolBarIcon(self.action)
            self._iface.removeDockWidget(self._dock)
            self._dock.close()
            self._dock = None
