"""Peak memory does not depend on the size of the image; freed memory is kept in training."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from swath.inference.memory import BufferPool
from tests.make import NORTH_UP, UTM, write_raster

TILES = int(os.environ.get("SWATH_TILES", "200"))
"""How many tiles of the larger image are computed."""

RUN = """
import json, sys
from itertools import islice
from swath.mapping.workers import Worker
from swath.inference.memory import peak_memory
from swath.models.model import Model
from swath.mapping.inputs import ImageInput
from swath.mapping.plan import freeze_plan, make_plan, make_request
from swath.io.work_folder import open_store
model, image, root, count, precision = sys.argv[1:]
found = ImageInput(name="i", files=(image,))
with found.open() as view:
    opened = Model(model)
    asked = make_request(opened, found, view, ["class"], {"halo": 128, "precision": precision})
    plan = freeze_plan(open_store(root), asked, lambda: make_plan(asked, opened, view))
for _ in Worker(plan, root).work(range(min(int(count), len(plan.tiling)))):
    pass
print(json.dumps([peak_memory(), len(plan.tiling), plan.tiling.overhead]))
"""


def repeated(path, image, times):
    """Write a virtual raster that shows an image `times` times beside and below itself."""
    with rasterio.open(image) as one:
        side = one.width
    bands = ""
    for band in (1, 2, 3):
        sources = "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="0">{image}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{side}" ySize="{side}"/>'
            f'<DstRect xOff="{col * side}" yOff="{row * side}" xSize="{side}" ySize="{side}"/>'
            "</SimpleSource>"
            for row in range(times)
            for col in range(times)
        )
        bands += f'<VRTRasterBand dataType="Byte" band="{band}">{sources}</VRTRasterBand>'
    size = f'rasterXSize="{times * side}" rasterYSize="{times * side}"'
    place = "500000, 10, 0, 5600000, 0, -10"
    path.write_text(
        f"<VRTDataset {size}><SRS>{UTM}</SRS><GeoTransform>{place}</GeoTransform>{bands}"
        "</VRTDataset>"
    )
    return path


def photographs(folder, side=4096):
    """Return real views of Dubai, tiled to a square."""
    photos = [rasterio.open(p).read() for p in sorted((folder / "dubai").rglob("*.jpg"))[:9]]
    high, wide = min(p.shape[1] for p in photos), min(p.shape[2] for p in photos)
    row = np.concatenate([p[:, :high, :wide] for p in photos], axis=2)
    return np.tile(row, (1, -(-side // high), -(-side // row.shape[2])))[:, :side, :side]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "times"), [("float32", 1), ("bf16", 4)])
def test_peak_memory_is_below_two_gigabytes_and_equal_for_any_size(
    tiny_model, shared_data, tmp_path, precision, times
):
    """In bf16 an image of 4096 or 8192 pixels a side is cut into few tiles below the budget."""
    small = write_raster(
        tmp_path / "i.tif",
        photographs(shared_data),
        UTM,
        NORTH_UP,
        tiled=True,
        blockxsize=512,
        blockysize=512,
    )
    peaks = []
    for name, side in (("small", times), ("large", 16)):
        image = repeated(tmp_path / f"{name}.vrt", small, side)
        words = [
            sys.executable,
            "-c",
            RUN,
            str(tiny_model),
            str(image),
            str(tmp_path / f"{name}.parts"),
            str(TILES),
            precision,
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peak, tiles, overhead = json.loads(done.stdout)
        assert peak < 2e9 and tiles > 1 and overhead < 1.35
        peaks.append(peak)
    assert max(peaks) < 1.1 * min(peaks), peaks


FAULTS = """
import ctypes, resource
import torch
from swath.inference.memory import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(6):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

usual = faults()
with freed_memory_kept():
    for _ in range(3):
        faults()
    kept, held = faults(), resident()
given_back = held - resident()
print(usual, kept, given_back)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep what is freed"
)
def test_freed_memory_is_kept_for_what_comes_next_and_given_back_at_the_end():
    ran = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    usual, kept, given_back = map(int, ran.stdout.split())
    if usual < 1000:
        pytest.skip("the system gives memory in huge pages, so there is nothing to save")
    assert kept < usual / 5
    assert given_back > 60_000  # kilobytes, of the 65,536 that a block has


def test_memory_is_lent_again_when_no_view_of_it_is_left():
    spare = BufferPool()
    memory = spare.take((2, 3))
    view = spare.lend(memory)[:, 1:]
    view[:] = 7
    assert spare.take((2, 3)) is not memory and (memory[:, 1:] == 7).all()
    row = view[0]
    del view
    assert spare.take((2, 3)) is not memory
    del row
    assert spare.take((2, 3)) is memory
    spare.lend(memory)
    assert (
        spare.take((3, 2)) is not memory and spare.take((2, 3)) is not memory
    )  # another shape lets it go
