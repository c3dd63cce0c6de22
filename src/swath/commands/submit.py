"""`swath submit`: a folder of contest images becomes the zip file that the contest takes."""

from __future__ import annotations

import json
import logging
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from swath.commands.base import command
from swath.data.layouts.catalog import files_below
from swath.data.layouts.dfc2019 import KINDS, LEGEND
from swath.errors import DataError, JobError, ModelError
from swath.inference.tiled import predict_window
from swath.io.atomic import atomic_file, exclusive, file_stamps
from swath.io.raster import Raster
from swath.models.model import Model
from swath.options import SubmitOptions
from swath.progress import track
from swath.types import Result

log = logging.getLogger(__name__)

UNLABELED = 65
"""LAS code of pixels without data, and of unlabeled ground where that was learnt as a class."""


class SubmitResult(Result):
    """What was mapped.

    Attributes:
        archive: the zip file.
        images: number of images.
        heights: whether heights are in it.
        unlabeled: share of the pixels that are mapped as unlabeled, which the contest counts as
            wrong.
        seconds: wall time.
    """

    archive: str
    images: int
    heights: bool
    unlabeled: float
    seconds: float


@command(SubmitOptions)
def submit(options: SubmitOptions) -> SubmitResult:
    """Map every image of a folder, and zip the maps flat: `*_CLS.tif` (uint8, LAS codes) and, with heights, `*_AGL.tif`.

    Maps that are done lie in a folder beside the zip file until it is whole; the same command goes
    on from there. An image that has changed since is mapped again.

    Raises:
        DataError: there is no image of the model's kind, two have one name, or some cannot be read:
            the others are mapped, and no zip file is made.
        ModelError: the model's bands or classes are not the contest's.
        JobError: the zip file cannot be written.
    """
    with exclusive(options.archive):
        return _submit(options)


def _submit(options: SubmitOptions) -> SubmitResult:
    start = time.monotonic()
    model = Model(options.model, tta=options.tta)
    kind, bands = _kind_of(model)
    images = _images(Path(options.images), kind)
    work = _workplace(options, model)
    made: list[Path] = []
    bad: list[DataError] = []
    for image in track(images, "mapping", len(images), "images"):
        name = image.stem[: -len(kind)]
        maps = [
            work / f"{name}{what}.tif" for what in (["AGL"] if model.card.heights else []) + ["CLS"]
        ]
        done, stamp = work / f"{name}done.txt", json.dumps(file_stamps([str(image.resolve())]))
        if not done.exists() or done.read_text(encoding="utf-8") != stamp:
            try:
                _map(model, image, bands, maps)
            except DataError as error:
                bad.append(error)
                continue
            with atomic_file(done) as partial:
                partial.write_text(stamp, encoding="utf-8")
        made += maps
    if bad:
        raise _refused(bad, len(images), work)
    unlabeled = _share_unlabeled(made)
    _zip(Path(options.archive), sorted(made))
    shutil.rmtree(work, ignore_errors=True)
    if unlabeled:
        log.warning(
            "%.1f%% of the pixels are mapped as unlabeled, which the contest counts as wrong.",
            100 * unlabeled,
        )
    return SubmitResult(
        archive=str(options.archive),
        images=len(images),
        heights=model.card.heights,
        unlabeled=unlabeled,
        seconds=time.monotonic() - start,
    )


def _refused(bad: Sequence[DataError], images: int, work: Path) -> DataError:
    """Say which images could not be mapped, and that the others need not be mapped again."""
    names = ", ".join(Path(str(error.file)).name for error in bad[1:])
    return DataError(
        bad[0].message + (f"; neither can {names} be mapped" if names else ""),
        file=bad[0].file,
        fix=f"{bad[0].fix}, and give the same command again: maps of {images - len(bad)} of {images} images wait in {work}",
        code=bad[0].code,
    )


def _share_unlabeled(maps: Sequence[Path]) -> float:
    """Return the share of the pixels of all class maps that are unlabeled."""
    unlabeled = pixels = 0
    for path in maps:
        if path.stem.endswith("CLS"):
            codes = tifffile.imread(path)
            unlabeled += int((codes == UNLABELED).sum())
            pixels += codes.size
    return unlabeled / pixels


def _kind_of(model: Model) -> tuple[str, tuple[str, ...]]:
    """Tell which kind of image a model takes."""
    mine = tuple(b.name for b in model.card.bands)
    strange = {c.map_code for c in model.card.legend.trained} - {c.map_code for c in LEGEND.classes}
    for kind, bands in KINDS.values():
        if mine == bands and not strange:
            return kind, bands
    what = f"the codes {sorted(strange)}" if strange else f"the bands {', '.join(mine)}"
    raise ModelError(
        f"it knows {what}, which the contest has not",
        file=model.path,
        fix="Train it on a folder of the contest's Track 1",
    )


def _images(folder: Path, kind: str) -> list[Path]:
    if not folder.is_dir():
        what = "it is no folder" if folder.exists() else "there is no such folder"
        raise DataError(what, file=folder, fix="Give the folder with the contest's images")
    ends = (f"_{kind.lower()}.tif", f"_{kind.lower()}.tiff")
    images = sorted(
        (p for p in files_below(folder) if p.name.lower().endswith(ends)), key=lambda p: p.name
    )
    if not images:
        raise DataError(
            f"there is no *_{kind}.tif here",
            file=folder,
            fix="Give the folder with the model's kind of image",
        )
    for one, other in zip(images, images[1:], strict=False):
        if one.stem == other.stem:
            raise DataError(
                f"it has the name of {one}",
                file=other,
                fix="Keep one of them: the zip file is flat",
            )
    return images


def _workplace(options: SubmitOptions, model: Model) -> Path:
    """Make the folder of finished maps, or go on with one that was made in the same way from the same folder."""
    work = Path(f"{options.archive}.maps")
    made_by = work / "made-by.txt"
    present = f"{model.digest} {model.tta} {Path(options.images).resolve()}"
    try:
        if not made_by.exists() or made_by.read_text(encoding="utf-8") != present:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        with atomic_file(made_by) as partial:
            partial.write_text(present, encoding="utf-8")
    except OSError as error:
        raise JobError(
            f"cannot be written ({error.strerror})", file=work, fix="Choose a writable place"
        ) from error
    return work


def _map(model: Model, image: Path, bands: Sequence[str], maps: Sequence[Path]) -> None:
    """Write the maps of one image: its heights, if the model knows them, and its classes."""
    card = model.card
    with Raster([image], bands) as raster:
        shape = raster.grid.height, raster.grid.width
        codes = np.full(shape, UNLABELED, np.uint8)
        heights = np.full(shape, np.nan, np.float32) if card.heights else None
        for answer in predict_window(raster, model.predictor):
            at = answer.window.slices
            codes[at] = np.where(answer.valid, card.legend.decode(answer.indices), UNLABELED)
            if heights is not None:
                heights[at] = answer.height
    arrays: list[NDArray[Any]] = [codes] if heights is None else [heights, codes]
    for path, array in zip(maps, arrays, strict=True):
        with atomic_file(path) as partial:
            tifffile.imwrite(partial, array)


def _zip(archive: Path, files: Sequence[Path]) -> None:
    with (
        atomic_file(archive) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for file in track(files, "zipping", len(files)):
            entry = zipfile.ZipInfo(file.name)  # its fixed date makes equal maps equal files
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, file.read_bytes())
