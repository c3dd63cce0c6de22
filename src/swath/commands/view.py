"""`swath view`: a map over its image, in the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path

from pydantic import PrivateAttr

from swath.commands.base import command
from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.raster import open_raster
from swath.legend import Legend, pack_rgb, read_legend
from swath.models.model import Model
from swath.options import ViewOptions
from swath.server.app import create_app
from swath.server.layer import Hint, MapLayer, driver_of
from swath.server.registry import Registry
from swath.server.security import AccessRules
from swath.server.uvicorn_server import Server, wait_for_signal
from swath.server.viewer_api import belonging, describe
from swath.types import Result


class ViewResult(Result):
    """A page that is being served, until `close` is called or the program ends.

    Attributes:
        url: its address, on this machine.
        layers: names of what it shows, from the ground up.
    """

    url: str
    layers: list[str]
    _server: Server = PrivateAttr()

    def wait(self) -> None:
        """Serve until someone presses Ctrl-C."""
        wait_for_signal()
        self.close()

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


@command(ViewOptions)
def view(options: ViewOptions) -> ViewResult:
    """Serve a page that shows a map, its image and what belongs to them; return while it is being served.

    Raises:
        DataError: a file cannot be read, or lies nowhere near the map.
        UsageError: the class file is wrong.
        JobError: the port is taken.
    """
    registry, names = _shelve(options)
    layers = [str(row["name"]) for row in describe(registry, names)["layers"]]
    server = Server(create_app(registry, AccessRules(), first=names), "127.0.0.1", options.port)
    server.start()
    result = ViewResult(url=f"http://127.0.0.1:{server.port}/", layers=layers)
    result._server = server
    if options.open and _has_screen():
        webbrowser.open(result.url)
    return result


def _shelve(options: ViewOptions) -> tuple[Registry, list[str]]:
    """Put the files on a shelf: the first as a map if it can be one, with what `predict` wrote beside it, then the others."""
    registry = Registry()
    path = Path(options.map)
    legend = _legend(options)
    names = [registry.add(path, Hint(legend=legend))]
    first = registry.layer(names[0])
    given = [Path(p) for p in (options.image, *options.more) if p is not None]
    beside = [path.with_name(name) for name in belonging(path.name)]
    for other in [*given, *(p for p in beside if p.is_file() and p not in given)]:
        names.append(registry.add(other, Hint(grid=_borrowed(other, first))))
    if options.reference is not None:
        reference = Path(options.reference)
        names.append(
            registry.add(
                reference,
                Hint("truth", legend or _own(first, reference), _borrowed(reference, first)),
            )
        )
    return registry, list(dict.fromkeys(names))


def _legend(options: ViewOptions) -> Legend | None:
    """Read the classes of the labels, from a class file or a model."""
    if options.classes is None:
        return None
    path = Path(options.classes)
    return Model(path).card.legend if path.suffix == ".swath" else read_legend(path)


def _own(first: MapLayer, reference: Path) -> Legend:
    """Return the map's own classes for the labels: told apart by their colors where the labels are colors."""
    if first.legend is None:
        raise DataError(
            "it is not a map, so its classes are not known",
            file=first.path,
            fix="Give --classes FILE",
        )
    with open_raster(reference, driver_of(reference)) as dataset:
        painted = dataset.count >= 3
    if not painted:
        return first.legend
    return Legend(
        tuple(replace(c, codes=(pack_rgb(c.color),)) for c in first.legend.trained),
        "color",
        str(first.path),
    )


def _borrowed(path: Path, first: MapLayer) -> GeoBox | None:
    """Return the map's grid for a file of the same size that has no CRS, such as a photograph of the same scene."""
    if first.grid.crs is None or not path.is_file():
        return None
    with open_raster(path, driver_of(path)) as dataset:
        own = geobox_of(dataset)
    return (
        first.grid
        if own.crs is None and (own.height, own.width) == (first.grid.height, first.grid.width)
        else None
    )


def _has_screen() -> bool:
    """Tell whether a browser could be seen; one for terminals must not take over this one."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in names)
