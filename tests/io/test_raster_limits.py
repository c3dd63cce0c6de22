import io
import math
import re
import shlex
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rio.main import main_group

import swath
from swath.checks.scan_statistics import PixelStatistics
from swath.errors import DataError, SwathError
from swath.geo.geobox import CHUNK_BYTES, GeoBox, chunks
from swath.geo.tiling import fit_tiling
from swath.io.raster import Raster
from swath.io.tiff import MAX_TAG_BYTES, read_tags
from tests.errors import fails
from tests.make import UTM, noise, truncate, write_model, write_png, write_raster


def bomb(path, width, height, block, *, bands=1, bits=8):
    """Write a TIFF of tiles of `block` pixels a side, none of which is there."""
    tiles = min(2**32 - 1, -(-width // block) * -(-height // block))
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, bands),
        (322, 4, 1, block),
        (323, 4, 1, block),
        (324, 4, tiles, 0),
        (325, 4, tiles, 0),
        (339, 3, 1, 1),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    return path


SIDES = [
    (2**31 - 1, 2**31 - 1, 2**15),
    (2**31 - 1, 2**31 - 1, 256),
    (10**6, 10**6, 512),
    (30_000, 30_000, 29_984),
]


@pytest.mark.parametrize("sides", SIDES)
def test_a_tiny_file_that_declares_terabytes_is_refused(tmp_path, sides):
    image = bomb(tmp_path / "s" / "images" / "x.tif", *sides)
    with fails("too-large" if sides == SIDES[3] else "unreadable", DataError, image):
        Raster([image])
    write_png(tmp_path / "s" / "masks" / "x.png", noise(9, 9))
    assert [f["file"] for f in swath.inspect(tmp_path / "s").findings if f["level"] == "error"] == [
        str(image)
    ]
    with pytest.raises(SwathError) as caught:
        swath.predict(write_model(tmp_path / "m.swath", 1), image, tmp_path / "m.tif")
    assert caught.value.file == str(image) and not (tmp_path / "m.tif").exists()


def test_a_block_that_unpacks_to_more_than_memory_should_hold_is_refused(tmp_path):
    with fails("too-large", DataError, tmp_path / "x.tif") as caught:
        Raster([bomb(tmp_path / "x.tif", 30_000, 30_000, 29_984)])
    assert "0.8 GiB" in caught.value.message
    with Raster([bomb(tmp_path / "y.tif", 20_000, 20_000, 20_000)]) as raster:
        assert raster.grid.width == 20_000


@pytest.mark.parametrize(
    "profile",
    [{"compress": "deflate", "interleave": "pixel"}, {"compress": "jpeg", "photometric": "ycbcr"}],
)
def test_a_raster_of_large_blocks_is_rewritten_as_the_mend_says(tmp_path, monkeypatch, profile):
    pixels = np.broadcast_to(np.uint8(90), (3, 700, 733))  # a width that no tile has
    path = write_raster(tmp_path / "a strip.tif", pixels, blockysize=700, **profile)
    monkeypatch.setattr("swath.io.raster_limits.MAX_BLOCK_BYTES", 10**6)
    with fails("too-large", DataError, path) as caught:
        Raster([path])
    command = shlex.split(caught.value.fix.split("`")[1].replace("NEW.tif", f"{tmp_path}/new.tif"))
    main_group.main(command[1:], prog_name="rio", standalone_mode=False)
    with Raster([tmp_path / "new.tif"]) as made:
        assert (made.read(made.grid.window).values == 90).all()


def test_a_sparse_raster_is_not_taken_for_a_bomb(tmp_path):
    with rasterio_open(tmp_path / "x.tif", 40_000) as out:
        out.write(noise(3, 512, 512), window=((0, 512), (0, 512)))
    with Raster([tmp_path / "x.tif"]) as raster:
        assert raster.grid.width == 40_000


def rasterio_open(path, side):
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=3,
        dtype="uint8",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        SPARSE_OK=True,
        BIGTIFF="YES",
    )


@pytest.mark.parametrize(
    "how", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"BIGTIFF": "YES"}]
)
def test_an_index_that_lacks_blocks_is_damage_and_not_zeros(tmp_path, how):
    """GDAL reads what the index does not name as zeros, and says nothing."""
    path = write_raster(
        tmp_path / "x.tif", noise(1, 64, 64), compress="deflate", **({"blockysize": 8} | how)
    )
    index = read_tags(path)["TileOffsets" if "tiled" in how else "StripOffsets"]
    big = "BIGTIFF" in how
    entry = struct.pack(
        "<HHQ" if big else "<HHI", 324 if "tiled" in how else 273, 16 if big else 4, index.count
    )
    content = path.read_bytes()
    at = content.find(entry[:4])
    short = entry[:4] + struct.pack("<Q" if big else "<I", index.count - 2)
    path.write_bytes(content[:at] + short + content[at + len(short) :])
    with fails("unreadable", DataError, path) as caught:
        Raster([path])
    assert re.findall(r"\d+", caught.value.message) == [str(index.count), str(index.count - 2)]


def test_a_page_that_says_of_no_block_where_it_is_is_damage(tmp_path):
    path = write_raster(
        tmp_path / "x.tif", noise(1, 64, 64), tiled=True, blockxsize=16, blockysize=16
    )
    path.write_bytes(
        path.read_bytes().replace(struct.pack("<HHI", 324, 4, 16), struct.pack("<HHI", 325, 4, 16))
    )
    with fails("unreadable", DataError, path):
        Raster([path])


