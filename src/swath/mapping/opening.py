"""Images that are opened for a model: its bands are found, and what makes a map worse is told."""

from __future__ import annotations

from collections.abc import Callable

from swath.errors import DataError
from swath.geo.latitude import latitude_range
from swath.geo.scale import out_of_reach
from swath.mapping.inputs import ImageInput, InputImage
from swath.mapping.number_check import check_numbers
from swath.models.band_matching import match_bands
from swath.models.card import Card
from swath.models.model import Model
from swath.types import Gsd

LATITUDE_TOLERANCE = 1.0
"""Degrees of latitude beyond those of the training data that are not warned of."""


def open_for_model(
    source: ImageInput, card: Card, warn: Callable[[str], None]
) -> tuple[ImageInput, InputImage]:
    """Open an image with the model's bands, found by their names; see `match_bands`.

    Args:
        source: the image.
        card: of the model.
        warn: is called where the bands were taken by their colors.

    Returns:
        The image with the order of its bands, and the open image.

    Raises:
        DataError: the image is damaged, or its bands are not the model's.
    """
    image = source.open()
    if source.order is not None or source.bands is not None:
        return source, image
    try:
        own = [[name] for name in image.image.bands]
        places = match_bands(card.image_bands, own, image.name)
    except DataError:
        image.close()
        raise
    if places is None or places == list(range(len(own))):
        return source, image
    by_color = image.image.named_by_color
    image.close()
    order = tuple(place + 1 for place in places)
    if by_color:
        taken = ",".join(map(str, order))
        kept = ",".join(str(i) for i in range(1, len(order) + 1))
        warn(
            f"{image.name}: Bands {taken} are taken, by the colors that the file gives its "
            "bands, and their names are not told. If they lie in the order of the model "
            f"({', '.join(card.image_bands)}), give --band-order {kept}."
        )
    source = source.model_copy(update={"order": order})
    return source, source.open()


def check_band_count(image: InputImage, card: Card, fix: str) -> None:
    """Refuse an image of more or fewer bands than the model's.

    Raises:
        DataError: it has; `fix` says what to do.
    """
    bands = image.image.bands
    if len(bands) != len(card.image_bands):
        wanted = f"{len(card.image_bands)} ({', '.join(card.image_bands)})"
        message = f"The image has {len(bands)} band(s), and the model takes {wanted}"
        raise DataError(message, code="band-mismatch", file=image.name, fix=fix)


def odd_numbers(image: InputImage, card: Card) -> list[str]:
    """Return a warning where the numbers of an image are unlike those of the training data."""
    if not card.ranges_known:
        return []
    wrong = check_numbers(image, card.bands, card.known_dtype)
    return [] if wrong is None else [f"{image.name}: {wrong}"]


def unlike_training(image: InputImage, model: Model, given: Gsd) -> list[str]:
    """Return warnings where resolution or latitude are unlike those of the training data.

    Args:
        image: the image.
        model: the model.
        given: ground sampling distance that the user gives; see `Model.gsd_of`.
    """
    card, name, out = model.card, image.name, []
    gsd, known_gsd = model.gsd_of(given, image.grid.gsd), card.mapped_gsd
    if out_of_reach(gsd, known_gsd):
        out.append(
            f"{name} has pixels of {gsd:.3g} m, and the model was trained with {known_gsd:.3g} "
            f"m. Scale {model.zoom(gsd)} is the limit. Expect a worse map."
        )
    if card.latitude:
        (low, high), known = latitude_range(image.grid), card.bands[-1]
        if low < known.min - LATITUDE_TOLERANCE or high > known.max + LATITUDE_TOLERANCE:
            out.append(
                f"{name} lies at latitudes of {low:.1f} to {high:.1f} degrees, and the model "
                f"was trained with {known.min:.1f} to {known.max:.1f}: expect a worse map."
            )
    return out
