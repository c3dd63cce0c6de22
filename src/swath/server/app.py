"""The server: the page, its questions, titiler's endpoints, and predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from prometheus_client import generate_latest
from rasterio.errors import RasterioError
from rio_tiler.errors import RioTilerError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from swath.errors import DataError, SwathError
from swath.server import questions, static_files, viewer_api
from swath.server.jobs import Jobs, QueueFull
from swath.server.layer import MapLayer
from swath.server.live_layer import LiveLayer
from swath.server.registry import MODELS, RASTERS, NotServed, Registry
from swath.server.security import AccessRules, SecurityMiddleware
from swath.server.tile_images import difference
from swath.server.tiles import Name, build, checked_tile
from swath.server.uploads import router

Degrees = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]


MOST_EXACT = 4_000_000
"""Tiles of differences show the rasters' own pixels where a tile has no more than so many."""


def create_app(
    registry: Registry,
    rules: AccessRules,
    *,
    first: Sequence[str] = (),
    jobs: Jobs | None = None,
    upload: int = 0,
) -> SecurityMiddleware:
    """Put the server together.

    Args:
        registry: what is served.
        rules: who may ask.
        first: names of the layers that the page shows at first; by default the first map on the
            shelf and what belongs to it.
        jobs: the queue of predictions; without one `/predict` is refused.
        upload: most bytes of an upload.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="Swath",
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    guard = SecurityMiddleware(app, rules)
    app.include_router(
        build(registry, "/cog").router, prefix="/cog", tags=["Tiles, as titiler has them"]
    )
    _add_errors(app)
    _add_page(app)
    _add_scenes(app, registry, tuple(first))
    _add_readings(app, registry)
    app.include_router(router(registry, jobs, upload), tags=["Predictions"])

    @app.get("/health", tags=["Server"])
    def health() -> dict[str, str]:
        """Tell that the server answers."""
        return {"status": "ok"}

    @app.get("/metrics", tags=["Server"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return counts for Prometheus."""
        for state, count in (
            {"queued": 0, "running": 0, "done": 0, "failed": 0} | (jobs.counts() if jobs else {})
        ).items():
            guard.metrics.jobs.labels(state).set(count)
        return PlainTextResponse(
            generate_latest(guard.metrics.registry),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )

    return guard


_ABOUT = "Maps, tiles and predictions. `url` is always the name of a served file, as `/files` lists them."


def _add_errors(app: FastAPI) -> None:
    """Say what went wrong without a path of this machine."""

    @app.exception_handler(SwathError)
    def ours(request: Request, error: SwathError) -> JSONResponse:
        status = (
            404 if isinstance(error, NotServed) else 503 if isinstance(error, QueueFull) else 400
        )
        return JSONResponse({"detail": message(error)}, status)

    @app.exception_handler(RioTilerError)
    def tiler(request: Request, error: RioTilerError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.exception_handler(RasterioError)
    def damaged(request: Request, error: RasterioError) -> JSONResponse:
        return JSONResponse({"detail": "The file is damaged, or cannot be read so."}, 400)


def message(error: SwathError) -> str:
    """Return what an error says, with the file's name in place of its path."""
    short = type(error).__new__(type(error))
    SwathError.__init__(
        short, error.message, file=Path(error.file).name if error.file else None, fix=error.fix
    )
    return str(short)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return static_files.send("index.html", request)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        return static_files.send("docs.html", request)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon(request: Request) -> Response:
        return static_files.send("icon.svg", request)

    @app.get("/static/{name:path}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        return static_files.send(name, request)


def _add_scenes(app: FastAPI, registry: Registry, first: tuple[str, ...]) -> None:
    @app.get("/files", tags=["Maps"])
    def listed() -> dict[str, Any]:
        """List the names of what is served."""
        return {"rasters": registry.names(RASTERS), "models": registry.names(MODELS)}

    @app.get("/scene", tags=["Maps"])
    def shown(
        map: Name | None = None,
        also: Annotated[list[str], Query(alias="with", max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    ) -> dict[str, Any]:
        """Describe a page: a map and what belongs to it, as layers."""
        if map is not None:
            names = viewer_api.choose(registry, map)
        elif first:
            names = list(first)
        else:
            names = _first_map(registry)
        return viewer_api.describe(registry, [*names, *(n for n in also if n not in names)])


def _add_readings(app: FastAPI, registry: Registry) -> None:
    @app.get("/values", tags=["Maps"])
    def values(
        lon: Degrees,
        lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)],
        url: Annotated[list[str], Query(max_length=20)],
    ) -> dict[str, Any]:  # noqa: E501
        """Read the pixels that hold a place: class, code, percent or measurements of each layer."""
        return {name: questions.value_at(registry.layer(name), lon, lat) for name in url}

    @app.get("/progress", tags=["Maps"])
    def progress(url: Name) -> dict[str, Any]:
        """Tell how far the prediction of a map is: `done` of `total` parts, or `whole`."""
        layer, version = registry.layer(url), registry.version(url)
        if not isinstance(layer, LiveLayer):
            return {"whole": True, "version": version}
        return {"whole": False, "version": version, "done": layer.refresh(), "total": layer.total}

    @app.get("/shares", tags=["Maps"])
    def shares(
        url: Name,
        bbox: Annotated[
            str, Query(max_length=200, description="West, south, east, north in degrees.")
        ],
        other: Annotated[
            str | None, Query(max_length=1000, description="A second map, to compare with.")
        ] = None,
    ) -> dict[str, Any]:
        """Return the share of each class in a view, by ground area; of percent, the mean."""
        layer = registry.layer(url)
        if layer.kind == "image":
            raise HTTPException(400, "An image has no classes.")
        return questions.shares_in(
            layer, _bounds(bbox), _classified(registry, other) if other else None
        )

    @app.get("/differ/{z}/{x}/{y}", tags=["Maps"], response_class=Response)
    def differ(z: int, x: int, y: int, one: Name, other: Name) -> Response:
        """Return a tile that shows where two maps differ, or a map and its truth."""
        tile = checked_tile(z, x, y)
        both = (_classified(registry, name).tile(tile, exact=MOST_EXACT) for name in (one, other))
        content = difference(*both)
        return Response(content, media_type="image/png")


def _first_map(registry: Registry) -> list[str]:
    """Return the first map on the shelf and what belongs to it, else the first raster.

    Raises:
        DataError: nothing on the shelf can be shown.
    """
    first: str | None = None
    for name in registry.names()[:200]:
        try:
            kind = registry.layer(name).kind
        except DataError:
            continue
        first = first or name
        if kind == "map":
            return viewer_api.choose(registry, name)
    if first is None:
        raise DataError("there is nothing to show here yet", fix="Put a map into a served folder")
    return viewer_api.choose(registry, first)


def _classified(registry: Registry, name: str) -> MapLayer:
    layer = registry.layer(name)
    if not layer.classified:
        raise HTTPException(400, f"{Path(name).name} is no map of classes.")
    return layer


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise HTTPException(400, "bbox is west,south,east,north in degrees.") from None
    if not (-720 <= west < east <= 720 and -90 <= south < north <= 90):  # which no NaN is
        raise HTTPException(400, "bbox is west,south,east,north in degrees.")
    return west, south, east, north
