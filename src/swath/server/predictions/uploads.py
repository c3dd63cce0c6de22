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
from swath.server.layer import FORMATS, driver_of
from swath.server.predictions.job_queue import IMAGE, Job, Jobs
from swath.server.registry import MODELS, Registry
from swath.server.tiles import Name

CHUNK_SECONDS = 20
"""Longest wait for the next bytes of an upload."""

MIN_UPLOAD_RATE = 16_384
"""Lowest mean rate of an upload in bytes a second, after the first half minute."""

MAX_UPLOADS = 4
"""Uploads at once."""

MAX_IMAGE_PIXELS = 4_000_000_000
"""Images with more pixels are not predicted for a client."""

MAX_PAGED_PIXELS = 100_000_000
"""Most pixels of a TIFF of several pages, which is read whole."""

ImageName = Annotated[str | None, Query(max_length=1000, description="Name of a served image.")]
UploadName = Annotated[str, Query(max_length=200, description="Name for an uploaded image.")]


def make_router(registry: Registry, jobs: Jobs | None, max_bytes: int) -> APIRouter:
    """Make `/predict` and `/jobs`.

    Args:
        registry: models and images that are served.
        jobs: the queue; without one all requests are refused.
        max_bytes: largest size of an upload.
    """
    routes = APIRouter()
    if jobs is None:

        @routes.post("/predict")
        @routes.get("/jobs")
        def refuse() -> None:
            """Refuse: this server was started without a folder for predictions."""
            raise HTTPException(403, "This server predicts only if started with --jobs FOLDER.")

        return routes
    uploads = Uploads(max_bytes)

    @routes.post("/predict", status_code=202)
    async def predict(
        request: Request, model: Name, image: ImageName = None, name: UploadName = "upload"
    ) -> dict[str, Any]:
        """Map a served image (`image`), or the body of this request; return the job."""
        path = registry.path(model, MODELS)
        served = registry.path(image) if image is not None else None
        await run_in_threadpool(jobs.check_capacity)
        id, folder = await run_in_threadpool(jobs.new_folder)
        try:
            source = served or await uploads.receive(request, folder / IMAGE)
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
        """Return a prediction: `state`, `progress`, and the name of the `map` of a finished one."""
        job = jobs.get(id)
        if job is None:
            raise HTTPException(404, "There is no such prediction.")
        return _public(job)

    @routes.delete("/jobs/{id}", status_code=204)
    def cancel(id: str) -> None:
        """Stop a prediction, or delete one that has ended, with its files."""
        if not jobs.cancel(id):
            raise HTTPException(404, "There is no such prediction.")

    return routes


def _public(job: Job) -> dict[str, Any]:
    return job.as_json() | {
        "href": f"/jobs/{job.id}",
        "map": f"predictions/{job.id}/map.tif" if job.state == "done" else None,
    }


class Uploads:
    """Receives files from clients: a few at once, none too large or too slow.

    Args:
        max_bytes: largest size of one.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(MAX_UPLOADS)

    async def receive(self, request: Request, target: Path) -> Path:
        """Write the body of a request to a file, and give it the ending of its format.

        Raises:
            HTTPException: 413 too large, 408 too slow, 400 cut off, 503 too many at once, 507 disk
                full.
            DataError: the file is not an image.
        """
        self._check_size(int(request.headers.get("content-length", "0")))
        if self._slots.locked():
            raise HTTPException(503, "Too many uploads at once.", {"retry-after": "10"})
        async with self._slots:
            try:
                await self._write(request, target)
            except TimeoutError:
                raise HTTPException(408, "The upload comes too slowly.") from None
            except ClientDisconnect:
                raise HTTPException(400, "The upload was cut off.") from None
            except OSError:
                raise HTTPException(507, "The disk of the server is full.") from None
        ending = FORMATS[await run_in_threadpool(driver_of, target)][0]
        return await run_in_threadpool(target.rename, target.with_suffix(ending))

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise HTTPException(413, f"An upload has at most {self._max_bytes} bytes.")

    async def _write(self, request: Request, target: Path) -> None:
        begun, size, chunks = time.monotonic(), 0, request.stream().__aiter__()
        with target.open("wb") as file:
            while (chunk := await asyncio.wait_for(anext(chunks, None), CHUNK_SECONDS)) is not None:
                size += len(chunk)
                self._check_size(size)
                if size < (time.monotonic() - begun - 30) * MIN_UPLOAD_RATE:
                    raise TimeoutError
                await run_in_threadpool(file.write, chunk)


def check_image(path: Path) -> None:
    """Check that a file is an image, and not too large.

    Raises:
        DataError: the image is damaged or too large.
    """
    try:
        with gdal_env(), rasterio.open(path, driver=driver_of(path)) as dataset:
            pixels = dataset.height * dataset.width
            pages = len(dataset.subdatasets)
    except GDAL_ERRORS as error:
        raise DataError(
            "The file is damaged, or not an image",
            code="unreadable",
            file=path,
            fix="Export it again",
        ) from error
    if pages * pixels > MAX_PAGED_PIXELS:
        raise DataError(
            f"The {pages} pages have more than {MAX_PAGED_PIXELS} pixels, which are held in memory",
            code="too-large",
            file=path,
            fix="Write the bands into one page",
        )
    if pixels > MAX_IMAGE_PIXELS:
        raise DataError(
            f"The image has {pixels} pixels, and this server maps at most {MAX_IMAGE_PIXELS}",
            code="too-large",
            file=path,
            fix="Run `swath predict` on your machine",
        )
