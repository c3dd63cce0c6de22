"""What all algorithms share: name, help, and a run of the program with progress and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from qgis import core

from ..program import Canceled, ProgramError, run
from ..texts import FOLDER, icon, tr


@dataclass(frozen=True)
class Run:
    """One run of an algorithm: its parameters, and where its progress goes."""

    algorithm: core.QgsProcessingAlgorithm
    parameters: dict[str, Any]
    context: core.QgsProcessingContext
    feedback: core.QgsProcessingFeedback

    def text(self, name: str) -> str:
        """Return a parameter as text, such as a path or a number; empty if it is not given."""
        return self.algorithm.parameterAsString(self.parameters, name, self.context)

    def option(self, flag: str, name: str) -> list[str]:
        """Return a flag of the program with a parameter, nothing if that is not given."""
        return [flag, self.text(name)] if self.text(name) else []

    def integer(self, name: str) -> int:
        """Return a whole number."""
        return self.algorithm.parameterAsInt(self.parameters, name, self.context)

    def yes(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self.algorithm.parameterAsBool(self.parameters, name, self.context)

    def output(self, name: str) -> str:
        """Return the path of a layer to write, empty where none is wanted."""
        return self.algorithm.parameterAsOutputLayer(self.parameters, name, self.context)

    def file(self, name: str) -> str:
        """Return the path of a file to write that is no layer."""
        return self.algorithm.parameterAsFileOutput(self.parameters, name, self.context)

    def features(self, name: str) -> Any:
        """Return the features of a vector layer: filtered, edited, and selected where asked."""
        source = self.algorithm.parameterAsSource(self.parameters, name, self.context)
        if source is None:
            raise ProgramError(tr("The layer of {} cannot be read").format(name))
        return source

    def swath(
        self, words: Sequence[str | Path], begin: float = 0, end: float = 100
    ) -> dict[str, Any]:
        """Run a command, which is the part from `begin` to `end` percent of the algorithm."""
        said, last = [str(word) for word in words], ""
        self.feedback.pushCommandInfo("swath " + " ".join(said))

        def progress(share: float, title: str) -> None:
            nonlocal last
            self.feedback.setProgress(begin + share * (end - begin))
            if title != last:
                last = title
                self.feedback.setProgressText(title)

        def say(text: str) -> None:
            is_warning = text.lower().startswith("warning:")
            (self.feedback.pushWarning if is_warning else self.feedback.pushInfo)(text)

        return run(said, progress, say, self.feedback.isCanceled)


class SwathAlgorithm(core.QgsProcessingAlgorithm):
    """An algorithm that runs commands of the program.

    Attributes:
        NAME: of the algorithm in models and scripts.
        TITLE: shown in the toolbox.
        HELP: what it does, shown beside its parameters.
        RASTERS: name of the parameter with raster layers; empty for none.
    """

    NAME = TITLE = HELP = RASTERS = ""

    def createInstance(self) -> SwathAlgorithm:
        return type(self)()

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return tr(self.TITLE)

    def shortHelpString(self) -> str:
        return tr(self.HELP)

    def helpUrl(self) -> str:
        return QUrl.fromLocalFile(str(FOLDER / "help" / "index.html")).toString()

    def icon(self) -> QIcon:
        return icon()

    def declare(self) -> Sequence[Any]:
        """Return the parameters, and the outputs that are none."""
        raise NotImplementedError

    def work(self, run: Run) -> dict[str, Any]:
        """Do the work, and return the outputs."""
        raise NotImplementedError

    def initAlgorithm(self, config: Any = None) -> None:
        for item in self.declare():
            is_output = isinstance(item, core.QgsProcessingOutputDefinition)
            (self.addOutput if is_output else self.addParameter)(item)

    def prepareAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> bool:
        """Keep what can be asked of layers in the main thread only."""
        layers = self.parameterAsLayerList(parameters, self.RASTERS, context)
        self.rasters = [layer.clone() for layer in layers] if self.RASTERS else []
        return True

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Run the commands, and raise what is wrong as Processing shows it."""
        try:
            return self.work(Run(self, parameters, context, feedback))
        except (Canceled, ProgramError, OSError) as error:
            raise core.QgsProcessingException(str(error)) from error

    @property
    def sources(self) -> list[str]:
        """The sources of the raster layers, which a run depends on."""
        return [str(layer.source()) for layer in self.rasters]


def advanced(parameter: core.QgsProcessingParameterDefinition) -> Any:
    """Return a parameter that is folded away."""
    parameter.setFlags(parameter.flags() | core.QgsProcessingParameterDefinition.FlagAdvanced)
    return parameter


def number(
    name: str, title: str, default: float | None, lowest: float, highest: float = 1e9
) -> Any:
    """Return the parameter of a number, a whole one if `lowest` is; optional without a default."""
    parameter = core.QgsProcessingParameterNumber
    kind = parameter.Type.Integer if isinstance(lowest, int) else parameter.Type.Double
    return parameter(name, title, kind, default, default is None, lowest, highest)


def model(name: str = "MODEL") -> Any:
    """Return the parameter of a model file to read."""
    kind = core.QgsProcessingParameterFile.Behavior.File
    return core.QgsProcessingParameterFile(name, tr("Model"), kind, "swath")


def new_model() -> Any:
    """Return the parameter of a model file to write."""
    files = tr("Swath models") + " (*.swath)"
    return core.QgsProcessingParameterFileDestination("MODEL", tr("Model"), files)


def rasters(title: str) -> Any:
    """Return the parameter of one image: a raster, or several of one band each."""
    kind = core.QgsProcessing.TypeRaster
    return core.QgsProcessingParameterMultipleLayers("RASTERS", title, kind)


def labels(title: str) -> list[Any]:
    """Return the parameters of a layer with labels and of the column with their classes."""
    column, kind = tr("Class column"), core.QgsProcessing.TypeVectorAnyGeometry
    return [
        core.QgsProcessingParameterFeatureSource("LABELS", title, [kind]),
        core.QgsProcessingParameterField("FIELD", column, "class", "LABELS"),
    ]


def polygons(title: str) -> Any:
    """Return the parameter of polygons that are not written by default."""
    given = "POLYGONS", title, core.QgsProcessing.TypeVectorPolygon, None, True, False
    return core.QgsProcessingParameterVectorDestination(*given)
