"""QGIS layers as files for the program: features, rasters, classes with colors."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.PyQt.QtCore import QMetaType, QVariant

from qgis import core

from .program import ProgramError
from .texts import tr

CLASS = "class"
"""Column of the classes in exported layers."""

if core.Qgis.QGIS_VERSION_INT >= 33800:
    TEXT, INTEGER = QMetaType.Type.QString, QMetaType.Type.Int
    LONG, DOUBLE = QMetaType.Type.LongLong, QMetaType.Type.Double
else:  # columns have types of QVariant, which PyQt6 has no more
    TEXT, INTEGER = QVariant.String, QVariant.Int
    LONG, DOUBLE = QVariant.LongLong, QVariant.Double


def export_features(
    source: Any, field: str | None, folder: Path, wanted: str = CLASS
) -> tuple[Path, list[Any]]:
    """Write the features of a layer as QGIS has them: filtered, selected, edited, in its CRS.

    None is left out: what is without geometry or value is for the program to judge. The GeoPackage
    is named after its content, so that equal features are one file, which is not touched again.

    The column `field` is called `wanted` there; with None, only shapes are written. The distinct
    values of the column but NULL are returned, too, sorted.
    """
    features = [
        (_flat(f.geometry()), None if field is None else _plain(f[field]))
        for f in source.getFeatures()
    ]
    shapes = [geometry for geometry, _ in features if geometry is not None]
    if not shapes:
        text = tr("The layer {} has no feature with a geometry")
        raise ProgramError(text.format(source.sourceName()))
    values = {value for _, value in features} - {None}
    content = [source.sourceCrs().toWkt(), *((g and g.asWkb().data(), v) for g, v in features)]
    path = folder / f"layer-{_digest(repr(content).encode())}.gpkg"
    if not path.exists():
        kind = next((g.wkbType() for g in shapes if g.isMultipart()), shapes[0].wkbType())
        fields = core.QgsFields()
        if field is not None:
            fields.append(core.QgsField(wanted, LONG if _whole(values) else TEXT))
        _write(path, fields, kind, source.sourceCrs(), features)
    return path, sorted(values, key=lambda value: (str(type(value)), value))


def export_extent(
    geometry: core.QgsGeometry, crs: core.QgsCoordinateReferenceSystem, folder: Path
) -> Path:
    """Write a polygon as a layer of its own."""
    layer = core.QgsVectorLayer("Polygon", "extent", "memory")
    layer.setCrs(crs)
    feature = core.QgsFeature()
    feature.setGeometry(geometry)
    layer.dataProvider().addFeatures([feature])
    return export_features(layer, None, folder)[0]


def _whole(values: set[Any]) -> bool:
    return all(isinstance(value, int) for value in values)


def _plain(value: Any) -> Any:
    """Return a value as a whole number or text; None for NULL and empty text."""
    if value is None or isinstance(value, QVariant) and value.isNull():
        return None
    if isinstance(value, (int, float)) and math.isfinite(value) and value == int(value):
        return int(value)
    return str(value).strip() or None


def _flat(geometry: core.QgsGeometry) -> core.QgsGeometry | None:
    """Return a geometry of two dimensions with straight edges; None where there is none."""
    if geometry.isNull() or geometry.isEmpty():
        return None
    straight = core.QgsGeometry(geometry.constGet().segmentize())
    shape = straight.get()
    shape.dropZValue()
    shape.dropMValue()
    if shape.partCount() == 1 and shape.dimension() == 0:
        straight.convertToSingleType()  # points that were sampled must be points
    else:
        straight.convertToMultiType()
    return straight


def _write(
    path: Path, fields: core.QgsFields, kind: Any, crs: Any, features: Sequence[tuple[Any, Any]]
) -> None:
    options = core.QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", "labels"
    context, partial = core.QgsProject.instance().transformContext(), path.with_suffix(".part.gpkg")
    given = str(partial), fields, kind, crs, context, options
    writer = core.QgsVectorFileWriter.create(*given)
    text = len(fields) and fields.at(0).type() == TEXT
    for geometry, value in features:
        feature = core.QgsFeature(fields)
        if geometry is not None:
            feature.setGeometry(geometry)
        if len(fields) and value is not None:
            feature.setAttribute(0, str(value) if text else value)
        writer.addFeature(feature)
    failed = writer.hasError() and writer.errorMessage()
    del writer  # closes the file
    if failed:
        raise ProgramError(failed)
    partial.replace(path)


def class_file(layer: Any, field: str, values: Sequence[Any], folder: Path) -> Path | None:
    """Write the classes with the colors of a layer's symbology, in the order of its legend.

    None is returned where the layer has no symbol by the values of the column.
    """
    colors = symbol_colors(layer, field)
    if not any(value in colors for value in values):
        return None
    order = sorted(values, key=lambda v: list(colors).index(v) if v in colors else len(colors))
    classes = [
        {"name": str(value), "code": value if _whole(set(values)) else number}
        | ({"color": colors[value]} if value in colors else {})
        for number, value in enumerate(order, 1)
    ]
    text = json.dumps({"classes": classes}, indent=1)
    path = folder / f"classes-{_digest(text.encode())}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _digest(content: bytes) -> str:
    """Return what names a file after its content."""
    return hashlib.sha256(content).hexdigest()[:16]


def symbol_colors(layer: Any, field: str) -> dict[Any, str]:
    """Return the colors (`#rrggbb`) of a layer's categories by value of a column, in order."""
    renderer = layer.renderer() if isinstance(layer, core.QgsVectorLayer) else None
    if not isinstance(renderer, core.QgsCategorizedSymbolRenderer):
        return {}
    if renderer.classAttribute().strip('"') != field:
        return {}
    pairs = [(c.value(), c.symbol().color().name()) for c in renderer.categories()]
    flat = [(one, color) for v, color in pairs for one in (v if isinstance(v, list) else [v])]
    return {_plain(v): color for v, color in flat if _plain(v) is not None}


