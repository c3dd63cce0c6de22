"""Numbers of all bands of all sensors, against a plain reading and the documented sum."""

import math

import numpy as np
import pytest
import rasterio

from swath.io.products import find_product
from swath.io.raster import Raster
from tests.io.products.make import (
    COEFFICIENTS,
    S2_L1C,
    SUN,
    hls,
    landsat,
    planetscope,
    sentinel1_grd,
    sentinel1_rtc,
    sentinel2,
    sentinel2_item,
    tarred,
    zipped,
)


def s2(numbers, band):
    return (numbers - 1000) / 10000


def s2_before_4(numbers, band):
    return numbers / 10000


def landsat_2(numbers, band):
    if band.name.startswith("lwir"):
        return numbers * 0.00341802 + 149
    return numbers * 0.0000275 - 0.2


def landsat_1(numbers, band):
    mult = 2e-5 + (int(band.sensor_name[1:]) - 1) * 1e-7
    return (mult * numbers - 0.1) / math.sin(math.radians(SUN))


def hls_2(numbers, band):
    return numbers * (0.01 if band.name.startswith("lwir") else 0.0001)


def planet_surface(numbers, band):
    return numbers / 10000


def planet_top(numbers, band):
    return numbers * COEFFICIENTS[band.index - 1]


def decibels(numbers, band):
    return 10 * np.log10(numbers)


def intensity_decibels(numbers, band):
    return 10 * np.log10(numbers**2)


def same(numbers, band):
    return numbers


CASES = {
    "S2 L2A": (lambda t: sentinel2(t), s2),
    "S2 L2A zip": (lambda t: zipped(sentinel2(t)), s2),
    "S2 L1C": (
        lambda t: sentinel2(t, S2_L1C, level="1C", baseline="02.08", offset=None),
        s2_before_4,
    ),
    "S2 item": (lambda t: sentinel2_item(t / "i.json", sentinel2(t)), s2),
    "Landsat 9": (lambda t: landsat(t), landsat_2),
    "Landsat 5 tar": (lambda t: tarred(landsat(t, 5)), landsat_2),
    "Landsat 7 L1": (lambda t: landsat(t, 7, level="L1TP"), landsat_1),
    "HLS S30": (lambda t: hls(t, "S30"), hls_2),
    "HLS L30": (lambda t: hls(t, "L30"), hls_2),
    "PlanetScope SR": (lambda t: planetscope(t, 4), planet_surface),
    "PlanetScope": (lambda t: planetscope(t, 8, surface=False), planet_top),
    "GRD": (lambda t: sentinel1_grd(t), intensity_decibels),
    "RTC power": (lambda t: sentinel1_rtc(t), decibels),
    "RTC amplitude": (lambda t: sentinel1_rtc(t, "a"), intensity_decibels),
    "RTC decibels": (lambda t: sentinel1_rtc(t, "d"), same),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_the_documented(tmp_path, case):
    make, documented = CASES[case]
    product = find_product(make(tmp_path))
    assert len(product.bands) >= 2
    for band in product.bands:
        with rasterio.open(band.path) as file:
            stored = file.read(band.index)
        with Raster([band], scaled=True) as raster:
            values, valid = raster.read(raster.grid.window)
        assert raster.bands == (band.name,) and valid.sum() == stored.size - 1
        assert not valid[0, 0]
        expected = documented(stored[valid].astype(float), band)
        np.testing.assert_allclose(values[0][valid], expected, rtol=1e-6, atol=1e-6)
