"""`swath suggest`: regions of an image to label next."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from swath.commands.base import check_ending, command
from swath.errors import UsageError
from swath.io.atomic import refuse_replaced
from swath.io.vector import LayerOptions
from swath.mapping.inputs import ImageInput, find_inputs, with_quality
from swath.mapping.opening import (
    check_band_count,
    odd_numbers,
    open_for_model,
    unlike_training,
)
from swath.mapping.suggestions.choice import choose
from swath.mapping.suggestions.labels import LabelsOfImage
from swath.mapping.suggestions.regions import squares_of_image, write_regions
from swath.models.model import Model
from swath.options import SuggestOptions
from swath.types import Result

log = logging.getLogger(__name__)


class SuggestResult(Result):
    """Regions to label next.

    Attributes:
        regions: path of the layer.
        n: number of regions.
        classes: regions by the class that is mapped in most of their pixels.
        seen: share of the image that was mapped to find them, 0..1.
        warnings: what makes the map worse, and labels that could not be read.
    """

    regions: str
    n: int
    classes: dict[str, int]
    seen: float
    warnings: list[str] = []


@command(SuggestOptions)
def suggest(options: SuggestOptions) -> SuggestResult:
    """Find regions whose label would help a model most, and write them as a GeoPackage.

    The image is mapped, and divided into squares. Those are chosen whose like has most of the
    pixels that are expected to be wrong, and no label yet: uncertain, unlike what is labeled and
    unlike each other, in look, class and place.

    Raises:
        DataError: image or labels are damaged, do not fit each other, or are not the model's.
        ModelError: the model is damaged.
        UsageError: several images are given, or OUT is an input.
        JobError: the layer cannot be written.
    """
    check_ending(options.out, (".gpkg",), "OUT")
    model, warnings = Model(options.model), list[str]()
    legend = model.card.legend
    source, image = open_for_model(_source(options, model), model.card, warnings.append)
    with image:
        check_band_count(image, model.card, "Give an image with these bands, or --band-order")
        warnings += odd_numbers(image, model.card)
        warnings += unlike_training(image, model, options.gsd)
        how = LayerOptions(field=options.label_field, layer=options.layer, crs=options.labels_crs)
        opened = LabelsOfImage(options.labels, image.grid, legend, how, image.name)
        with closing(opened) as labels:
            warnings += labels.warnings
            read = [options.labels, options.model, *source.all_files()]
            refuse_replaced([Path(options.out)], read, "Give OUT another name")
            engine = model.predictor.for_gsd(model.gsd_of(options.gsd, image.grid.gsd))
            squares, seen = squares_of_image(image, engine, model.card.bands, labels)
        chosen = squares[choose(squares, options.n)]
        names = [c.name for c in legend.trained]
        write_regions(options.out, chosen, image.grid, dict(enumerate(names)))
    for text in warnings:
        log.warning(text)
    counts = {name: int((chosen.classes == i).sum()) for i, name in enumerate(names)}
    return SuggestResult(
        regions=str(options.out), n=len(chosen), classes=counts, seen=seen, warnings=warnings
    )


def _source(options: SuggestOptions, model: Model) -> ImageInput:
    """Return the image as `predict` would read it.

    Raises:
        UsageError: it is several.
    """
    order = options.band_order
    found = find_inputs(options.image, model.card.image_bands, by_order=order is not None)
    if len(found) != 1:
        message = f"IMAGE is {len(found)} images"
        raise UsageError(message, code="option-conflict", fix="Name one of them")
    regions = None if options.regions is None else str(Path(options.regions).resolve())
    read = {
        "order": None if order is None else tuple(order),
        "regions": regions,
        "latitude": model.card.latitude,
        "scaled": model.card.scaled,
        "nodata": options.nodata,
    }
    return with_quality([found[0].model_copy(update=read)], options.quality)[0][0]