def raster_files(layers: Sequence[core.QgsRasterLayer], folder: Path) -> list[str]:
    """Return files with the pixels of raster layers, as QGIS places them.

    Layers of one band each, on one grid, become one image with those bands. A layer whose CRS was
    set in QGIS, or that is no plain file, is named by a virtual raster in `folder`.
    """
    for layer in layers:
        if layer.providerType() != "gdal":
            text = tr("The layer {} is no raster file: save it as a GeoTIFF first")
            raise ProgramError(text.format(layer.name()))
    if len(layers) > 1 and all(layer.bandCount() == 1 for layer in layers):
        if len({_grid(layer) for layer in layers}) == 1:
            return [_stacked(layers, folder)]
    return [_file(layer, number, folder) for number, layer in enumerate(layers)]


def _grid(layer: core.QgsRasterLayer) -> str:
    return f"{layer.extent().toString(6)} {layer.width()} {layer.height()} {layer.crs().authid()}"


def _file(layer: core.QgsRasterLayer, number: int, folder: Path) -> str:
    source = str(layer.source())
    given, own = layer.crs(), layer.dataProvider().crs()
    moved = given.isValid() and given != own
    if Path(source).exists() and not moved:
        return source
    crs = {"outputSRS": given.toWkt()} if moved else {}
    name = f"{number}-{Path(source).stem}"
    return _virtual(folder, name, lambda new: gdal.Translate(new, source, format="VRT", **crs))


def _stacked(layers: Sequence[core.QgsRasterLayer], folder: Path) -> str:
    files = [_file(layer, number, folder) for number, layer in enumerate(layers)]

    def stack(new: str) -> Any:
        made = gdal.BuildVRT(new, files, separate=True)
        for number, layer in enumerate(layers if made else (), 1):
            made.GetRasterBand(number).SetDescription(Path(layer.source()).stem)
        return made

    return _virtual(folder, "bands", stack)


def _virtual(folder: Path, name: str, make: Callable[[str], Any]) -> str:
    """Write a virtual raster, named after its content; one that is there is not touched."""
    new = folder / f"{name}.vrt"
    made = make(str(new))
    if made is None:
        raise ProgramError(tr("The raster cannot be read: {}").format(gdal.GetLastErrorMsg()))
    made.FlushCache()
    del made
    path = folder / f"{name}-{_digest(new.read_bytes())}.vrt"
    if not path.exists():
        new.replace(path)
    new.unlink(missing_ok=True)
    return str(path)
