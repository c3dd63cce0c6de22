"""`swath predict`: an image of any size becomes a map."""

from __future__ import annotations

import logging
import resource
import sys
import time
from pathlib import Path

from swath.errors import DataError, UsageError
from swath.fleet import classify
from swath.maps import MapWriter
from swath.model import Model
from swath.options import PredictOptions
from swath.parts import whole_file
from swath.progress import task
from swath.qgis import write_style
from swath.raster import Raster, find_stack
from swath.verbs.verb import Result, verb

log = logging.getLogger(__name__)


class PredictResult(Result):
    """What was mapped.

    Attributes:
        map: path of the map.
        pixels: its size.
        seconds: wall time, opening the model included.
        peak_rss_bytes: largest resident memory of the process.
        classes: pixels by class name.
        nodata: pixels without data.
    """

    map: str
    pixels: int
    seconds: float
    peak_rss_bytes: int
    classes: dict[str, int]
    nodata: int


@verb(PredictOptions)
def predict(options: PredictOptions) -> PredictResult:
    """Map an image: one cloud-optimised GeoTIFF of class codes on the image's own grid.

    Raises:
        DataError: the image is damaged, or its bands are not the model's.
        ModelError: the model is damaged.
        JobError: the map cannot be written.
    """
    start = time.monotonic()
    model = Model(options.model)
    legend = model.card.legend
    _keep_inputs(options)
    with _open_image(options, model) as image, whole_file(options.target) as partial:
        _check(image, model)
        counts = dict.fromkeys([c.map_code for c in legend.learnt] + [legend.nodata], 0)
        writer = MapWriter(partial, image.grid, legend, image.extra_georeferencing)
        try:
            with task("predicting", image.grid.height * image.grid.width, "pixels") as bar:
                for window, indices in classify(image, model.engine):
                    codes = legend.decode(indices)
                    writer.write(codes, window)
                    for code in counts:
                        counts[code] += int((codes == code).sum())
                    bar.advance(window.size)
            writer.finish()
        finally:
            writer.close()
    write_style(options.target, legend)
    return PredictResult(
        map=str(options.target),
        pixels=image.grid.height * image.grid.width,
        seconds=time.monotonic() - start,
        peak_rss_bytes=_peak_rss_bytes(),
        classes={c.name: counts[c.map_code] for c in legend.learnt},
        nodata=counts[legend.nodata],
    )


def _keep_inputs(options: PredictOptions) -> None:
    """Refuse to write the map over the image, one of its bands, or the model.

    Raises:
        UsageError: the map is one of them.
    """
    target = options.target
    inputs = [Path(options.image), Path(options.model)]
    if options.stack is not None and Path(options.stack).is_dir():
        inputs += Path(options.stack).iterdir()
    if target.exists() and any(p.is_file() and p.samefile(target) for p in inputs):
        raise UsageError("the map would replace its own input", file=target, fix="Give MAP another name")


def _open_image(options: PredictOptions, model: Model) -> Raster:
    """Open the image; a stack's bands are found by the names they had in training."""
    if options.stack is None:
        return Raster([options.image])
    names = [b.name for b in model.card.bands]
    stack = Raster(find_stack(options.stack, names), names)
    if Path(options.image).is_file():
        with Raster([options.image]) as image:
            if not image.grid.same_as(stack.grid):
                stack.close()
                raise DataError(
                    f"its grid is not that of the bands in {options.stack}",
                    file=options.image,
                    fix="Leave IMAGE out, or name one of the bands",
                )
    return stack


def _check(image: Raster, model: Model) -> None:
    """Refuse an image with other bands than the model's; warn of what makes a map doubtful."""
    card = model.card
    if len(image.bands) != len(card.bands):
        names = ", ".join(b.name for b in card.bands)
        raise DataError(
            f"it has {len(image.bands)} band(s), and the model takes {len(card.bands)} ({names})",
            file=image.paths[0],
            fix="Give an image with these bands, or --stack FOLDER where they are separate files",
        )
    if str(image.dtype) != card.dtype:
        log.warning("%s is %s, and the model was taught with %s: check the scale.", image.paths[0], image.dtype, card.dtype)
    gsd = image.grid.gsd
    if gsd and card.gsd and not 2 / 3 < gsd / card.gsd < 1.5:
        log.warning(
            "%s has pixels of %.3g m, and the model was taught with %.3g m: expect a worse map.",
            image.paths[0],
            gsd,
            card.gsd,
        )


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
