"""The server: the page, its questions, titiler's endpoints, and predictions."""

import asyncio
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from prometheus_client import generate_latest
from rasterio.errors import RasterioError
from rio_tiler.errors import RioTilerError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from swath.errors import DataError, SwathError
from swath.raster import open_raster
from swath.server import files, questions, scene
from swath.server.draw import difference
from swath.server.guard import Guard, Rules
from swath.server.jobs import IMAGE, Job, Jobs, QueueFull
from swath.server.layer import Layer, driver_of
from swath.server.shelf import MODELS, RASTERS, NotServed, Shelf
from swath.server.tiler import build, checked_tile

CHUNK_SECONDS = 20
"""An upload that brings nothing for so long is let go."""

LEAST_RATE = 16_384
"""Bytes a second that an upload must bring on the whole, after the first half minute."""

MOST_UPLOADS = 4
"""Uploads at once."""

MOST_PIXELS = 4_000_000_000
"""Images with more pixels are not predicted for a client."""

Name = Annotated[str, Query(max_length=1000, description="Name of a served file.")]
Degrees = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]


def create_app(shelf: Shelf, rules: Rules, *, first: Sequence[str] = (), jobs: Jobs | None = None, upload: int = 0) -> Guard:
    """Put the server together.

    Args:
        shelf: what is served.
        rules: who may ask.
        first: names of the layers that the page shows at first; by default the first map on the shelf and what belongs to it.
        jobs: the queue of predictions; without one `/predict` is refused.
        upload: most bytes of an upload.

    Returns:
        An ASGI application.
    """
    app = FastAPI(title="Swath", description=_ABOUT, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    guard = Guard(app, rules)
    app.include_router(build(shelf, "/cog").router, prefix="/cog", tags=["Tiles, as titiler has them"])
    _add_errors(app)
    _add_page(app)
    _add_questions(app, shelf, tuple(first))
    _add_predictions(app, shelf, jobs, upload)

    @app.get("/health", tags=["Server"])
    def health() -> dict[str, str]:
        """Tell that the server answers."""
        return {"status": "ok"}

    @app.get("/metrics", tags=["Server"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return counts for Prometheus."""
        for state, count in ({"queued": 0, "running": 0, "done": 0, "failed": 0} | (jobs.counts() if jobs else {})).items():
            guard.metrics.jobs.labels(state).set(count)
        return PlainTextResponse(generate_latest(guard.metrics.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    return guard


_ABOUT = "Maps, tiles and predictions. `url` is always the name of a served file, as `/files` lists them."


def _add_errors(app: FastAPI) -> None:
    """Say what went wrong without a path of this machine."""

    @app.exception_handler(SwathError)
    def ours(request: Request, error: SwathError) -> JSONResponse:
        status = 404 if isinstance(error, NotServed) else 503 if isinstance(error, QueueFull) else 400
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
    SwathError.__init__(short, error.what, file=Path(error.file).name if error.file else None, fix=error.fix)
    return str(short)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return files.send("index.html", request)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        return files.send("docs.html", request)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon(request: Request) -> Response:
        return files.send("icon.svg", request)

    @app.get("/static/{name:path}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        return files.send(name, request)


def _add_questions(app: FastAPI, shelf: Shelf, first: tuple[str, ...]) -> None:
    @app.get("/files", tags=["Maps"])
    def listed() -> dict[str, Any]:
        """List the names of what is served."""
        return {"rasters": shelf.names(RASTERS), "models": shelf.names(MODELS)}

    @app.get("/scene", tags=["Maps"])
    def shown(
        map: Name | None = None,
        also: Annotated[list[str], Query(alias="with", max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    ) -> dict[str, Any]:
        """Describe a page: a map and what belongs to it, as layers."""
        if map is not None:
            names = scene.choose(shelf, map)
        elif first:
            names = list(first)
        else:
            names = _first_map(shelf)
        return scene.describe(shelf, [*names, *(n for n in also if n not in names)])

    @app.get("/values", tags=["Maps"])
    def values(lon: Degrees, lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)], url: Annotated[list[str], Query(max_length=20)]) -> dict[str, Any]:  # fmt: skip # noqa: E501
        """Read the pixels that hold a place: class, code, percent or measurements of each layer."""
        return {name: questions.value_at(shelf.layer(name), lon, lat) for name in url}

    @app.get("/shares", tags=["Maps"])
    def shares(
        url: Name,
        bbox: Annotated[str, Query(max_length=200, description="West, south, east, north in degrees.")],
        other: Annotated[str | None, Query(max_length=1000, description="A second map, to compare with.")] = None,
    ) -> dict[str, Any]:
        """Return the share of each class in a view, by ground area; of percent, the mean."""
        layer = shelf.layer(url)
        if layer.kind == "image":
            raise HTTPException(400, "An image has no classes.")
        return questions.shares_in(layer, _bounds(bbox), _classified(shelf, other) if other else None)

    @app.get("/differ/{z}/{x}/{y}", tags=["Maps"], response_class=Response)
    def differ(z: int, x: int, y: int, one: Name, other: Name) -> Response:
        """Return a tile that shows where two maps differ, or a map and its truth."""
        tile = checked_tile(z, x, y)
        content = difference(_classified(shelf, one).tile(tile), _classified(shelf, other).tile(tile))
        return Response(content, media_type="image/png")


def _first_map(shelf: Shelf) -> list[str]:
    """Return the first map on the shelf and what belongs to it, else the first raster.

    Raises:
        DataError: nothing on the shelf can be shown.
    """
    first: str | None = None
    for name in shelf.names()[:200]:
        try:
            kind = shelf.layer(name).kind
        except DataError:
            continue
        first = first or name
        if kind == "map":
            return scene.choose(shelf, name)
    if first is None:
        raise DataError("there is nothing to show here yet", fix="Put a map into a served folder")
    return scene.choose(shelf, first)


def _classified(shelf: Shelf, name: str) -> Layer:
    layer = shelf.layer(name)
    if not layer.classified:
        raise HTTPException(400, f"{Path(name).name} is no map of classes.")
    return layer


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise HTTPException(400, "bbox is west,south,east,north in degrees.") from None
    if not all(map(math.isfinite, (west, south, east, north))) or not (-720 <= west < east <= 720 and -90 <= south < north <= 90):
        raise HTTPException(400, "bbox is west,south,east,north in degrees.")
    return west, south, east, north


def _add_predictions(app: FastAPI, shelf: Shelf, jobs: Jobs | None, most: int) -> None:
    """Add `/predict` and `/jobs`."""
    uploads = asyncio.Semaphore(MOST_UPLOADS)

    def queue() -> Jobs:
        if jobs is None:
            raise HTTPException(403, "This server predicts nothing; start it with --jobs FOLDER.")
        return jobs

    Queue = Annotated[Jobs, Depends(queue)]  # noqa: N806 - a type

    @app.post("/predict", status_code=202, tags=["Predictions"])
    async def predict(
        request: Request,
        jobs: Queue,
        model: Name,
        image: Annotated[str | None, Query(max_length=1000, description="Name of a served image.")] = None,
        name: Annotated[str, Query(max_length=200, description="What to call an uploaded image.")] = "upload",
    ) -> dict[str, Any]:
        """Map an image that is served (`image`), or the one that is the body of this request; returns the job."""
        path = shelf.path(model, MODELS)
        await run_in_threadpool(jobs.room)
        id, folder = await run_in_threadpool(jobs.new_folder)
        try:
            if image is not None:
                source = shelf.path(image)
            else:
                if uploads.locked():
                    raise HTTPException(503, "Too many uploads at once.", {"retry-after": "10"})
                source = folder / IMAGE
                async with uploads:
                    await _receive(request, source, most)
            await run_in_threadpool(_check_image, source)
            if image is None:
                source = await run_in_threadpool(_named, source)
            job = await run_in_threadpool(jobs.submit, id, path, source, image or name)
        except BaseException:
            await run_in_threadpool(shutil.rmtree, folder, True)
            raise
        return _public(job)

    @app.get("/jobs", tags=["Predictions"])
    def listed(jobs: Queue) -> list[dict[str, Any]]:
        """List predictions, the newest first."""
        return [_public(job) for job in jobs.all()]

    @app.get("/jobs/{id}", tags=["Predictions"])
    def one(id: str, jobs: Queue) -> dict[str, Any]:
        """Return one prediction: `state`, `progress`, and when it is done the name of its `map`."""
        job = jobs.get(id)
        if job is None:
            raise HTTPException(404, "There is no such prediction.")
        return _public(job)

    @app.delete("/jobs/{id}", status_code=204, tags=["Predictions"])
    def cancel(id: str, jobs: Queue) -> None:
        """Stop a prediction, or forget one that has ended; its files go."""
        if not jobs.cancel(id):
            raise HTTPException(404, "There is no such prediction.")


def _public(job: Job) -> dict[str, Any]:
    return job.as_json() | {"href": f"/jobs/{job.id}", "map": f"predictions/{job.id}/map.tif" if job.state == "done" else None}


async def _receive(request: Request, target: Path, most: int) -> None:
    """Write the body of a request to a file.

    Raises:
        HTTPException: 413 where it is too large, 408 where it comes too slowly, 400 where it is cut off, 507 without room.
    """
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > most:
        raise HTTPException(413, f"An upload has at most {most} bytes.")
    begun, size, chunks = time.monotonic(), 0, request.stream().__aiter__()
    try:
        with target.open("wb") as file:
            while True:
                chunk = await asyncio.wait_for(anext(chunks, None), CHUNK_SECONDS)
                if chunk is None:
                    return
                size += len(chunk)
                if size > most:
                    raise HTTPException(413, f"An upload has at most {most} bytes.")
                if size < (time.monotonic() - begun - 30) * LEAST_RATE:
                    raise TimeoutError
                await run_in_threadpool(file.write, chunk)
    except TimeoutError:
        raise HTTPException(408, "The upload comes too slowly.", {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "The upload was cut off.") from None
    except OSError:
        raise HTTPException(507, "There is no room for it.") from None


def _check_image(path: Path) -> None:
    """Refuse what is no image or too large.

    Raises:
        DataError: it is.
    """
    with open_raster(path, driver_of(path)) as dataset:
        pixels = dataset.height * dataset.width
    if pixels > MOST_PIXELS:
        raise DataError(f"it has {pixels} pixels, and at most {MOST_PIXELS} are mapped here", fix="Use `swath predict` itself")


def _named(path: Path) -> Path:
    """Give an upload the ending of its format, by which it can be shown."""
    endings = {"GTiff": ".tif", "PNG": ".png", "JPEG": ".jpg", "JP2OpenJPEG": ".jp2", "WEBP": ".webp", "BMP": ".bmp"}
    return path.rename(path.with_suffix(endings[driver_of(path)]))
