"""The endpoints of titiler.core for what is on the shelf: tiles, TileJSON, WMTS, points, statistics.

They are titiler's own, for its clients; what is cut off is what lets a request ask for boundless
work (expressions, algorithms, free sizes). Tiles are read by `MapLayer`, everything else by rio-tiler.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Literal

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
from swath.server.layer import PERCENT, MapLayer
from swath.server.live_layer import LiveLayer
from swath.server.registry import Registry
from swath.server.tile_images import Rgb, colored, stretched
from swath.server.web_mercator import PIXEL, SIZE, MercatorTile

MERCATOR = CRS.from_epsg(3857)

LAID_OUT = Affine(PIXEL, 0, 0, 0, -PIXEL, 0)
"""Transform of a raster without CRS, which is laid out in pixels."""

LARGEST = 1024
"""Largest side of a tile or of the picture that statistics are made from, in pixels."""


class LayerReader(Reader):
    """rio-tiler's reader of one of our layers.

    Raises:
        DataError: the map is still being predicted.
    """

    def __init__(self, layer: MapLayer, tms: Any = WEB_MERCATOR_TMS, **_: Any) -> None:
        self.layer = layer
        if isinstance(layer, LiveLayer):
            raise DataError(
                "it is still being predicted", file=layer.path, fix="Ask again when it is whole"
            )
        with ExitStack() as stack:
            dataset = stack.enter_context(open_raster(layer.path, layer.driver))
            if dataset.crs is None:
                in_pixels = layer.place.in_pixels
                crs, transform = (
                    (MERCATOR, LAID_OUT) if in_pixels else (layer.grid.crs, layer.grid.affine)
                )
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
        """Read a picture of all of it, for statistics.

        Raises:
            HTTPException: 400 for a large file without overviews.
        """
        if self.layer.shallowest > 0:
            raise HTTPException(400, "It has no overviews, and is too large without them.")
        return super().preview(*args, **options)


def read_tile(
    layer: MapLayer, tile: MercatorTile, size: int, indexes: list[int] | None = None
) -> ImageData:
    """Read a tile as rio-tiler has it; without `indexes` (from 1), the bands that are shown.

    Raises:
        HTTPException: 400 for a band that is not there.
    """
    if indexes and not all(1 <= i <= len(layer.bands) for i in indexes):
        raise HTTPException(400, f"Bands are 1 to {len(layer.bands)}.")
    chosen = [i - 1 for i in indexes] if indexes else layer.shown
    values, valid = layer.tile(tile, size)
    ends = [] if layer.colors else [layer.stretch[i] for i in chosen]
    return ImageData(
        np.ma.MaskedArray(values[chosen], np.broadcast_to(~valid, (len(chosen), size, size))),
        bounds=tile.bounds,
        crs=MERCATOR,
        band_names=[f"b{i + 1}" for i in chosen],
        dataset_statistics=ends or None,
    )


def checked_tile(z: int, x: int, y: int) -> MercatorTile:
    """Return a tile that exists.

    Raises:
        HTTPException: 404 where there is no such tile.
    """
    tile = MercatorTile(z, x, y)
    if not tile.exists:
        raise HTTPException(404, "There is no such tile.")
    return tile


def draw(
    image: ImageData, output_format: ImageType | None = None, colormap: Any = None, **options: Any
) -> tuple[bytes, str]:
    """Render an image: color tables here, all else by titiler, which picks JPEG where everything is valid, else PNG."""
    if colormap and image.count == 1 and output_format in (None, ImageType.png):
        valid = ~np.ma.getmaskarray(image.array)[0]
        return colored(image.array.data[0], valid, colormap), "image/png"
    if (
        not colormap
        and image.dataset_statistics
        and output_format in (None, ImageType.png, ImageType.jpeg, ImageType.webp)
    ):
        mask = np.ma.getmaskarray(image.array)
        image.array = np.ma.MaskedArray(
            stretched(image.array.data, list(image.dataset_statistics)), mask
        )
    return render_image(image, output_format=output_format, colormap=colormap, **options)


@dataclass
class BandSelection(DefaultDependency):
    """Which bands are drawn."""

    indexes: Annotated[
        list[int] | None, Query(alias="bidx", max_length=4, description="Bands, counted from 1.")
    ] = None


@dataclass
class NoOptions(DefaultDependency):
    """No options."""


@dataclass
class PreviewOptions(DefaultDependency):
    """The picture that statistics are made from."""

    max_size: Annotated[int, Query(gt=0, le=LARGEST, description="Its longest side in pixels.")] = (
        LARGEST
    )


@dataclass
class HistogramOptions(DefaultDependency):
    """The histogram of statistics."""

    bins: Annotated[
        int, Query(alias="histogram_bins", gt=0, le=1000, description="Number of its bins.")
    ] = 10


Name = Annotated[str, Query(max_length=1000, description="Name of a served file.")]


def build(registry: Registry, prefix: str) -> TilerFactory:
    """Make the endpoints."""

    def layer(url: Name) -> MapLayer:
        return registry.layer(url)

    def colors(
        layer: Annotated[MapLayer, Depends(layer)],
        hide: Annotated[
            str, Query(description="Codes of classes not to draw, by comma.", max_length=2000)
        ] = "",
    ) -> dict[int, Rgb] | None:
        hidden = {part for part in hide.split(",") if part}
        if not hidden or layer.kind in PERCENT:
            return None
        return {code: c for code, c in layer.colors.items() if str(code) not in hidden} or {
            -1: (0, 0, 0, 0)
        }

    return _Factory(
        reader=LayerReader,
        router_prefix=prefix,
        path_dependency=layer,
        layer_dependency=BandSelection,
        dataset_dependency=NoOptions,
        tile_dependency=NoOptions,
        img_preview_dependency=PreviewOptions,
        stats_dependency=StatisticsParams,
        histogram_dependency=HistogramOptions,
        process_dependency=_nothing,
        colormap_dependency=colors,
        render_dependency=NoOptions,
        render_func=draw,
        supported_tms=TileMatrixSets({"WebMercatorQuad": WEB_MERCATOR_TMS}),
        add_viewer=False,
        add_preview=False,
        add_part=False,
        route_dependencies=[
            ([{"path": "/point/{lon},{lat}", "method": "GET"}], [Depends(on_earth)])
        ],
        extensions=[
            wmtsExtension(
                tile_dependencies=[BandSelection],
                layer_identifier_provider=lambda layer: layer.path.name,
            )
        ],
    )


class _Factory(TilerFactory):
    def register_routes(self) -> None:
        """Register titiler's routes, less those that take work of any size in a body."""
        super().register_routes()  # type: ignore[no-untyped-call]
        self.router.routes[:] = [
            r for r in self.router.routes if "POST" not in (getattr(r, "methods", None) or ())
        ]

    def tile(self) -> None:
        """Register `/tiles`, without titiler's opening of the file anew for each."""
        colors = self.colormap_dependency

        @self.router.get(
            "/tiles/{tileMatrixSetId}/{z}/{x}/{y}", operation_id="tile", **img_endpoint_params
        )
        @self.router.get(
            "/tiles/{tileMatrixSetId}/{z}/{x}/{y}.{format}",
            operation_id="tileWithFormat",
            **img_endpoint_params,
        )
        def tile(  # noqa: PLR0913 - what titiler's own takes
            tileMatrixSetId: Literal["WebMercatorQuad"],  # noqa: N803 - titiler's name
            z: int,
            x: int,
            y: int,
            layer: Annotated[MapLayer, Depends(self.path_dependency)],
            bands: Annotated[BandSelection, Depends(BandSelection)],
            colormap: Annotated[dict[int, Rgb] | None, Depends(colors)],
            format: ImageType | None = None,
            tilesize: Annotated[
                int, Query(gt=0, le=LARGEST, description="Side of the tile in pixels.")
            ] = SIZE,
        ) -> Response:
            """Return a tile as a picture; JPEG or PNG, as fits, where no format is given."""
            image = read_tile(layer, checked_tile(z, x, y), tilesize, bands.indexes)
            content, kind = draw(image, format, colormap or layer.colors)
            return Response(content, media_type=kind)


def on_earth(lon: float, lat: float) -> None:
    """Check the place of a `/point`.

    Raises:
        HTTPException: 400 where it is not on the earth.
    """
    if not (-360 <= lon <= 360 and -90 <= lat <= 90):
        raise HTTPException(400, "Longitude is -360 to 360, latitude -90 to 90.")


def _nothing() -> None:
    return None
