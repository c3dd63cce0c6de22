"""Labels and models: inspect, train, suggest where to label next, import."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from qgis import core

from ..layers import CLASS, class_file, export_features, raster_files
from ..results import Dressed, dress
from ..texts import tr
from ..work import Work
from . import base
from .base import Run, SwathAlgorithm, advanced, number


class LabeledAlgorithm(SwathAlgorithm):
    """An algorithm on rasters and a layer of polygons, lines or points with classes."""

    RASTERS = "RASTERS"

    def declare(self) -> list[Any]:
        colors = tr("Take class colors from the layer's symbology")
        width = tr("Width of points and lines in meters (default: one pixel)")
        rest = tr("Class of what no feature covers (default: no label)")
        return [
            base.rasters(tr("Rasters")),
            *base.labels(tr("Labels")),
            advanced(core.QgsProcessingParameterBoolean("COLORS", colors, True)),
            advanced(number("WIDTH", width, None, 0.0)),
            advanced(core.QgsProcessingParameterString("BACKGROUND", rest, None, False, True)),
        ]

    def prepareAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> bool:
        layer = self.parameterAsVectorLayer(parameters, "LABELS", context)
        self._styled = None if layer is None else layer.clone()
        return super().prepareAlgorithm(parameters, context, feedback)

    def source_words(self, run: Run, folder: Path) -> list[str]:
        """Export the layers to a folder; return the words by which the program reads them."""
        field = run.text("FIELD")
        labels, values = export_features(run.features("LABELS"), field, folder)
        words = [str(folder)]
        for path in raster_files(self.rasters, folder):
            words += ["--images", path]
        words += ["--labels", str(labels), "--label-field", CLASS]
        words += [*run.option("--label-width", "WIDTH"), *run.option("--background", "BACKGROUND")]
        if run.yes("COLORS") and "--background" not in words:
            classes = class_file(self._styled, field, values, folder)
            words += [] if classes is None else ["--classes", str(classes)]
        return words


class InspectAlgorithm(LabeledAlgorithm):
    """`swath inspect`."""

    NAME = "inspect"
    TITLE = "Inspect training data"
    HELP = (
        "Reads every pixel and every label, and reports what is here and what is wrong with it: "
        "classes, bands, nodata, labels outside of the rasters, duplicates. Features are taken as "
        "QGIS has them: filtered, selected, edited. The findings are in the log and in the report."
    )

    def declare(self) -> list[Any]:
        report = core.QgsProcessingParameterFolderDestination("REPORT", tr("Report folder"))
        ready = core.QgsProcessingOutputBoolean("OK", tr("Ready to train"))
        html = core.QgsProcessingOutputHtml("HTML", tr("Report"))
        return [*super().declare(), report, html, ready]

    def work(self, run: Run) -> dict[str, Any]:
        report = run.text("REPORT")
        with tempfile.TemporaryDirectory(prefix="swath-") as folder:
            words = self.source_words(run, Path(folder))
            result = run.swath(["inspect", *words, "--report", report])
        errors = [f for f in result["findings"] if f["level"] == "error"]
        for finding in errors:
            text = f"{finding['code']}: {finding['message']} {finding['fix']}"
            run.feedback.reportError(text)
        return {"REPORT": report, "HTML": str(Path(report) / "index.html"), "OK": not errors}


QUICK = 0


class TrainAlgorithm(LabeledAlgorithm):
    """`swath prepare`, `swath train` and, for full training, `swath evaluate`."""

    NAME = "train"
    TITLE = "Train a model"
    HELP = (
        "Trains a model on rasters and a layer of polygons, lines or points with their classes. "
        "Quick: seconds to minutes, from tens of labels in one scene, scored by folds over them. "
        "Full: a network trained for the minutes given, on hundreds of labels or several scenes, "
        "scored on blocks that training has not seen. Several rasters of one band each on one grid "
        "are the bands of one scene. A cancelled full training goes on when it is run again with "
        "the same inputs and model file."
    )

    def declare(self) -> list[Any]:
        kinds = [tr("Quick"), tr("Full")]
        return [
            *super().declare(),
            core.QgsProcessingParameterEnum("KIND", tr("Training"), kinds, False, QUICK),
            number("MINUTES", tr("Minutes of full training"), 30, 0.1),
            advanced(number("STEPS", tr("Steps of full training, instead of minutes"), None, 1)),
            base.new_model(),
            core.QgsProcessingOutputNumber("MIOU", tr("Mean IoU on held-out labels")),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        model, quick = run.file("MODEL"), run.integer("KIND") == QUICK
        with Work(model, kept=not quick) as work:
            words, dataset = self.source_words(run, work.folder), work.folder / "dataset"
            prepare = ["prepare", words[0], str(dataset), *words[1:]]
            prepare += ["--test", "none", "--val", "none"] if quick else []
            goes_on = work.continues({"prepare": prepare}, self.sources)
            if not (goes_on and (dataset / "dataset.json").exists()):
                run.swath(prepare, 0, 10)
            train = ["train", str(dataset), model]
            if quick:
                folds = run.swath([*train, "--recipe", "quick"], 10)["folds"]
                return {"MODEL": model, "MIOU": folds["miou"] if folds else None}
            train += run.option("--steps", "STEPS") or run.option("--minutes", "MINUTES")
            begun = Path(f"{model}.training", "last.ckpt").exists()
            train += ["--resume"] if goes_on and begun else []
            score = run.swath(train, 10, 95)["validation_miou"]
            manifest = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
            if any(sample["split"] == "test" for sample in manifest["samples"]):
                score = run.swath(["evaluate", model, str(dataset)], 95)["miou"]
        return {"MODEL": model, "MIOU": score}


class SuggestAlgorithm(SwathAlgorithm):
    """`swath suggest`."""

    NAME = "suggest"
    TITLE = "Where to label next"
    HELP = (
        "Finds the regions whose label would teach the model most: uncertain, unlike what is "
        "labeled already, and spread over place and class."
    )
    RASTERS = "RASTERS"

    def declare(self) -> list[Any]:
        regions, polygon = tr("Where to label next"), core.QgsProcessing.TypeVectorPolygon
        return [
            base.model(),
            base.rasters(tr("Raster (or its bands)")),
            *base.labels(tr("Labels until now")),
            number("N", tr("Number of regions"), 20, 1),
            core.QgsProcessingParameterVectorDestination("REGIONS", regions, polygon),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        regions = run.output("REGIONS")
        with tempfile.TemporaryDirectory(prefix="swath-") as name:
            labels, _ = export_features(run.features("LABELS"), run.text("FIELD"), Path(name))
            image = raster_files(self.rasters, Path(name))[0]
            words = ["suggest", run.text("MODEL"), image, labels, regions]
            run.swath([*words, "--label-field", CLASS, *run.option("-n", "N")])
        dress(run.context, regions, Dressed(style="regions.qml"))
        return {"REGIONS": regions}


class ImportAlgorithm(SwathAlgorithm):
    """`swath import`."""

    NAME = "import"
    TITLE = "Import ONNX"
    HELP = (
        "Turns an ONNX segmentation network into a model file. What the file, or a STAC item "
        "beside it, says of bands, classes and scaling need not be given. Lists are separated by "
        "commas; scale, mean and deviation are one number, or one a band."
    )
    TEXTS = {
        "BANDS": ("--bands", "Bands, in the order of the network"),
        "CLASSES": ("--classes", "Classes, by channel of the output"),
        "SCALE": ("--scale", "Factor on stored numbers"),
        "MEAN": ("--mean", "Mean to subtract"),
        "STD": ("--std", "Deviation to divide by"),
        "GSD": ("--gsd", "Ground sampling distance in meters"),
    }

    def declare(self) -> list[Any]:
        file, text = core.QgsProcessingParameterFile, core.QgsProcessingParameterString
        return [
            file("NETWORK", tr("ONNX file"), file.Behavior.File, "onnx"),
            *(text(name, tr(title), None, False, True) for name, (_, title) in self.TEXTS.items()),
            base.new_model(),
        ]

    def work(self, run: Run) -> dict[str, Any]:
        model = run.file("MODEL")
        words = ["import", run.text("NETWORK"), model]
        for name, (flag, _) in self.TEXTS.items():
            words += run.option(flag, name)
        run.swath(words)
        return {"MODEL": model}


ALGORITHMS = InspectAlgorithm, TrainAlgorithm, SuggestAlgorithm, ImportAlgorithm
