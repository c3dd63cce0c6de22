"""titiler.core's endpoints for the served files: tiles, TileJSON, WMTS, points, statistics.

What lets a request ask for unlimited work is left out: expressions, algorithms, free sizes. Tiles
are read by `MapLayer`, everything else by rio-tiler.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from fastapi import Depends, HTTPException, Query
from morecantile.defaults import TileMatrixSets
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT
from rio_tiler.constants import WEB_MERCATOR_TMS
from rio_tiler.io import Reader
from rio_tiler.models import ImageData
from starlette.responses import Response
from titiler.core.dependencies import DefaultDependency, StatisticsParams
from titiler.core.factory import TilerFactory, img_endpoint_params
from titiler.core.resources.enums import ImageType
from titiler.core.utils import render_image
from titiler.extensions.wmts import wmtsExtension

from swath.errors import DataError
from swath.io.raster import open_raster
from swath.server.layer import PERCENT, MapLayer, RasterLayer
from swath.server.registry import Registry
from swath.server.tile_images import Rgba, colored, stretched
from swath.server.web_mercator import PIXEL_SIZE, TILE_SIZE, MercatorTile

MERCATOR_CRS = CRS.from_epsg(3857)

PIXEL_TRANSFORM = Affine(PIXEL_SIZE, 0, 0, 0, -PIXEL_SIZE, 0)
"""Transform of a raster without CRS on the web map."""

MAX_IMAGE_SIDE = 1024
"""Largest side in pixels of a tile, and of the decimated image for statistics."""

Name: TypeAlias = Annotated[str, Query(max_length=1000, description="Name of a served file.")]
BandIndexes: TypeAlias = Annotated[
    list[int] | None, Query(alias="bidx", max_length=4, description="Bands, counted from 1.")
]
TileSide: TypeAlias = Annotated[
    int, Query(gt=0, le=MAX_IMAGE_SIDE, description="Side of the tile in pixels.")
]
PreviewSide: TypeAlias = Annotated[
    int, Query(gt=0, le=MAX_IMAGE_SIDE, description="Longest side of the image in pixels.")
]
Bins: TypeAlias = Annotated[
    int, Query(alias="histogram_bins", gt=0, le=1000, description="Number of bins.")
]
HiddenCodes: TypeAlias = Annotated[
    str, Query(description="Codes of classes not to draw, separated by commas.", max_length=2000)
]


class LayerReader(Reader):
    """rio-tiler's reader of a layer.

    Raises:
        DataError: the map is still being predicted.
    """

    def __init__(self, layer: MapLayer, tms: Any = WEB_MERCATOR_TMS, **_: Any) -> None:
        self.layer = layer
        if not isinstance(layer, RasterLayer):
            raise DataError(
                "The map is still being predicted",
                code="map-unfinished",
                file=layer.path,
                fix="Try again when the prediction is complete",
            )
        with ExitStack() as stack:
            dataset = stack.enter_context(open_raster(layer.path, layer.driver))
            if dataset.crs is None or layer.placement.in_pixels:
                crs, transform = layer.grid.crs, layer.grid.affine
                if layer.placement.in_pixels:
                    crs, transform = MERCATOR_CRS, PIXEL_TRANSFORM
                placed = WarpedVRT(
                    dataset,
                    src_crs=crs,
                    crs=crs,
                    src_transform=transform,
                    transform=transform,
                    width=dataset.width,
                    height=dataset.height,
                )
                dataset = stack.enter_context(placed)
            super().__init__(str(layer.path), dataset=dataset, tms=tms, colormap=dict(layer.colors))
            self._ctx_stack.push(stack.pop_all())

    def preview(self, *args: Any, **options: Any) -> ImageData:
        """Read the whole raster, decimated, for statistics.

        Raises:
            HTTPException: 400 for a large file without overviews.
        """
        if self.layer.min_zoom > 0:
            raise HTTPException(400, "The file has no overviews, and is too large without them.")
        return super().preview(*args, **options)


def read_tile(
    layer: MapLayer, tile: MercatorTile, size: int, indexes: list[int] | None = None
) -> ImageData:
    """Read a tile as rio-tiler's type; without `indexes` (from 1), the bands that are shown.

    Raises:
        HTTPException: 400 for a missing band.
    """
    if indexes and not all(1 <= i <= len(layer.bands) for i in indexes):
        raise HTTPException(400, f"Bands are 1 to {len(layer.bands)}.")
    chosen = [i - 1 for i in indexes] if indexes else layer.shown
    values, valid = layer.tile(tile, size)
    ends = [] if layer.colors else [layer.stretch[i] for i in chosen]
    return ImageData(
        np.ma.MaskedArray(values[chosen], np.broadcast_to(~valid, (len(chosen), size, size))),
        bounds=tile.bounds,
        crs=MERCATOR_CRS,
        band_names=[f"b{i + 1}" for i in chosen],
        dataset_statistics=ends or None,
    )


def checked_tile(z: int, x: int, y: int) -> MercatorTile:
    """Return a tile of the pyramid.

    Raises:
        HTTPException: 404 where there is no such tile.
    """
    tile = MercatorTile(z, x, y)
    if not tile.exists:
        raise HTTPException(404, "There is no such tile.")
    return tile


def render(
    image: ImageData, output_format: ImageType | None = None, colormap: Any = None, **options: Any
) -> tuple[bytes, str]:
    """Encode an image: color tables here, all else by titiler.

    Without a format, titiler picks JPEG where all pixels are valid, else PNG.
    """
    mask = np.ma.getmaskarray(image.array)
    if colormap and image.count == 1 and output_format in (None, ImageType.png):
        return colored(image.array.data[0], ~mask[0], colormap), "image/png"
    eight_bits = (None, ImageType.png, ImageType.jpeg, ImageType.webp)
    if not colormap and image.dataset_statistics and output_format in eight_bits:
        values = stretched(image.array.data, list(image.dataset_statistics))
        image.array = np.ma.MaskedArray(values, mask)
    return render_image(image, output_format=output_format, colormap=colormap, **options)


@dataclass
class BandSelection(DefaultDependency):
    """Which bands are drawn."""

    indexes: BandIndexes = None


@dataclass
class NoOptions(DefaultDependency):
    """No options."""


@dataclass
class PreviewOptions(DefaultDependency):
    """The decimated image that statistics are made from."""

    max_size: PreviewSide = MAX_IMAGE_SIDE


@dataclass
class HistogramOptions(DefaultDependency):
    """The histogram of statistics."""

    bins: Bins = 10


def make_tiler(registry: Registry, prefix: str) -> TilerFactory:
    """Make titiler's endpoints for the files of a registry."""

    def layer_of(url: Name) -> MapLayer:
        return registry.layer(url)

    def colors_of(
        layer: Annotated[MapLayer, Depends(layer_of)], hide: HiddenCodes = ""
    ) -> dict[int, Rgba] | None:
        hidden = {part for part in hide.split(",") if part}
        if not hidden or layer.kind in PERCENT:
            return None
        shown = {code: color for code, color in layer.colors.items() if str(code) not in hidden}
        return shown or {-1: (0, 0, 0, 0)}

    wmts = wmtsExtension(
        tile_dependencies=[BandSelection], layer_identifier_provider=lambda layer: layer.path.name
    )
    return _LayerTilerFactory(
        reader=LayerReader,
        router_prefix=prefix,
        path_dependency=layer_of,
        layer_dependency=BandSelection,
        dataset_dependency=NoOptions,
        tile_dependency=NoOptions,
        img_preview_dependency=PreviewOptions,
        stats_dependency=StatisticsParams,
        histogram_dependency=HistogramOptions,
        process_dependency=lambda: None,
        colormap_dependency=colors_of,
        render_dependency=NoOptions,
        render_func=render,
        supported_tms=TileMatrixSets({"WebMercatorQuad": WEB_MERCATOR_TMS}),
        add_viewer=False,
        add_preview=False,
        add_part=False,
        route_dependencies=[
            ([{"path": "/point/{lon},{lat}", "method": "GET"}], [Depends(check_point)])
        ],
        extensions=[wmts],
    )


