"""Bands of an image are found by their names, in any order."""

import pytest

from swath.errors import DataError
from swath.models.band_matching import match_bands, says_something
from tests.errors import fails


def match(wanted, own):
    return match_bands(wanted.split(), [names.split("/") for names in own.split()], "image.tif")


@pytest.mark.parametrize(
    ("wanted", "own", "places"),
    [
        ("B04 B03 B02", "B02 B03 B04", [2, 1, 0]),
        ("B04 B03 B02", "B1 B2 B3 B4 B8A", [3, 2, 1]),
        ("red green blue", "B02 B03 B04", [2, 1, 0]),
        ("red green blue nir", "Blue Green Red NIR", [2, 1, 0, 3]),
        ("B04 B03 B02", "blue/B02 green/B03 red/B04 nir/B08", [2, 1, 0]),
        ("R G B", "Red Green Blue", [0, 1, 2]),
        ("nir", "red/B04 nir/B08 nir08/B8A", [1]),
        ("VV VH", "vh vv", [1, 0]),
        ("blue green red nir", "B2 B3 B4 B8", [0, 1, 2, 3]),
        ("blue green red nir", "B2 B3 B4 B5", [0, 1, 2, 3]),
        ("blue green red nir", "SR_B2 SR_B3 SR_B4 SR_B5 SR_B6 SR_B7", [0, 1, 2, 3]),
        ("blue green red nir", "B1 B2 B3 B4 B5 B8 B8A B12", [1, 2, 3, 5]),
        ("nir nir08", "B8 B8A", [0, 1]),
        ("2019-05 2019-06", "2019-06 2019-05", [1, 0]),
    ],
)
def test_names_decide(wanted, own, places):
    assert match(wanted, own) == places


@pytest.mark.parametrize(
    ("wanted", "own"),
    [
        ("1 2 3", "B02 B03 B04"),
        ("B04 B03 B02", "1 2 3"),
        ("B04 B03 B02", "Band_1 Band_2 Band_3"),
        ("Band-1", "Layer_1"),
        ("red red", "red green"),
    ],
)
def test_names_that_say_nothing_leave_the_order_of_the_file(wanted, own):
    assert match(wanted, own) is None


@pytest.mark.parametrize(
    ("wanted", "own"),
    [
        ("B04 B03 B02", "B02 B03 B08"),  # one is missing
        ("B4 B3 B2", "red nir08 green blue"),  # red or near infrared, by Landsat's generation
        ("vv vh", "hh hv"),
        ("blue green red nir", "B1 B2 B3 B4 B5 B6 B7 B8"),  # Sentinel-2 or Landsat
        ("B4 B3 B2 B8", "B2 B3 B4 B5"),
        ("red green", "red/B4 red2/B5"),
    ],
)
def test_missing_and_ambiguous_bands_are_refused(wanted, own):
    with fails("band-mismatch", DataError, "image.tif"):
        match(wanted, own)


def test_a_gray_image_says_nothing():
    assert not says_something(["gray"])
    assert says_something(["ndvi"])
