"""Maps that are hardly meant: without any data, or of one class where the numbers are odd."""

from __future__ import annotations

from collections.abc import Mapping

from swath.geo.geobox import chunks
from swath.legend import Legend
from swath.mapping.inputs import InputImage


def check_result(
    image: InputImage, counts: Mapping[int, int], legend: Legend, odd_numbers: bool
) -> str | None:
    """Return a sentence on a map that is hardly meant; None for a usual one.

    Args:
        image: the image that was mapped.
        counts: pixels of its map by code.
        legend: classes of the map.
        odd_numbers: whether the numbers of the image are unlike those of training.
    """
    mapped = [c.name for c in legend.trained if counts.get(c.map_code)]
    if not mapped:
        return f"No pixel of the map has data: {_cause(image)}."
    if len(mapped) == 1 and len(legend.trained) > 1 and odd_numbers:
        return f"The whole map is of one class, {mapped[0]}, and the numbers of the image are odd."
    return None


def _cause(image: InputImage) -> str:
    """Return why no pixel of an image was mapped; reads until pixels that could be are found."""
    held = usable = wanted = False
    for window in chunks(image.grid, image.dtype.itemsize * len(image.image.bands)):
        valid, masked = image.image.read(window).valid, image.read(window).valid
        inside = image.wanted(window)
        held = held or bool(valid.any())
        usable = usable or bool(masked.any())
        wanted = wanted or inside is None or bool(inside.any())
        if held and usable and wanted:
            break
    if not held:
        return "all pixels of the image are nodata (check the nodata value that it declares)"
    if not usable:
        return "all pixels with data are masked (check what the values of the mask mean)"
    if not wanted:
        return "no pixel lies in the polygons of --regions (check their CRS and extent)"
    return "no pixel with data lies in the polygons of --regions"
