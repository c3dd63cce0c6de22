"""Maps: map, compare two dates, sample points, areas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from qgis.PyQt.QtCore import QVariant

from qgis import core

from ..layers import export_extent, export_features, raster_files
from ..program import ProgramError
from ..results import Dressed, add_result, dress
from ..texts import tr
from ..work import Work
from .base import Double, Run, SwathAlgorithm, advanced, integer


class MapAlgorithm(SwathAlgorithm):
    """`swath predict`."""

    NAME = "map"
    TITLE = "Map raster with model"
    HELP = (
        "Maps a raster with a model, on the raster's grid, with the classes' names and colors. The "
        "confidence, in percent, is a second layer of the same group. A raster of several files "
        "with one band each is given by all of them, in the order of the training. A cancelled run "
        "goes on when it is run again with the same inputs and map file."
    )
    RASTERS = "RASTERS"

    def declare(self) -> list[Any]:
        raster, polygon = core.QgsProcessing.TypeRaster, core.QgsProcessing.TypeVectorPolygon
        file, extent = core.QgsProcessingParameterFile, core.QgsProcessingParameterExtent
        layers = core.QgsProcessingParameterMultipleLayers
        confident = core.QgsProcessingParameterBoolean
        vector = core.QgsProcessingParameterVectorDestination
        return [
            file("MODEL", tr("Model"), file.File, "swath"),
            layers("RASTERS", tr("Raster (or its bands)"), raster),
            extent("EXTENT", tr("Extent (default: all)"), None, True),
            confident("CONFIDENT", tr("Also map the confidence"), True),
            advanced(integer("REVIEW", tr("Number of regions to check"), 0, 0)),
            core.QgsProcessingParameterRasterDestination("MAP", tr("Map")),
            vector("POLYGONS", tr("Map as polygons"), polygon, None, True, False),
            core.QgsProcessingOutputRasterLayer("CONFIDENCE", tr("Confidence")),
            core.QgsProcessingOutputVectorLayer("REGIONS", tr("Regions to check")),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        model, target, polygons = run.text("MODEL"), run.output("MAP"), run.output("POLYGONS")
        with Work(target) as work:
            images = raster_files(self.rasters, work.folder)
            if len(images) != 1:
                text = tr("Give one raster, or several of one band each on one grid")
                raise ProgramError(text)
            words = ["predict", model, images[0], target]
            words += ["--confidence"] if run.yes("CONFIDENT") else []
            words += ["--polygons", polygons] if polygons else []
            words += ["--review", run.text("REVIEW")] if run.integer("REVIEW") else []
            crs = self.rasters[0].crs()
            wanted = run.parameters, "EXTENT", run.context, crs
            if not self.parameterAsExtent(*wanted).isEmpty():
                extent = self.parameterAsExtentGeometry(*wanted)
                words += ["--regions", str(export_extent(extent, crs, work.folder))]
            work.continues({"predict": words}, [model, *self.sources])
            run.swath([*words, "--parts", work.folder / "parts"])
        return self._results(run, target, polygons)

    def _results(self, run: Run, target: str, polygons: str) -> dict[str, Any]:
        path, outputs = Path(target), {"MAP": target}
        dress(run.context, target, Dressed(path.stem))
        if polygons:
            dress(run.context, polygons, Dressed(path.stem))
            outputs["POLYGONS"] = polygons
        further = (
            ("CONFIDENCE", "CONFIDENT", f"{path.stem}_confidence.tif", "confidence.qml"),
            ("REGIONS", "REVIEW", f"{path.stem}_review.gpkg", "regions.qml"),
        )
        for name, asked, file, style in further:
            if not run.integer(asked):
                continue
            outputs[name] = str(path.with_name(file))
            if run.context.willLoadLayerOnCompletion(target):
                title = self.outputDefinition(name).description()
                how = Dressed(path.stem, style, shown=name != "CONFIDENCE")
                add_result(run.context, outputs[name], title, how)
        return outputs


class ChangeAlgorithm(SwathAlgorithm):
    """`swath change`."""

    NAME = "change"
    TITLE = "Change between two maps"
    HELP = (
        "Compares maps of two dates with the same classes: what became what, where, and how sure "
        "that is. Where probabilities or confidence lie beside the maps, a pixel counts as changed "
        "only if that is sure enough."
    )

    def declare(self) -> list[Any]:
        raster, number = core.QgsProcessingParameterRasterLayer, core.QgsProcessingParameterNumber
        sure, polygon = tr("Probability of a change"), core.QgsProcessing.TypeVectorPolygon
        vector = core.QgsProcessingParameterVectorDestination
        return [
            raster("OLD", tr("Map of the first date")),
            raster("NEW", tr("Map of the second date")),
            advanced(number("PROBABILITY", sure, Double, None, True, 0.01, 1)),
            core.QgsProcessingParameterRasterDestination("CHANGE", tr("Change")),
            vector("POLYGONS", tr("Changes as polygons"), polygon, None, True, False),
        ]

    def prepareAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> bool:
        layers = [self.parameterAsRasterLayer(parameters, n, context) for n in ("OLD", "NEW")]
        self._maps = [layer.source() for layer in layers]
        return super().prepareAlgorithm(parameters, context, feedback)

    def work(self, run: Run) -> dict[str, Any]:
        change, polygons = run.output("CHANGE"), run.output("POLYGONS")
        words = ["change", *self._maps, change]
        words += ["--polygons", polygons] if polygons else []
        words += ["--at-least", run.text("PROBABILITY")] if run.has("PROBABILITY") else []
        run.swath(words)
        dress(run.context, change, Dressed())
        return {"CHANGE": change, **({"POLYGONS": polygons} if polygons else {})}


class SampleAlgorithm(SwathAlgorithm):
    """`swath sample`."""

    NAME = "sample"
    TITLE = "Sample points"
    HELP = (
        "Draws points on a map for a person to check. Write the class that you see at each point "
        "into the column reference; the layer does not tell what the map says. Then estimate the "
        "areas. A file that exists is never replaced: it may hold points that somebody has checked."
    )
    RASTERS = "MAP"

    def declare(self) -> list[Any]:
        point, vector = (
            core.QgsProcessing.TypeVectorPoint,
            core.QgsProcessingParameterVectorDestination,
        )
        return [
            core.QgsProcessingParameterRasterLayer("MAP", tr("Map")),
            integer("N", tr("Number of points"), 300, 2),
            integer("SEED", tr("Seed"), 0, 0),
            vector("POINTS", tr("Points"), point),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        points = run.output("POINTS")
        words = ["sample", self.sources[0], points, "-n", run.text("N"), "--seed", run.text("SEED")]
        result = run.swath(words)
        words = tuple(result["classes"]) if result["columns"] == ["reference"] else ()
        dress(run.context, points, Dressed(words=words))
        return {"POINTS": points}


NUMBERS = ("mapped_ha", "area_ha", "low_ha", "high_ha", "users", "producers")
COLUMNS = {
    "class": QVariant.String,
    "code": QVariant.Int,
    **dict.fromkeys(NUMBERS, QVariant.Double),
}


class AreasAlgorithm(SwathAlgorithm):
    """`swath area`."""

    NAME = "areas"
    TITLE = "Areas with confidence intervals"
    HELP = (
        "Estimates the hectares of each class from checked points, corrected for the map's errors, "
        "with 95% intervals (Olofsson et al. 2014). The points must have been sampled on this very "
        "map, and each of them checked. Areas of a map of change need the command `swath area`."
    )
    RASTERS = "MAP"

    def declare(self) -> list[Any]:
        point, table = core.QgsProcessing.TypeVectorPoint, core.QgsProcessing.TypeVector
        column = tr("Column with the class that was seen")
        return [
            core.QgsProcessingParameterRasterLayer("MAP", tr("Map")),
            core.QgsProcessingParameterFeatureSource("POINTS", tr("Checked points"), [point]),
            core.QgsProcessingParameterField("FIELD", column, "reference", "POINTS"),
            core.QgsProcessingParameterFeatureSink("TABLE", tr("Areas"), table),
            core.QgsProcessingOutputNumber("ACCURACY", tr("Overall accuracy")),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        source, field = run.features("POINTS"), run.text("FIELD")
        with tempfile.TemporaryDirectory(prefix="swath-") as folder:
            points, _ = export_features(source, field, Path(folder), "reference")
            result = run.swath(["area", self.sources[0], "--reference", points])
        fields = core.QgsFields()
        for name, kind in COLUMNS.items():
            fields.append(core.QgsField(name, kind, "", 20, 3))
        sink, table = self.parameterAsSink(run.parameters, "TABLE", run.context, fields)
        for one in result["classes"]:
            row = core.QgsFeature(fields)
            between = one["interval"] or [None, None]
            values = [one["name"], one["code"], one["mapped"], one["area"], *between]
            row.setAttributes([*values, one["users"], one["producers"]])
            sink.addFeature(row)
        return {"TABLE": table, "ACCURACY": result["overall"]}
