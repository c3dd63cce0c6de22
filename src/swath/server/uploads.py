"""Predictions for clients: an upload or a served image in, a job out."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import rasterio
from fastapi import APIRouter, HTTPException, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.io.raster import gdal_env
from swath.server.jobs import IMAGE, Job, Jobs
from swath.server.layer import driver_of
from swath.server.registry import MODELS, Registry
from swath.server.tiles import Name

CHUNK_SECONDS = 20
"""An upload that brings nothing for so long is let go."""

LEAST_RATE = 16_384
"""Bytes a second that an upload must bring on the whole, after the first half minute."""

MOST_UPLOADS = 4
"""Uploads at once."""

MOST_PIXELS = 4_000_000_000
"""Images with more pixels are not predicted for a client."""

MOST_IN_PAGES = 100_000_000
"""Pixels of a TIFF of several pages, which is read whole."""

ENDINGS = {
    "GTiff": ".tif",
    "PNG": ".png",
    "JPEG": ".jpg",
    "JP2OpenJPEG": ".jp2",
    "WEBP": ".webp",
    "BMP": ".bmp",
}
"""Endings of uploads by driver, under which they can be shown."""


def router(registry: Registry, jobs: Jobs | None, most: int) -> APIRouter:
    """Make `/predict` and `/jobs`.

    Args:
        registry: where models and images are looked up.
        jobs: the queue; without one everything here is refused.
        most: most bytes of an upload.
    """
    routes = APIRouter()
    if jobs is None:

        @routes.post("/predict")
        @routes.get("/jobs")
        def refuse() -> None:
            """Refuse: this server was started without a folder for predictions."""
            raise HTTPException(403, "This server predicts nothing; start it with --jobs FOLDER.")

        return routes
    uploads = Uploads(most)

    @routes.post("/predict", status_code=202)
    async def predict(
        request: Request,
        model: Name,
        image: Annotated[
            str | None, Query(max_length=1000, description="Name of a served image.")
        ] = None,
        name: Annotated[
            str, Query(max_length=200, description="What to call an uploaded image.")
        ] = "upload",
    ) -> dict[str, Any]:
        """Map an image that is served (`image`), or the one that is the body of this request; returns the job."""
        path = registry.path(model, MODELS)
        served = registry.path(image) if image is not None else None
        await run_in_threadpool(jobs.room)
        id, folder = await run_in_threadpool(jobs.new_folder)
        try:
            source = served or await uploads.take(request, folder / IMAGE)
            await run_in_threadpool(check_image, source)
            return _public(await run_in_threadpool(jobs.submit, id, path, source, image or name))
        except BaseException:
            await run_in_threadpool(shutil.rmtree, folder, True)
            raise

    @routes.get("/jobs")
    def listed() -> list[dict[str, Any]]:
        """List predictions, the newest first."""
        return [_public(job) for job in jobs.all()]

    @routes.get("/jobs/{id}")
    def one(id: str) -> dict[str, Any]:
        """Return one prediction: `state`, `progress`, and when it is done the name of its `map`."""
        job = jobs.get(id)
        if job is None:
            raise HTTPException(404, "There is no such prediction.")
        return _public(job)

    @routes.delete("/jobs/{id}", status_code=204)
    def cancel(id: str) -> None:
        """Stop a prediction, or forget one that has ended; its files go."""
        if not jobs.cancel(id):
            raise HTTPException(404, "There is no such prediction.")

    return routes


def _public(job: Job) -> dict[str, Any]:
    return job.as_json() | {
        "href": f"/jobs/{job.id}",
        "map": f"predictions/{job.id}/map.tif" if job.state == "done" else None,
    }


class Uploads:
    """Takes in what clients send, a few at once, none too large or too slow.

    Args:
        most: most bytes of one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = asyncio.Semaphore(MOST_UPLOADS)

    async def take(self, request: Request, target: Path) -> Path:
        """Write the body of a request to a file, and give it the ending of its format.

        Raises:
            HTTPException: 413 too large, 408 too slow, 400 cut off, 503 too many at once, 507 no
                room on the disk.
            DataError: it is no image.
        """
        declared = request.headers.get("content-length", "0")
        if int(declared) > self._most:
            raise HTTPException(413, f"An upload has at most {self._most} bytes.")
        if self._room.locked():
            raise HTTPException(503, "Too many uploads at once.", {"retry-after": "10"})
        async with self._room:
            try:
                await self._write(request, target)
            except TimeoutError:
                raise HTTPException(408, "The upload comes too slowly.") from None
            except ClientDisconnect:
                raise HTTPException(400, "The upload was cut off.") from None
            except OSError:
                raise HTTPException(507, "There is no room for it.") from None
        return await run_in_threadpool(
            lambda: target.rename(target.with_suffix(ENDINGS[driver_of(target)]))
        )

    async def _write(self, request: Request, target: Path) -> None:
        begun, size, chunks = time.monotonic(), 0, request.stream().__aiter__()
        with target.open("wb") as file:
            while (chunk := await asyncio.wait_for(anext(chunks, None), CHUNK_SECONDS)) is not None:
                size += len(chunk)
                if size > self._most:
                    raise HTTPException(413, f"An upload has at most {self._most} bytes.")
                if size < (time.monotonic() - begun - 30) * LEAST_RATE:
                    raise TimeoutError
                await run_in_threadpool(file.write, chunk)


def check_image(path: Path) -> None:
    """Refuse what is no image or too large.

    Raises:
        DataError: it is.
    """
    try:
        with gdal_env(), rasterio.open(path, driver=driver_of(path)) as dataset:
            pixels = dataset.height * dataset.width
            pages = len(dataset.subdatasets)
    except GDAL_ERRORS as error:
        raise DataError("it is damaged, or no image", file=path, fix="Export it again") from error
    if pages * pixels > MOST_IN_PAGES:
        raise DataError(
            "it has too many pages, which are held in memory",
            file=path,
            fix="Write its bands into one page",
        )
    if pixels > MOST_PIXELS:
        raise DataError(
            f"it has {pixels} pixels, and at most {MOST_PIXELS} are mapped here",
            fix="Use `swath predict` itself",
        )
