"""The dock: from labels to a map with a button each, in the background."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap

from qgis import core, gui

from .layers import symbol_colors
from .results import load
from .texts import tr

MARGIN = 3.0
"""How much wider than a suggested region the canvas shows it."""


class Feedback(core.QgsProcessingFeedback):
    """Passes on what a run says, from the thread in which it says it."""

    said = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__(False)
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def setProgressText(self, text: str) -> None:
        self.said.emit(text)

    def reportError(self, error: str, fatalError: bool = False) -> None:
        self.errors.append(error)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)


class SwathDock(gui.QgsDockWidget):
    """Scene, labels and model; train, map, and see where to label next."""

    finished = pyqtSignal(bool)

    def __init__(self, canvas: gui.QgsMapCanvas) -> None:
        super().__init__(tr("Swath"))
        self.setObjectName("SwathDock")
        self._canvas, self._task, self._places, self._at = canvas, None, None, -1
        self._watched: set[str] = set()
        self._content = QtWidgets.QWidget()
        self._form = QtWidgets.QFormLayout(self._content)
        self.setWidget(self._content)
        self._add_inputs()
        self._add_buttons()
        self._choose_labels(self.labels.currentLayer())
        self._busy(False)

    def _add_inputs(self) -> None:
        self.scene, self.labels = gui.QgsMapLayerComboBox(), gui.QgsMapLayerComboBox()
        self.scene.setFilters(core.QgsMapLayerProxyModel.Filter.RasterLayer)
        self.labels.setFilters(core.QgsMapLayerProxyModel.Filter.HasGeometry)
        self.field, self.classes = gui.QgsFieldComboBox(), QtWidgets.QListWidget()
        self.classes.setMaximumHeight(140)
        self.model = gui.QgsFileWidget()
        self.model.setStorageMode(gui.QgsFileWidget.StorageMode.SaveFile)
        self.model.setMaximumHeight(self.model.sizeHint().height())
        self.model.setFilter(tr("Swath models") + " (*.swath)")
        folder = core.QgsProject.instance().homePath() or tempfile.gettempdir()
        self.model.setFilePath(str(Path(folder) / "quick.swath"))
        self._form.addRow(tr("Scene"), self.scene)
        self._form.addRow(tr("Labels"), self.labels)
        self._form.addRow(tr("Class column"), self.field)
        self._form.addRow(tr("Classes"), self.classes)
        self._form.addRow(tr("Model"), self.model)
        self.labels.layerChanged.connect(self._choose_labels)
        self.field.fieldChanged.connect(self._list_classes)

    def _add_buttons(self) -> None:
        def button(title: str, then: Callable[[], None]) -> QtWidgets.QPushButton:
            made = QtWidgets.QPushButton(title)
            made.clicked.connect(lambda: then())
            return made

        self.train = button(tr("Train quickly"), self.start_training)
        self.map_view = button(tr("Map view"), lambda: self.start_map(self._canvas))
        self.map_all = button(tr("Map all"), lambda: self.start_map(None))
        self.suggest = button(tr("Where next?"), self.start_suggesting)
        self.previous = button(tr("Previous"), lambda: self.show_place(-1))
        self.next = button(tr("Next"), lambda: self.show_place(1))
        self.bar, self.cancel = QtWidgets.QProgressBar(), button(tr("Cancel"), self._cancel)
        self.status = QtWidgets.QLabel()
        self.status.setWordWrap(True)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widgets in (
            (self.train, self.map_view, self.map_all),
            (self.suggest, self.previous, self.next),
            (self.bar, self.cancel),
        ):
            row = QtWidgets.QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget)
            self._form.addRow(row)
        self._form.addRow(self.status)

    def _cancel(self) -> None:
        self._feedback.cancel()

    def _choose_labels(self, layer: core.QgsMapLayer | None) -> None:
        self.field.setLayer(layer)
        if layer is None:
            return self._list_classes()
        renderer = layer.renderer()
        if isinstance(renderer, core.QgsCategorizedSymbolRenderer):
            self.field.setField(renderer.classAttribute().strip('"'))
        elif layer.fields().lookupField("class") >= 0:
            self.field.setField("class")
        if layer.id() not in self._watched:
            self._watched.add(layer.id())
            layer.rendererChanged.connect(self._list_classes)
        return self._list_classes()

    def _list_classes(self, *_: Any) -> None:
        """List the classes with the colors of the symbology, which the map will have."""
        self.classes.clear()
        layer, field = self.labels.currentLayer(), self.field.currentField()
        if layer is None or not field:
            return
        colors = symbol_colors(layer, field)
        found = layer.uniqueValues(layer.fields().lookupField(field))
        for value in [*colors, *sorted({str(v) for v in found} - {str(c) for c in colors})]:
            item = QtWidgets.QListWidgetItem(str(value))
            if value in colors:
                swatch = QPixmap(14, 14)
                swatch.fill(QColor(colors[value]))
                item.setIcon(QIcon(swatch))
            self.classes.addItem(item)

    def start_training(self) -> None:
        """Train quickly on scene and labels."""
        given = {"FIELD": self.field.currentField(), "MODEL": self.model.filePath(), "KIND": 0}
        self._start("train", given, self._say_score, labels=True)

    def start_map(self, canvas: gui.QgsMapCanvas | None) -> None:
        """Map the extent of a canvas, or the whole scene."""
        model, scene = Path(self.model.filePath()), self.scene.currentLayer()
        if scene is None:
            return self._say(tr("Choose a scene and labels"))
        part = "all" if canvas is None else "view"
        path = model.with_name(f"{model.stem}-{Path(scene.source()).stem}-{part}.tif")
        given: dict[str, Any] = {"MODEL": str(model), "CONFIDENT": True, "MAP": self._layer(path)}
        if canvas is not None:
            crs = canvas.mapSettings().destinationCrs()
            given["EXTENT"] = core.QgsReferencedRectangle(canvas.extent(), crs)
        self._remove(path, path.with_name(f"{path.stem}_confidence.tif"))
        self._start("map", given, lambda _: self._say(str(path)))

    def start_suggesting(self) -> None:
        """Find places whose label would help most."""
        model = Path(self.model.filePath())
        path = model.with_name(f"{model.stem}-next.gpkg")
        self._remove(path)
        given = {"MODEL": str(model), "FIELD": self.field.currentField(), "N": 20}
        given["REGIONS"] = self._layer(path)
        self._start("suggest", given, self._show_places, labels=True)

    def _show_places(self, _: dict[str, Any]) -> None:
        """Go through the suggested places from the first one on."""
        self._places, self._at = self._loaded[0].id(), -1
        self._busy(False)
        self.show_place(1)

    def show_place(self, step: int) -> None:
        """Show the next or the previous suggested place on the canvas."""
        context, project = self._canvas.mapSettings(), core.QgsProject.instance()
        places = project.mapLayer(self._places)
        ids = [] if places is None else sorted(places.allFeatureIds())
        if not ids:
            return self._say(tr("There is no suggested place"))
        self._at = (self._at + step) % len(ids)
        feature = places.getFeature(ids[self._at])
        places.selectByIds([feature.id()])
        move = core.QgsCoordinateTransform(places.crs(), context.destinationCrs(), project)
        extent = move.transformBoundingBox(feature.geometry().boundingBox())
        extent.scale(MARGIN)
        self._canvas.setExtent(extent)
        self._canvas.refresh()
        return self._say(tr("Place {} of {}").format(self._at + 1, len(ids)))

    def _layer(self, path: Path) -> core.QgsProcessingOutputLayerDefinition:
        project = core.QgsProject.instance()
        return core.QgsProcessingOutputLayerDefinition(str(path), project)

    def _remove(self, *paths: Path) -> None:
        """Remove layers whose files are about to be replaced."""
        project = core.QgsProject.instance()
        layers = project.mapLayers().items()
        old = [k for k, v in layers if Path(v.source().split("|")[0]) in paths]
        project.removeMapLayers(old)

    def _start(
        self,
        name: str,
        given: dict[str, Any],
        then: Callable[[dict[str, Any]], None],
        labels: bool = False,
    ) -> None:
        """Run an algorithm on scene and labels in the background, and load its results."""
        scene, layer = self.scene.currentLayer(), self.labels.currentLayer()
        if scene is None or labels and layer is None:
            return self._say(tr("Choose a scene and labels"))
        given = {**given, "RASTERS": [scene.id()], **({"LABELS": layer.id()} if labels else {})}
        self._algorithm = core.QgsApplication.processingRegistry().createAlgorithmById(
            f"swath:{name}"
        )
        self._context, self._feedback, self._then = core.QgsProcessingContext(), Feedback(), then
        self._context.setProject(core.QgsProject.instance())
        self._feedback.said.connect(self._say)
        self._feedback.progressChanged.connect(lambda share: self.bar.setValue(int(share)))
        self._task = core.QgsProcessingAlgRunnerTask(
            self._algorithm, given, self._context, self._feedback
        )
        self._task.executed.connect(self._done)
        self._busy(True)
        core.QgsApplication.taskManager().addTask(self._task)
        return None

    def _done(self, ok: bool, results: dict[str, Any]) -> None:
        self._busy(False)
        if ok:
            self._loaded = load(self._context, self._feedback)
            self._then(results)
            self._say("\n".join([self.status.text(), *self._feedback.warnings]))
        elif self._feedback.isCanceled():
            self._say(tr("Cancelled; the same button goes on with a map"))
        else:
            self._say("\n".join(self._feedback.errors) or tr("Failed"))
        self.finished.emit(ok)

    def _say_score(self, results: dict[str, Any]) -> None:
        score = results["MIOU"]
        said = tr("too few labels for a score") if score is None else f"mIoU {score:.2f}"
        self._say(tr("Trained: {}").format(said))

    def _say(self, text: str) -> None:
        self.status.setText(text)

    def _busy(self, busy: bool) -> None:
        for button in (self.train, self.map_view, self.map_all, self.suggest):
            button.setEnabled(not busy)
        for button in (self.previous, self.next):
            button.setEnabled(not busy and self._places is not None)
        known = core.QgsApplication.processingRegistry().algorithmById("swath:suggest")
        self.suggest.setVisible(known is not None)
        self.cancel.setEnabled(busy)
        self.bar.setValue(0)
