"""Runs inside QGIS: installs the zip, and does with clicks what a JSON file asks for.

Environment: SWATH_TASK, a JSON file; what was seen is written beside it, as `seen.json`. Steps are
methods of `Session`; pictures are taken where a folder for them is given.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyplugin_installer
import qgis.utils
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication

from qgis import core

TIMEOUT = 400


class Session:
    """One QGIS window; `seen` collects what happened."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task, self.seen = task, {}
        self.window, self.iface = qgis.utils.iface.mainWindow(), qgis.utils.iface
        self.project = core.QgsProject.instance()

    def install(self) -> None:
        """Install the zip as the plugin manager does, and open the dock."""
        pyplugin_installer.instance().installFromZipFile(self.task["zip"])
        self.seen["plugins"] = list(qgis.utils.plugins)
        self.seen["foreign"] = [m for m in sys.modules if m.split(".")[0] in ("swath", "torch")]
        self.plugin = qgis.utils.plugins["swath_qgis"]
        self.window.resize(1280, 800)
        for other in self.window.findChildren(qgis.PyQt.QtWidgets.QDockWidget):
            if other.objectName() not in ("Layers", "SwathDock"):
                other.hide()
        self.plugin.action.trigger()
        self.dock = self.plugin._dock
        self.seen["dock"] = self.dock.isVisible()

    def open(self) -> None:
        """Load scene and labels, and color the labels by their class."""
        scene = core.QgsRasterLayer(self.task["scene"], "scene")
        labels = core.QgsVectorLayer(self.task["labels"], "labels", "ogr")
        for layer in (scene, labels):
            self.project.addMapLayer(layer)
        categories = []
        for name, color in self.task["colors"].items():
            symbol = core.QgsSymbol.defaultSymbol(labels.geometryType())
            symbol.setColor(QColor(color))
            categories.append(core.QgsRendererCategory(name, symbol, name))
        labels.setRenderer(core.QgsCategorizedSymbolRenderer(self.task["field"], categories))
        labels.triggerRepaint()
        self.dock.scene.setLayer(scene)
        self.dock.labels.setLayer(labels)
        self.dock._choose_labels(labels)
        self.dock.model.setFilePath(self.task["model"])
        self.iface.mapCanvas().setExtent(scene.extent())
        listed = [self.dock.classes.item(i) for i in range(self.dock.classes.count())]
        self.seen["classes"] = {
            one.text(): one.icon().pixmap(14, 14).toImage().pixelColor(7, 7).name()
            for one in listed
        }

    def click(self, button: str, cancel: bool = False) -> None:
        """Click a button of the dock, and wait until its run is over, or cancel it soon."""
        ended: list[bool] = []
        self.dock.finished.connect(ended.append)
        QTest.mouseClick(getattr(self.dock, button), Qt.MouseButton.LeftButton)
        if cancel:
            path = Path(self.task["canceled"])
            self.wait(lambda: any(path.glob("parts/**/[!.]*.part")) or bool(ended))
            QTest.mouseClick(self.dock.cancel, Qt.MouseButton.LeftButton)
        self.wait(lambda: bool(ended))
        self.dock.finished.disconnect(ended.append)
        word = f"{button} cancelled" if cancel else button
        self.seen[word] = {"ok": ended, "status": self.dock.status.text()}

    def tree(self) -> None:
        """Note the layers by group, with those that are switched on."""
        root = self.project.layerTreeRoot()
        self.seen["tree"] = {
            group.name(): [[n.name(), n.itemVisibilityChecked()] for n in group.findLayers()]
            for group in root.findGroups()
        }

    def render(self) -> None:
        """Note colors of the rendered map at places, and what its legend says."""
        layer = next(v for v in self.project.mapLayers().values() if v.source() == self.task["map"])
        settings = core.QgsMapSettings()
        settings.setLayers([layer])
        settings.setExtent(layer.extent())
        settings.setOutputSize(qgis.PyQt.QtCore.QSize(144, 144))
        job = core.QgsMapRendererParallelJob(settings)
        job.start()
        job.waitForFinished()
        image = job.renderedImage()
        self.seen["pixels"] = [image.pixelColor(*place).name() for place in self.task["places"]]
        self.seen["legend"] = {c.label: c.color.name() for c in layer.renderer().classes()}

    def settings(self) -> None:
        """Open the page of settings, and check the version of the program there."""
        page = self.plugin._options.createWidget(self.window)
        page.path.setFilePath(self.task["program"])
        page.check()
        page.setWindowTitle("Swath")
        page.setWindowFlag(Qt.WindowType.Window)
        page.resize(620, 330)
        page.show()
        self.shoot("settings", page)
        self.seen["settings"] = page.status.text()
        page.copy()
        self.seen["diagnostics"] = QApplication.clipboard().text()
        page.close()

    def form(self) -> None:
        """Open the form of an algorithm, as the toolbox does."""
        from processing import createAlgorithmDialog

        labels = self.dock.labels.currentLayer().id()
        scene = self.dock.scene.currentLayer().id()
        given = {"RASTERS": [scene], "LABELS": labels, "FIELD": self.task["field"]}
        dialog = createAlgorithmDialog("swath:train", given)
        dialog.resize(900, 640)
        dialog.show()
        self.shoot("form", dialog)
        dialog.close()

    def table(self) -> None:
        """Sample points, write what the reference has there, and show the table of areas."""
        import processing

        points = processing.run(
            "swath:sample", {"MAP": self.task["map"], "N": 60, "POINTS": self.task["points"]}
        )
        layer = core.QgsVectorLayer(points["POINTS"], "points", "ogr")
        reference = core.QgsRasterLayer(self.task["reference"])
        column = layer.fields().lookupField("reference")
        layer.startEditing()
        for feature in list(layer.getFeatures()):
            code = reference.dataProvider().sample(feature.geometry().asPoint(), 1)[0]
            layer.changeAttributeValue(feature.id(), column, str(int(code)))
        self.project.addMapLayer(layer)
        given = {"MAP": self.task["map"], "POINTS": layer, "FIELD": "reference"}
        areas = processing.run("swath:areas", {**given, "TABLE": "memory:"})
        layer.rollBack()
        self.project.removeMapLayer(layer.id())
        table = areas["TABLE"]
        table.setName("Areas")
        self.seen["areas"] = [row.attributes() for row in table.getFeatures()]
        self.project.addMapLayer(table)
        view = self.iface.showAttributeTable(table)
        view.resize(900, 260)
        self.shoot("areas", view)
        view.close()
        self.project.removeMapLayer(table.id())

    def next(self) -> None:
        """Go through the suggested places."""
        before = self.iface.mapCanvas().extent().center()
        QTest.mouseClick(self.dock.next, Qt.MouseButton.LeftButton)
        after = self.iface.mapCanvas().extent().center()
        self.seen["next"] = {"moved": before.distance(after) > 0, "status": self.dock.status.text()}

    def shoot(self, name: str, widget: Any = None) -> None:
        """Take a picture, once all is drawn."""
        self.iface.mapCanvas().waitWhileRendering()
        self.pause(1.5)
        self.iface.mapCanvas().waitWhileRendering()
        if self.task.get("pictures"):
            path = Path(self.task["pictures"]) / f"{name}.png"
            (widget or self.window).grab().save(str(path))

    def wait(self, until: Callable[[], bool]) -> None:
        """Let QGIS work until something holds."""
        end = time.monotonic() + TIMEOUT
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(self.dock.status.text())
            self.pause(0.05)

    def pause(self, seconds: float) -> None:
        """Let QGIS work for a while."""
        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec_() if hasattr(loop, "exec_") else loop.exec()


def main() -> None:
    """Do the steps, and leave QGIS without questions."""
    task = json.loads(Path(os.environ["SWATH_TASK"]).read_text(encoding="utf-8"))
    session = Session(task)
    try:
        for step, *words in task["steps"]:
            getattr(session, step)(*words)
    except Exception:  # noqa: BLE001 - the test shows it
        session.seen["error"] = traceback.format_exc()
    seen = Path(os.environ["SWATH_TASK"]).with_name("seen.json")
    seen.write_text(json.dumps(session.seen, default=str), encoding="utf-8")
    os._exit(0)


QTimer.singleShot(0, main)
