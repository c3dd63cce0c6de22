"""`swath submit`: a folder of contest images becomes the zip file that the contest takes."""

from __future__ import annotations

import json
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from swath.commands.base import command
from swath.data.layouts.catalog import files_below
from swath.data.layouts.dfc2019 import KINDS, LEGEND
from swath.errors import DataError, ModelError, check_path
from swath.inference.tiled import predict_window
from swath.io.atomic import atomic_file, exclusive, file_stamps
from swath.io.raster import Raster
from swath.io.work_folder import WorkFolder, open_store
from swath.mapping.inputs import InputImage
from swath.mapping.number_check import check_numbers
from swath.models.model import Model
from swath.options import SubmitOptions
from swath.progress import track
from swath.types import Result

UNLABELED_CODE = 65
"""LAS code of pixels without data, and of unlabeled pixels where these are a trained class."""


class SubmitResult(Result):
    """What was mapped.

    Attributes:
        archive: the zip file.
        images: number of images.
        heights: whether heights are in it.
        unlabeled: share of the pixels that are mapped as unlabeled, which the contest counts as
            wrong.
        seconds: wall time.
        warnings: sentences on unlabeled pixels, on images whose numbers are unlike those of
            training, and on maps without data or of one class.
    """

    archive: str
    images: int
    heights: bool
    unlabeled: float
    seconds: float
    warnings: list[str] = []


