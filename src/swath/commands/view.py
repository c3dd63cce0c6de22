"""`swath view`: a map over its image, in the browser."""

from __future__ import annotations

import logging
import os
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path

from swath.commands.base import command
from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.map_reader import beside
from swath.io.raster import open_raster
from swath.io.vector import is_vector_file
from swath.legend import Legend, pack_rgb, read_legend
from swath.mapping.change.dates import maps_of_dates
from swath.models.model import Model
from swath.options import ViewOptions
from swath.server.app import create_app
from swath.server.layer import Hint, MapLayer, driver_of
from swath.server.outlines import OutlineLayer, read_outlines
from swath.server.registry import Registry, unused_name
from swath.server.security import AccessRules
from swath.server.uvicorn_server import ServedResult, Server
from swath.server.viewer_api import describe_scene, sidecars
from swath.server.web_mercator import Placement
from swath.types import PathLike

log = logging.getLogger(__name__)


class ViewResult(ServedResult):
    """A page that is served on this machine until `close` is called or the program ends.

    Attributes:
        layers: names of its layers, from bottom to top.
        warnings: features that are not shown, or were mended.
    """

    layers: list[str]
    warnings: list[str] = []


@command(ViewOptions)
def view(options: ViewOptions) -> ViewResult:
    """Serve a page with a map, its image and what belongs to them; return while it is served.

    Vector layers are shown as outlines.

    Raises:
        DataError: a file cannot be read, only some of the files have a CRS, or a vector layer lies
            outside of the others.
        UsageError: the class file is wrong.
        JobError: the port is taken.
    """
    registry, names = _register_files(options)
    layers = [str(row["name"]) for row in describe_scene(registry, names)["layers"]]
    outlines, warnings = _read_outlines(options, [registry.layer(n).placement for n in names])
    for text in warnings:
        log.warning(text)
    app = create_app(registry, AccessRules(), first=names, outlines=outlines)
    server = Server(app, "127.0.0.1", options.port)
    server.start()
    layers += [outline.name for outline in outlines]
    url = f"http://127.0.0.1:{server.port}/"
    result = ViewResult(url=url, layers=layers, warnings=warnings)
    result._server = server
    if options.open and has_screen():
        webbrowser.open(result.url)
    return result


def _register_files(options: ViewOptions) -> tuple[Registry, list[str]]:
    """Register the map, the files given, what `predict` wrote beside the map, and the reference."""
    registry, path = Registry(), Path(options.map)
    legend = read_classes(options.classes)
    names = [registry.add(path, Hint(legend=legend))]
    first = registry.layer(names[0])
    given = [p for p in _given(options) if not is_vector_file(p)]
    beside = [path.with_name(name) for name in sidecars(path.name)]
    if first.transitions is not None:
        beside += maps_of_dates(path)
    for other in [*given, *(p for p in beside if p.is_file() and p not in given)]:
        names.append(registry.add(other, Hint(grid=_grid_of_map(other, first))))
    if options.reference is not None:
        labels = Path(options.reference)
        registry.add(labels)  # refuses a vector layer
        classes = legend or _classes_of_map(first, labels)
        names.append(registry.add(labels, Hint("reference", classes, _grid_of_map(labels, first))))
    return registry, list(dict.fromkeys(names))


def _given(options: ViewOptions) -> list[Path]:
    return [Path(p) for p in (options.image, *options.more) if p is not None]


def _read_outlines(
    options: ViewOptions, maps: list[Placement]
) -> tuple[list[OutlineLayer], list[str]]:
    """Read the vector files given, and the regions that `predict --review` wrote beside the map."""
    given = [p for p in _given(options) if is_vector_file(p)]
    layers, warnings = [layer for p in given for layer in read_outlines(p, maps)], list[str]()
    review = beside(Path(options.map), "review").with_suffix(".gpkg")
    if review.is_file() and review not in given:
        try:
            layers += read_outlines(review, maps)
        except DataError as error:
            warnings.append(str(error))
    for i, layer in enumerate(layers):
        layer.name = unused_name(layer.name, [other.name for other in layers[:i]])
    found = [f"{layer.name}: {text}" for layer in layers for text in layer.outlines().warnings]
    return layers, found + warnings


def read_classes(classes: PathLike | None) -> Legend | None:
    """Read the classes of labels, from a class file or a model; None for none."""
    if classes is None:
        return None
    path = Path(classes)
    return Model(path).card.legend if path.suffix == ".swath" else read_legend(path)


def _classes_of_map(first: MapLayer, reference: Path) -> Legend:
    """Return the map's classes for the labels: by color where the labels have three bands."""
    if first.legend is None:
        raise DataError(
            "The first file is not a map, so the classes of the reference are unknown",
            code="classes-missing",
            file=first.path,
            fix="Give --classes FILE",
        )
    with open_raster(reference, driver_of(reference)) as dataset:
        if dataset.count < 3:
            return first.legend
    classes = tuple(replace(c, codes=(pack_rgb(c.color),)) for c in first.legend.trained)
    return Legend(classes, "color", str(first.path))


def _grid_of_map(path: Path, first: MapLayer) -> GeoBox | None:
    """Return the map's grid for a file of the same size without CRS, such as a photograph."""
    if first.grid.crs is None or not path.is_file():
        return None
    with open_raster(path, driver_of(path)) as dataset:
        own = geobox_of(dataset)
    same_size = (own.height, own.width) == (first.grid.height, first.grid.width)
    return first.grid if own.crs is None and same_size else None


def has_screen() -> bool:
    """Return whether a browser can open a window; one for terminals would block this terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in names)
