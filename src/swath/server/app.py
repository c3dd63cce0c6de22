"""The web application: the page and its queries, titiler's endpoints, and predictions."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import FastAPI, HTTPException, Query
from prometheus_client import generate_latest
from rasterio.errors import RasterioError
from rio_tiler.errors import RioTilerError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from swath.errors import DataError, JobError, SwathError
from swath.server import static_files, viewer_api
from swath.server.change_list import largest_changes
from swath.server.labeling.refusal import Refused
from swath.server.labeling.routes import make_label_router
from swath.server.labeling.session import LabelingSession
from swath.server.layer import MapLayer
from swath.server.live_layer import LiveLayer
from swath.server.outlines import OutlineLayer, describe, feature_at
from swath.server.outlines import make_router as make_outline_router
from swath.server.predictions.job_queue import Jobs, QueueFull
from swath.server.predictions.uploads import make_router
from swath.server.registry import MODELS, RASTERS, NotServed, Registry
from swath.server.security import AccessRules, SecurityMiddleware
from swath.server.tile_images import difference
from swath.server.tiles import Name, checked_tile, make_tiler

Longitude: TypeAlias = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]
Latitude: TypeAlias = Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)]
Near: TypeAlias = Annotated[
    float,
    Query(ge=0, le=10, allow_inf_nan=False, description="Degrees at which a feature is met."),
]
Names: TypeAlias = Annotated[list[str], Query(max_length=20)]
OtherNames: TypeAlias = Annotated[list[str], Query(alias="with", max_length=20)]
OtherName: TypeAlias = Annotated[
    str | None, Query(max_length=1000, description="A second map, to compare with.")
]
Box: TypeAlias = Annotated[
    str, Query(max_length=200, description="West, south, east, north in degrees.")
]

MAX_EXACT = 4_000_000
"""A tile of differences is read undecimated up to so many raster pixels."""

MAX_TRIED = 200
"""Files that are opened to find the first map."""

_DESCRIPTION = (
    "Maps, tiles and predictions. "
    "`url` is always the name of a served file, as `/files` lists them."
)


def create_app(
    registry: Registry,
    rules: AccessRules,
    *,
    first: Sequence[str] = (),
    jobs: Jobs | None = None,
    upload: int = 0,
    labeling: LabelingSession | None = None,
    outlines: Sequence[OutlineLayer] = (),
) -> SecurityMiddleware:
    """Assemble the application.

    Args:
        registry: the files that are served.
        rules: who may send requests.
        first: names of the layers that the page shows at first; by default the first map of the
            registry and what belongs to it.
        jobs: the queue of predictions; without one `/predict` is refused.
        upload: largest size of an upload in bytes.
        labeling: labels that clients may change; without them there are no such routes.
        outlines: vector layers that the page shows over its maps.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="Swath",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    secured = SecurityMiddleware(app, rules)
    tiles = make_tiler(registry, "/cog").router
    app.include_router(tiles, prefix="/cog", tags=["Tiles, as titiler has them"])
    _add_errors(app)
    _add_page(app)
    layers = {layer.name: layer for layer in outlines}
    _add_scenes(app, registry, tuple(first), layers, labeling is not None)
    _add_readings(app, registry, layers)
    app.include_router(make_outline_router(layers))
    app.include_router(make_router(registry, jobs, upload), tags=["Predictions"])
    if labeling is not None:
        app.include_router(make_label_router(labeling))

    @app.get("/health", tags=["Server"])
    def health() -> dict[str, str]:
        """Report that the server answers."""
        return {"status": "ok"}

    @app.get("/metrics", tags=["Server"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return counts for Prometheus."""
        counts = {"queued": 0, "running": 0, "done": 0, "failed": 0}
        for state, count in (counts | (jobs.counts() if jobs else {})).items():
            secured.metrics.jobs.labels(state).set(count)
        content = generate_latest(secured.metrics.registry)
        return PlainTextResponse(content, media_type="text/plain; version=0.0.4; charset=utf-8")

    return secured


def _add_errors(app: FastAPI) -> None:
    """Answer errors as JSON, without a path of this machine."""

    @app.exception_handler(SwathError)
    def swath_error(request: Request, error: SwathError) -> JSONResponse:
        codes: dict[type, int] = {NotServed: 404, QueueFull: 503, JobError: 503}
        status = error.status if isinstance(error, Refused) else codes.get(type(error), 400)
        name = Path(error.file).name if error.file else None
        absent = error.code in ("no-such-file", "no-such-folder")  # whose mend names others
        fix = "See the list of files" if absent else error.fix
        public = SwathError(error.message, code=error.code, file=name, fix=fix)
        return JSONResponse({"detail": str(public), "code": error.code}, status)

    @app.exception_handler(RioTilerError)
    def tiler_error(request: Request, error: RioTilerError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.exception_handler(RasterioError)
    def raster_error(request: Request, error: RasterioError) -> JSONResponse:
        return JSONResponse({"detail": "The file is damaged, or cannot be read this way."}, 400)


def _add_page(app: FastAPI) -> None:
    def sender(name: str) -> Callable[[Request], Response]:
        def send(request: Request) -> Response:
            return static_files.send(name, request)

        return send

    for path, name in (("/", "index.html"), ("/docs", "docs.html"), ("/favicon.ico", "icon.svg")):
        app.add_api_route(path, sender(name), include_in_schema=False)

    @app.get("/static/{name:path}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        return static_files.send(name, request)


def _add_scenes(
    app: FastAPI,
    registry: Registry,
    first: tuple[str, ...],
    outlines: Mapping[str, OutlineLayer],
    labeling: bool,
) -> None:
    @app.get("/files", tags=["Maps"])
    def files() -> dict[str, Any]:
        """List the names of what is served."""
        return {"rasters": registry.names(RASTERS), "models": registry.names(MODELS)}

    @app.get("/scene", tags=["Maps"])
    def scene(map: Name | None = None, also: OtherNames = []) -> dict[str, Any]:  # noqa: B006
        """Describe a page: a map and what belongs to it, as layers."""
        if map is not None:
            names = viewer_api.choose_layers(registry, map)
        else:
            names = list(first) or _first_map(registry)
        others = [name for name in also if name not in names]
        page = viewer_api.describe_scene(registry, [*names, *others])
        return page | {"label": labeling, "outlines": [describe(o) for o in outlines.values()]}


def _add_readings(app: FastAPI, registry: Registry, outlines: Mapping[str, OutlineLayer]) -> None:
    @app.get("/values", tags=["Maps"])
    def values(lon: Longitude, lat: Latitude, url: Names, within: Near = 0) -> dict[str, Any]:
        """Read each layer at a point: class, code, percent, measurements; columns of a feature."""
        return {
            name: feature_at(outlines[name], lon, lat, within)
            if name in outlines
            else viewer_api.value_at(registry.layer(name), lon, lat)
            for name in url
        }

    @app.get("/progress", tags=["Maps"])
    def progress(url: Name) -> dict[str, Any]:
        """Return the progress of a map's prediction: `done` of `total` parts, or `whole`."""
        layer, version = registry.layer(url), registry.version(url)
        if not isinstance(layer, LiveLayer):
            return {"whole": True, "version": version}
        return {"whole": False, "version": version, "done": layer.refresh(), "total": layer.total}

    @app.get("/shares", tags=["Maps"])
    def shares(url: Name, bbox: Box, other: OtherName = None) -> dict[str, Any]:
        """Return the share of each class in a view, by area on the ground; of percent, the mean."""
        layer = registry.layer(url)
        if layer.kind == "image":
            raise HTTPException(400, "An image has no classes.")
        compared = _classified(registry, other) if other else None
        return viewer_api.class_shares(layer, _parse_bounds(bbox), compared)

    @app.get("/changes", tags=["Maps"])
    def changes(url: Name) -> list[dict[str, Any]]:
        """List the largest changes of a map of change, with their places."""
        return listed(url, registry.version(url))

    @lru_cache(8)
    def listed(url: str, version: str) -> list[dict[str, Any]]:
        return largest_changes(registry.layer(url))

    @app.get("/differ/{z}/{x}/{y}", tags=["Maps"], response_class=Response)
    def differ(z: int, x: int, y: int, one: Name, other: Name) -> Response:
        """Return a tile that shows where two maps differ, or a map and its reference."""
        tile = checked_tile(z, x, y)
        both = (_classified(registry, name).tile(tile, exact=MAX_EXACT) for name in (one, other))
        content = difference(*both)
        return Response(content, media_type="image/png")


def _first_map(registry: Registry) -> list[str]:
    """Return the first map of the registry and what belongs to it, else the first raster."""
    first: str | None = None
    for name in registry.names()[:MAX_TRIED]:
        try:
            kind = registry.layer(name).kind
        except DataError:
            continue
        first = first or name
        if kind == "map":
            return viewer_api.choose_layers(registry, name)
    if first is None:
        raise DataError(
            "The served folders hold no raster that can be shown",
            code="nothing-to-show",
            fix="Put a map into a served folder",
        )
    return viewer_api.choose_layers(registry, first)


def _classified(registry: Registry, name: str) -> MapLayer:
    layer = registry.layer(name)
    if not layer.classified:
        raise HTTPException(400, f"{Path(name).name} is not a map of classes.")
    return layer


def _parse_bounds(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        west = south = east = north = float("nan")
    if not (-720 <= west < east <= 720 and -90 <= south < north <= 90):  # nor is a NaN
        raise HTTPException(400, "bbox is west,south,east,north in degrees.")
    return west, south, east, north
