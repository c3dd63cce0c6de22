"""The scene that is labeled: whatever `predict` maps, as a layer."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from swath.errors import DataError
from swath.geo.tiling import Pixels, Window
from swath.io.raster import Raster
from swath.io.source_file import BandFile
from swath.mapping.inputs import ImageInput, find_inputs, with_quality
from swath.server.layer import HandlePool, Hint, MapLayer, lowest_zoom, overviews_of
from swath.server.registry import RASTERS, Registry


class SceneLayer(MapLayer):
    """A product, an array, a virtual raster, or another image that is no plain file of a format.

    Pixels that its quality layers mask are drawn, and have no data where pixels are read as they
    are, for features.

    Args:
        path: as the user named it.
        source: what it is.

    Raises:
        DataError: a file is damaged, or the files do not fit together.
    """

    def __init__(self, path: Path, source: ImageInput) -> None:
        self._pool = HandlePool(source.open)
        with self._pool.lend() as opened:
            super().__init__(path, "image", opened.grid, opened.image.bands, opened.dtype)
        first = source.parts[0]
        overviews = overviews_of(first.path if isinstance(first, BandFile) else first)
        self.min_zoom = lowest_zoom(self.placement, overviews)

    legend = None

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        with self._pool.lend() as opened:
            if shape is None:
                return opened.read(window)
            return cast(Raster, opened.image).read(window, shape, nearest=nearest)

    def close(self) -> None:
        """Close idle files."""
        self._pool.close()


def register_scene(registry: Registry, scene: Path) -> tuple[str, list[str]]:
    """Register the image to label; return its name, and the files that it is read from.

    Raises:
        DataError: there is none, there are several, or one cannot be read.
    """
    found = find_inputs(scene, ())
    if len(found) > 1:
        names = ", ".join(source.name for source in found[:3])
        message = f"There are {len(found)} images here ({names}, ...), and one is labeled at a time"
        raise DataError(message, code="several-scenes", file=scene, fix="Name one of them")
    (source,), _ = with_quality(found, ("auto",))
    if scene.is_file() and scene.suffix.lower() in RASTERS and source.product is None:
        return registry.add(scene, Hint(kind="image")), [str(scene)]
    files = sorted(source.all_files())
    layer = SceneLayer(scene, source)
    registry.add_made(scene.name, layer, lambda: "scene")
    return scene.name, files