class _LayerTilerFactory(TilerFactory):
    def register_routes(self) -> None:
        """Register titiler's routes, less those that accept work of any size in a body."""
        super().register_routes()  # type: ignore[no-untyped-call]
        self.router.routes[:] = [
            r for r in self.router.routes if "POST" not in (getattr(r, "methods", None) or ())
        ]

    def tile(self) -> None:
        """Register `/tiles`; titiler's own opens the file again for each tile."""
        colors = self.colormap_dependency
        path = "/tiles/{tileMatrixSetId}/{z}/{x}/{y}"

        @self.router.get(path, operation_id="tile", **img_endpoint_params)
        @self.router.get(path + ".{format}", operation_id="tileWithFormat", **img_endpoint_params)
        def tile(  # noqa: PLR0913 - the parameters of titiler's own
            tileMatrixSetId: Literal["WebMercatorQuad"],  # noqa: N803 - titiler's name
            z: int,
            x: int,
            y: int,
            layer: Annotated[MapLayer, Depends(self.path_dependency)],
            bands: Annotated[BandSelection, Depends(BandSelection)],
            colormap: Annotated[dict[int, Rgba] | None, Depends(colors)],
            format: ImageType | None = None,
            tilesize: TileSide = TILE_SIZE,
        ) -> Response:
            """Return a tile as an image; JPEG or PNG where no format is given."""
            image = read_tile(layer, checked_tile(z, x, y), tilesize, bands.indexes)
            content, kind = render(image, format, colormap or layer.colors)
            return Response(content, media_type=kind)


def check_point(lon: float, lat: float) -> None:
    """Check the coordinates of a `/point`.

    Raises:
        HTTPException: 400 where they are not on the earth.
    """
    if not (-360 <= lon <= 360 and -90 <= lat <= 90):
        raise HTTPException(400, "Longitude is -360 to 360, latitude -90 to 90.")