def test_more_bands_than_anyone_has_are_refused_and_hundreds_are_not(tmp_path):
    with fails("too-large", DataError, tmp_path / "x.tif") as caught:
        Raster([write_raster(tmp_path / "x.tif", noise(4097, 1, 1), interleave="pixel")])
    assert "4097 bands" in caught.value.message
    with Raster([write_raster(tmp_path / "y.tif", noise(400, 3, 3, dtype="uint16"))]) as raster:
        assert raster.pixel_bytes == 800


def test_what_is_read_at_once_is_bounded_whatever_the_bands():
    for pixel_bytes in (1, 64, 65, 800, 10**6):
        found = list(chunks(GeoBox(20, 3000), pixel_bytes))
        assert sum(w.size for w in found) == 20 * 3000
        assert max(w.size for w in found) * pixel_bytes <= max(CHUNK_BYTES, pixel_bytes)


@pytest.mark.parametrize("bands", [2, 300])
def test_statistics_of_many_bands_are_the_same(bands):
    """Counted value by value, and by moments."""
    values = noise(bands, 20, 30, low=0, high=60_000, dtype="uint16")
    tally = PixelStatistics(bands, np.dtype("uint16"))
    tally.add(values, np.ones((20, 30), bool))
    flat = values.reshape(bands, -1).astype(float)
    np.testing.assert_allclose([s.mean for s in tally.stats], flat.mean(axis=1))
    np.testing.assert_allclose([s.std for s in tally.stats], flat.std(axis=1), rtol=1e-6)
    assert [s.high for s in tally.stats] == flat.max(axis=1).tolist()


@pytest.mark.parametrize(
    "transform", [(10, 0, 0, 20, 0, 0), (math.nan, 0, 0, 0, -10, 0), (10, 0, math.inf, 0, -10, 0)]
)
def test_a_transform_that_places_nothing_is_named(tmp_path, transform):
    path = write_raster(tmp_path / "x.tif", noise(9, 9), UTM, rasterio.Affine(*transform))
    with fails("bad-transform", DataError, path):
        Raster([path])


def test_pages_that_claim_more_than_the_file_can_hold_are_refused(tmp_path):
    import tifffile

    tifffile.imwrite(
        tmp_path / "x.tif", noise(3, 50, 60), photometric="minisblack", compression="zlib"
    )
    content = bytearray((tmp_path / "x.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        for page in file.pages:
            for code in (256, 257, 278):
                tag = page.tags[code]
                struct.pack_into("<H" if tag.dtype == 3 else "<I", content, tag.valueoffset, 60_000)
    (tmp_path / "x.tif").write_bytes(content)
    with fails("unreadable", DataError, tmp_path / "x.tif"):
        Raster([tmp_path / "x.tif"])


def test_tiles_of_a_line_two_billion_pixels_long_are_found_at_once():
    assert fit_tiling(2**31 - 1, 1, most=2**20, halo=64, stride=32).read[0] <= 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_hundred_gigabytes_of_zeros_need_no_more_memory_than_one(tmp_path):
    """320,000 x 320,000 pixels in tiles of one megabyte that are all the same kilobyte."""
    side, block = 320_000, 1024
    tile = zlib.compress(bytes(block * block), 9)
    count = math.ceil(side / block) ** 2
    offsets, sizes = 200 + len(tile), 200 + len(tile) + 4 * count
    tags = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, block),
        (323, 4, 1, block),
        (324, 4, count, offsets),
        (325, 4, count, sizes),
    ]
    head = (
        b"II*\0"
        + struct.pack("<IH", 8, len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    )
    arrays = np.full(count, 200, "<u4").tobytes() + np.full(count, len(tile), "<u4").tobytes()
    (tmp_path / "x.tif").write_bytes(head.ljust(200, b"\0") + tile + arrays)
    script = (
        "import sys; from swath.geo.geobox import chunks\n"
        "from swath.inference.memory import peak_memory; from swath.io.raster import Raster\n"
        "with Raster([sys.argv[1]]) as raster:\n"
        "    for i, window in enumerate(chunks(raster.grid)):\n"
        "        assert not raster.read(window).values.any()\n"
        "        if i == 20_000: break\n"
        "print(peak_memory())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.tif"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) < 600e6


def test_a_cut_off_bomb_is_an_error(tmp_path):
    with fails("unreadable", DataError, tmp_path / "x.tif"):
        Raster([truncate(bomb(tmp_path / "x.tif", *SIDES[0]), 0.8)])


@pytest.mark.parametrize("count", [1, 4000])
def test_tags_that_point_to_all_of_a_large_file_are_not_loaded(tmp_path, count):
    size = 2 * MAX_TAG_BYTES
    index = (size - 2**17) // 4
    tags = [(256, 4, 1, 10), (257, 4, 1, 10), *[(324, 4, index, 2**16)] * count]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    with (tmp_path / "x.tif").open("wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
        file.truncate(size)
    tracemalloc.start()
    assert read_tags(tmp_path / "x.tif") == {}
    assert tracemalloc.get_traced_memory()[1] < MAX_TAG_BYTES
    tracemalloc.stop()


def test_tags_of_what_is_no_tiff_are_none(tmp_path):
    assert read_tags(write_png(tmp_path / "x.png", noise(9, 9))) == {}
    assert read_tags(io.BytesIO()) == read_tags(io.BytesIO(b"II*\0")) == {}
