"""Maps: map, compare two dates, sample points, areas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from qgis import core

from ..layers import DOUBLE, INTEGER, TEXT, export_extent, export_features, raster_files
from ..program import ProgramError
from ..results import Dressed, add_result, dress
from ..texts import tr
from ..work import Work
from . import base
from .base import Run, SwathAlgorithm, advanced, number


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
        extent, confident = tr("Extent (default: all)"), tr("Also map the confidence")
        return [
            base.model(),
            base.rasters(tr("Raster (or its bands)")),
            core.QgsProcessingParameterExtent("EXTENT", extent, None, True),
            core.QgsProcessingParameterBoolean("CONFIDENT", confident, True),
            core.QgsProcessingParameterRasterDestination("MAP", tr("Map")),
            base.polygons(tr("Map as polygons")),
            core.QgsProcessingOutputRasterLayer("CONFIDENCE", tr("Confidence")),
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
            crs = self.rasters[0].crs()
            wanted = run.parameters, "EXTENT", run.context, crs
            if not self.parameterAsExtent(*wanted).isEmpty():
                extent = self.parameterAsExtentGeometry(*wanted)
                words += ["--regions", str(export_extent(extent, crs, work.folder))]
            work.continues({"predict": words}, [model, *self.sources])
            run.swath([*words, "--parts", work.folder / "parts"])
        path, outputs = Path(target), {"MAP": target}
        dress(run.context, target, Dressed(path.stem))
        if polygons:
            dress(run.context, polygons, Dressed(path.stem))
            outputs["POLYGONS"] = polygons
        if run.yes("CONFIDENT"):
            outputs["CONFIDENCE"] = str(path.with_name(f"{path.stem}_confidence.tif"))
            how = Dressed(path.stem, "confidence.qml", shown=False)
            add_result(run.context, target, outputs["CONFIDENCE"], tr("Confidence"), how)
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
        return [
            core.QgsProcessingParameterRasterLayer("OLD", tr("Map of the first date")),
            core.QgsProcessingParameterRasterLayer("NEW", tr("Map of the second date")),
            advanced(number("PROBABILITY", tr("Probability of a change"), None, 0.01, 1)),
            core.QgsProcessingParameterRasterDestination("CHANGE", tr("Change")),
            base.polygons(tr("Changes as polygons")),
        ]

    def prepareAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> bool:
        layers = [self.parameterAsRasterLayer(parameters, n, context) for n in ("OLD", "NEW")]
        self._maps = [layer.source() for layer in layers]
        return True

    def work(self, run: Run) -> dict[str, Any]:
        change, polygons = run.output("CHANGE"), run.output("POLYGONS")
        words = ["change", *self._maps, change, *run.option("--at-least", "PROBABILITY")]
        run.swath([*words, *(["--polygons", polygons] if polygons else [])])
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
        points, kind = tr("Points"), core.QgsProcessing.TypeVectorPoint
        return [
            core.QgsProcessingParameterRasterLayer("MAP", tr("Map")),
            number("N", tr("Number of points"), 300, 2),
            number("SEED", tr("Seed"), 0, 0),
            core.QgsProcessingParameterVectorDestination("POINTS", points, kind),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        points = run.output("POINTS")
        words = [*run.option("-n", "N"), *run.option("--seed", "SEED")]
        result = run.swath(["sample", self.sources[0], points, *words])
        classes = tuple(result["classes"]) if result["columns"] == ["reference"] else ()
        dress(run.context, points, Dressed(words=classes))
        return {"POINTS": points}


COLUMNS = {
    **{"class": TEXT, "code": INTEGER},
    **dict.fromkeys(("mapped_ha", "area_ha", "low_ha", "high_ha", "users", "producers"), DOUBLE),
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


ALGORITHMS = MapAlgorithm, ChangeAlgorithm, SampleAlgorithm, AreasAlgorithm
