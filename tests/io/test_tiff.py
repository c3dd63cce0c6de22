import numpy as np
import pytest
import tifffile

from swath.errors import DataError
from swath.geo.tiling import full_window
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import noise, truncate


def read(path):
    with Raster([path]) as raster:
        return raster.read(full_window(raster.grid.height, raster.grid.width)).values


@pytest.mark.parametrize("shape", [(96, 80, 8), (20, 30, 5)])
def test_an_array_of_rows_columns_bands_is_read_as_bands(tmp_path, shape):
    array = noise(*shape, high=60_000, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), array.transpose(2, 0, 1))


def test_a_stack_of_pages_is_read_as_bands(tmp_path):
    array = noise(5, 40, 60)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in array:
            file.write(page, contiguous=False, metadata=None)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), array)


def test_compressed_pages_are_read(tmp_path):
    array = noise(40, 60, 6)
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        compression="zlib",
        photometric="minisblack",
        planarconfig="separate",
    )
    assert read(tmp_path / "a.tif").shape[0] in (6, 40)
    tifffile.imwrite(tmp_path / "b.tif", array, compression="zlib")
    np.testing.assert_array_equal(read(tmp_path / "b.tif"), array.transpose(2, 0, 1))


def test_a_thumbnail_is_not_a_band(tmp_path):
    image = noise(64, 96)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image)
        file.write(image[::4, ::4])
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), image[None])


def test_visible_bands_are_left_to_gdal(tmp_path):
    array = noise(32, 48, 3)
    tifffile.imwrite(tmp_path / "a.tif", array)
    with Raster([tmp_path / "a.tif"]) as raster:
        assert raster.bands == ("red", "green", "blue")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), array.transpose(2, 0, 1))


def test_a_truncated_file_is_an_error_that_names_it(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(200, 200, 8, dtype="uint16"))
    with fails("unreadable", DataError, tmp_path / "a.tif"):
        read(truncate(tmp_path / "a.tif"))


def test_memory_is_given_back(tmp_path):
    """Pages of many files, opened one after another, don't pile up."""
    import resource

    tifffile.imwrite(tmp_path / "a.tif", noise(1024, 1024, 8, dtype="uint16"))
    read(tmp_path / "a.tif")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(12):
        read(tmp_path / "a.tif")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 6 * 16 * 1024