@command(SubmitOptions)
def submit(options: SubmitOptions) -> SubmitResult:
    """Map every image of a folder, and zip the maps flat.

    Maps are `*_CLS.tif` (uint8, LAS codes) and, with heights, `*_AGL.tif` (float32, meters).
    Finished maps lie in a folder beside the zip file until it is whole; the same command continues
    from there. An image that has changed since is mapped again.

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
    folder = Path(f"{options.archive}.maps")
    work = WorkFolder(open_store(str(folder)), "made-by.txt")
    work.open(lambda: f"{model.digest} {model.tta} {Path(options.images).resolve()}")
    made: list[Path] = []
    bad: list[DataError] = []
    for image in track(images, "mapping", len(images), "images"):
        name = image.stem[: -len(kind)]
        kinds = ["AGL", "CLS"] if model.card.heights else ["CLS"]
        maps = [folder / f"{name}{kind}.tif" for kind in kinds]
        done, stamp = folder / f"{name}done.txt", json.dumps(file_stamps([str(image.resolve())]))
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
        raise _unmapped(bad, len(images), folder)
    classes = {path: _count_codes(path) for path in made if path.stem.endswith("CLS")}
    pixels = sum(sum(counts.values()) for counts in classes.values())
    unlabeled = sum(counts[UNLABELED_CODE] for counts in classes.values()) / pixels
    warnings = [*_check_maps(model, images, bands, [*classes.values()], unlabeled)]
    _zip(Path(options.archive), sorted(made))
    work.remove()
    return SubmitResult(
        archive=str(options.archive),
        images=len(images),
        heights=model.card.heights,
        unlabeled=unlabeled,
        seconds=time.monotonic() - start,
        warnings=warnings,
    )


def _unmapped(bad: Sequence[DataError], images: int, folder: Path) -> DataError:
    """Return the first of several errors, with the names of the other files at fault."""
    first, names = bad[0], ", ".join(Path(str(error.file)).name for error in bad[1:])
    message = first.message + (f"; {names} cannot be mapped either" if names else "")
    kept = f"maps of {images - len(bad)} of {images} images are kept in {folder}"
    fix = f"{first.fix}, and give the same command again: {kept}"
    return DataError(message, code=first.code, file=first.file, fix=fix)


def _count_codes(path: Path) -> Counter[int]:
    """Count the pixels of a class map by code."""
    codes, counts = np.unique(tifffile.imread(path), return_counts=True)
    return Counter(dict(zip(codes.tolist(), counts.tolist(), strict=True)))


def _check_maps(
    model: Model,
    images: Sequence[Path],
    bands: Sequence[str],
    classes: Sequence[Counter[int]],
    unlabeled: float,
) -> Iterator[str]:
    """Yield warnings on images and on their maps, whose pixels are counted by code."""
    if unlabeled:
        share = f"{unlabeled:.1%} of the pixels are mapped as unlabeled"
        yield f"{share}, which the contest counts as wrong."
    names = {c.map_code: c.name for c in model.card.legend.trained}
    for image, counts in zip(images, classes, strict=True):
        with InputImage(Raster([image], bands), latitude=model.card.latitude) as source:
            wrong = check_numbers(source, model.card.bands, model.card.known_dtype)
        if wrong is not None:
            yield f"{image}: {wrong}"
        if set(counts) == {UNLABELED_CODE}:
            yield f"{image}: No pixel of the map has a class: check the nodata value of the image."
        elif len(counts) == 1 and wrong is not None:
            yield f"{image}: The whole map is of one class, {names[min(counts)]}."
    found = set().union(*classes) - {UNLABELED_CODE}
    if len(found) == 1 and len(names) > 1:
        yield f"All maps are of one class, {names[found.pop()]}: check the bands and their scale."


def _kind_of(model: Model) -> tuple[str, tuple[str, ...]]:
    """Return the kind of image that a model takes, and its bands."""
    names = tuple(b.name for b in model.card.bands)
    codes = {c.map_code for c in model.card.legend.trained} - {c.map_code for c in LEGEND.classes}
    for kind, bands in KINDS.values():
        if names == bands and not codes:
            return kind, bands
    what = f"the codes {sorted(codes)}" if codes else f"the bands {', '.join(names)}"
    message = f"The model has {what}, which the contest does not have"
    fix = "Train it on a folder of the contest's Track 1"
    raise ModelError(message, code="not-a-contest-model", file=model.path, fix=fix)


def _images(folder: Path, kind: str) -> list[Path]:
    if not folder.is_dir():
        code = "not-a-folder" if folder.exists() else "no-such-folder"
        message = "IMAGES is not a folder"
        fix = check_path(folder, "Give the folder with the contest's images")
        raise DataError(message, code=code, file=folder, fix=fix)
    ends = (f"_{kind.lower()}.tif", f"_{kind.lower()}.tiff")
    images = [p for p in files_below(folder) if p.name.lower().endswith(ends)]
    images.sort(key=lambda p: p.name)
    if not images:
        fix = "Give the folder with the kind of image that the model takes"
        message = f"The folder holds no *_{kind}.tif"
        raise DataError(message, code="no-images", file=folder, fix=fix)
    for one, other in pairwise(images):
        if one.stem == other.stem:
            message, fix = f"The image has the name of {one}", "Keep one: the zip file is flat"
            raise DataError(message, code="same-name", file=other, fix=fix)
    return images


def _map(model: Model, image: Path, bands: Sequence[str], maps: Sequence[Path]) -> None:
    """Write the maps of one image: heights, if the model predicts them, and classes."""
    card = model.card
    with Raster([image], bands, scaled=card.scaled) as raster:
        shape = raster.grid.height, raster.grid.width
        codes = np.full(shape, UNLABELED_CODE, np.uint8)
        heights = np.full(shape, np.nan, np.float32) if card.heights else None
        for tile in predict_window(raster, model.predictor):
            at, mapped = tile.window.slices, card.legend.decode(tile.indices)
            codes[at] = np.where(tile.valid, mapped, UNLABELED_CODE)
            if heights is not None:
                heights[at] = tile.height
    arrays: list[NDArray[Any]] = [codes] if heights is None else [heights, codes]
    for path, array in zip(maps, arrays, strict=True):
        with atomic_file(path) as partial:
            tifffile.imwrite(partial, array)


def _zip(archive: Path, files: Sequence[Path]) -> None:
    with atomic_file(archive) as partial, zipfile.ZipFile(partial, "w") as out:
        for file in track(files, "zipping", len(files)):
            entry = zipfile.ZipInfo(file.name)  # its fixed date makes equal maps equal files
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, file.read_bytes())
