import io
import itertools
import subprocess
import sys
import zipfile
from math import prod

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from swath.errors import DataError
from swath.io.arrays import array_names, array_shape, file_of, find_arrays, parse_array, stem_of
from swath.io.atomic import file_stamps
from swath.io.raster import Raster, has_raster_name, open_raster
from tests.errors import fails

DTYPES = "u1 i1 <u2 >u2 <i2 >i2 <u4 >i4 <u8 >i8 <f4 >f4 <f8 >f8 f2 ?".split()


def read(path):
    """Return what Swath reads: values, nodata, CRS and transform."""
    with Raster([path]) as raster:
        pixels = raster.read(raster.grid.window)
        return pixels.values, raster.nodata, raster.grid


def some(shape, dtype, seed=0):
    values = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 120, shape)
    return values.astype(dtype)


def expected(values):
    """Return (bands, rows, columns) by the rule of the documentation, written independently."""
    if values.ndim == 2:
        return values[None]
    a, b, c = values.shape
    last = c < a
    if a == b != c:
        last = True
    if b == c != a:
        last = False
    return np.moveaxis(values, 2, 0) if last else values


@pytest.mark.parametrize(
    ("text", "file", "member", "index", "at"),
    [
        ("a.nc:v", "a.nc", "v", None, None),
        ("a.h5:/g/v[3]", "a.h5", "g/v", 3, None),
        ("d/a.h5://g/v", "d/a.h5", "g/v", None, None),
        ("a.npy", "a.npy", "", None, None),
        ("a.npy[2]", "a.npy", "", 2, None),
        ("a.nc@2024-06-01", "a.nc", "", None, "2024-06-01"),
        ("a.nc:v[1]@3", "a.nc", "v", 1, "3"),
        ("b.zarr/", "b.zarr", "", None, None),
        ("b.zarr:/x/y", "b.zarr", "x/y", None, None),
        ('NETCDF:"d/a.nc":v', "d/a.nc", "v", None, None),
        ("netcdf:a.nc:v", "a.nc", "v", None, None),
        ('HDF5:"a.h5"://g/v', "a.h5", "g/v", None, None),
        ('ZARR:"b.zarr":/v', "b.zarr", "v", None, None),
    ],
)
def test_names_are_parsed(text, file, member, index, at):
    name = parse_array(text)
    assert (name.file, name.member, name.index, name.at) == (file, member, index, at)
    assert parse_array(str(name)) == name
    assert str(file_of(text)) == file


@pytest.mark.parametrize(
    "text", ["a.tif", "https://x.org/a.nc:v", "/vsizip/a.zip/b.nc", "a.nc.tif"]
)
def test_other_rasters_are_no_arrays(text):
    assert parse_array(text) is None and str(file_of(text)) == str(text).replace("//", "/")


def test_a_file_of_the_very_name_is_that_file(tmp_path):
    path = tmp_path / "a.npy[0]"
    path.write_bytes(b"")
    assert parse_array(path) is None
    assert stem_of("x/a.h5:/g/v[3]") == "a_g_v_3" and stem_of("x/a.tif") == "a"


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=3),
    st.sampled_from(DTYPES),
    st.sampled_from("CF"),
    st.booleans(),
    st.booleans(),
)
def test_numpy_arrays_of_any_shape_type_and_order(tmp_path, shape, dtype, order, zipped, packed):
    values = np.asarray(some(shape, dtype), order=order)
    path = tmp_path / ("a.npz" if zipped else "a.npy")
    if zipped:
        (np.savez_compressed if packed else np.savez)(path, x=values)
    else:
        np.save(path, values)
    found, nodata, grid = read(path)
    wanted = expected(values)
    assert found.shape == wanted.shape and (found == wanted).all()
    assert found.dtype == {"?": "uint8", "f2": "float32"}.get(
        dtype, np.dtype(dtype).newbyteorder("=")
    )
    assert set(nodata) == {None} and grid.crs is None
    path.unlink()


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_index_and_a_second_one_choose_a_part(tmp_path, order):
    values = np.asarray(some((4, 5, 3, 6, 8), ">i2"), order=order)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", x=values, y=values[0])
    assert (read(tmp_path / "a.npy[2]@3")[0] == values[2, 3]).all()
    assert (read(f"{tmp_path}/a.npz:x[3]@1")[0] == values[3, 1]).all()
    assert (read(f"{tmp_path}/a.npz:y[4]")[0] == values[0, 4]).all()
    assert array_shape(tmp_path / "a.npy[2]") == values.shape
    with fails("array-index", DataError, f"{tmp_path}/a.npy[4]@0"):
        read(tmp_path / "a.npy[4]@0")
    with fails("array-axes", DataError, f"{tmp_path}/a.npy[1]"):
        read(tmp_path / "a.npy[1]")
    with fails("no-time-axis", DataError, f"{tmp_path}/a.npy@2024-06-01"):
        read(tmp_path / "a.npy@2024-06-01")


def test_leading_axes_of_one_are_passed_over(tmp_path):
    values = some((1, 1, 24, 24, 9), "f8")
    np.save(tmp_path / "a.npy", values)
    assert (read(tmp_path / "a.npy")[0] == values[0, 0].transpose(2, 0, 1)).all()


def test_members_of_a_file_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", x=some((4, 4), "u1"), y=some((4, 4), "u1"))
    with fails("several-arrays", DataError, tmp_path / "a.npz") as caught:
        open_raster(tmp_path / "a.npz")
    assert f"{tmp_path}/a.npz:x, {tmp_path}/a.npz:y" in caught.value.fix
    with fails("no-such-array", DataError, tmp_path / "a.npz"):
        open_raster(f"{tmp_path}/a.npz:z")
    assert array_names(tmp_path / "a.npz") == ["x", "y"]
    with fails("no-such-file", DataError, tmp_path / "b.npz"):
        open_raster(f"{tmp_path}/b.npz:z")


def header(shape, descr="'<u2'", fortran=False, length=None, version=1):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}".encode()
    text += b" " * (118 - len(text)) + b"\n"
    size = (len(text) if length is None else length).to_bytes(2 * version, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


HOSTILE = {
    "cut": (header((3, 100, 100)) + b"\0" * 100, "unreadable"),
    "huge": (header((3, 10**9, 10**9)) + b"\0" * 100, "unreadable"),
    "huge-fortran": (header((10**6, 10**6), fortran=True) + b"\0" * 100, "unreadable"),
    "negative": (header((-3, 8, 8)) + b"\0" * 999, "array-axes"),
    "empty": (header((0, 8)), "array-axes"),
    "one-axis": (header((50,)) + b"\0" * 100, "array-axes"),
    "no-axis": (header(()) + b"\0" * 100, "array-axes"),
    "objects": (header((4, 4), "'|O'") + b"\0" * 200, "array-type"),
    "text": (header((4, 4), "'<U2'") + b"\0" * 200, "array-type"),
    "complex": (header((4, 4), "'<c8'") + b"\0" * 200, "array-type"),
    "records": (header((4, 4), "[('a', '<u2'), ('b', '<u2')]") + b"\0" * 99, "array-type"),
    "no-type": (header((4, 4), "'<u7'") + b"\0" * 99, "unreadable"),
    "no-shape": (header("x") + b"\0" * 99, "unreadable"),
    "long-header": (header((4, 4), length=2**31, version=2) + b"\0" * 99, "unreadable"),
    "code": (header((4, 4), "__import__('os').abort()") + b"\0" * 99, "unreadable"),
    "pickle": (b"\x80\x04K\x01.", "unreadable"),
    "nothing": (b"", "unreadable"),
    "bands": (header((10**5, 2, 2)) + b"\0" * 800_000, "too-large"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_numpy_files_are_refused(tmp_path, kind, zipped):
    data, code = HOSTILE[kind]
    path = tmp_path / "a.npy"
    if zipped:
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", data)
    else:
        path.write_bytes(data)
    name = f"{path}:x" if zipped else path
    with fails(code, DataError, name):
        read(name)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.io.arrays.layout.MAX_BLOCK_BYTES", 10_000)
    np.savez_compressed(tmp_path / "a.npz", x=np.asfortranarray(np.zeros((1, 200, 100))))
    with fails("too-large", DataError, f"{tmp_path}/a.npz:x"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.nc", "a.hdf5"])
def test_damaged_files_are_named(tmp_path, name):
    stream = io.BytesIO()
    np.savez(stream, x=some((9, 9), "u1"))
    for data in (
        b"",
        b"nonsense",
        stream.getvalue()[:60],
        b"\x89HDF\r\n\x1a\n" + b"\xff" * 99,
        b"CDF\x01",
    ):
        (tmp_path / name).write_bytes(data)
        with fails("unreadable", DataError, tmp_path / name):
            open_raster(tmp_path / name)


# netCDF


def netcdf(
    path,
    dims=("lat", "lon"),
    shape=(6, 8),
    lat=None,
    lon=None,
    attrs=None,
    names=("v", "w"),
    **more,
):
    """Write variables v and w by xarray and SciPy; pixels are centered on coordinates."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("scipy")
    values = np.arange(prod(shape), dtype="i2").reshape(shape)
    north = {"units": "degrees_north"}
    coords = {
        "lat": ("lat", 50 - 0.01 * np.arange(6) - 0.005 if lat is None else lat, north),
        "lon": (
            "lon",
            10 + 0.01 * np.arange(8) + 0.005 if lon is None else lon,
            {"units": "degrees_east"},
        ),
        **more,
    }
    data = {n: (dims, values + i, attrs or {}) for i, n in enumerate(names)}
    xr.Dataset(data, coords=coords).to_netcdf(path, engine="scipy")
    return values


def test_latitude_and_longitude_are_epsg_4326(tmp_path):
    values = netcdf(tmp_path / "a.nc")
    for path in (f"{tmp_path}/a.nc:v", f'NETCDF:"{tmp_path}/a.nc":v'):
        found, _, grid = read(path)
        assert (found[0] == values).all()
        assert grid.affine.almost_equals(Affine(0.01, 0, 10, 0, -0.01, 50), 1e-9)
        assert grid.crs is not None and rasterio.crs.CRS.from_user_input(grid.crs).to_epsg() == 4326


def test_rising_latitudes_have_the_north_on_top(tmp_path):
    values = netcdf(tmp_path / "a.nc", lat=49.945 + 0.01 * np.arange(6))
    found, _, grid = read(f"{tmp_path}/a.nc:w")
    assert (found[0] == values[::-1] + 1).all()
    assert grid.affine.almost_equals(Affine(0.01, 0, 10, 0, -0.01, 50), 1e-9)


def test_variables_are_listed_as_they_are_to_be_written(tmp_path):
    netcdf(tmp_path / "a.nc")
    with fails("several-arrays", DataError, tmp_path / "a.nc") as caught:
        open_raster(tmp_path / "a.nc")
    assert f"{tmp_path}/a.nc:v, {tmp_path}/a.nc:w" in caught.value.fix
    with fails("no-such-array", DataError, tmp_path / "a.nc"):
        open_raster(f"{tmp_path}/a.nc:x")
    netcdf(tmp_path / "b.nc", names=("v",))
    assert read(tmp_path / "b.nc")[0].shape == (1, 6, 8)


def test_scale_offset_and_fill_value_are_kept(tmp_path):
    attrs = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": np.int16(3)}
    values = netcdf(tmp_path / "a.nc", attrs=attrs, names=("v",))
    with open_raster(tmp_path / "a.nc") as dataset:
        assert (dataset.scales, dataset.offsets, dataset.nodatavals) == ((0.5,), (10.0,), (3.0,))
        assert (dataset.read(1) == values).all()


@pytest.mark.parametrize("which", ["lat", "lon"])
def test_uneven_coordinates_are_refused_by_name(tmp_path, which):
    uneven = {"lat": 50 - 0.01 * np.arange(6) ** 1.2, "lon": 10 + 0.01 * np.arange(8) ** 1.2}
    netcdf(tmp_path / "a.nc", **{which: uneven[which]})
    with fails("irregular-axis", DataError, f"{tmp_path}/a.nc:v") as caught:
        open_raster(f"{tmp_path}/a.nc:v")
    assert which in caught.value.message.split()


def test_single_precision_coordinates_are_even(tmp_path):
    lat = (50 - 0.01 * np.arange(6) - 0.005).astype("f4")
    netcdf(tmp_path / "a.nc", lat=lat)
    assert read(f"{tmp_path}/a.nc:v")[2].affine.almost_equals(
        Affine(0.01, 0, 10, 0, -0.01, 50), 1e-5
    )


def test_two_dimensional_coordinates_are_refused(tmp_path):
    xr = pytest.importorskip("xarray")
    rows, cols = np.mgrid[:6, :8]
    coords = {
        "latitude": (("y", "x"), 50.0 - 0.01 * rows + 0.001 * cols, {"units": "degrees_north"}),
        "longitude": (("y", "x"), 10 + 0.01 * cols + 0.001 * rows, {"units": "degrees_east"}),
    }
    data = {"v": (("y", "x"), rows.astype("f4"))}
    xr.Dataset(data, coords=coords).to_netcdf(tmp_path / "a.nc", engine="scipy")
    with fails("curvilinear-grid", DataError, f"{tmp_path}/a.nc:v"):
        open_raster(f"{tmp_path}/a.nc:v")


def test_dates_choose_on_the_time_axis(tmp_path):
    time = ("time", [0.0, 5.0, 10.5], {"units": "days since 2024-6-1"})
    values = netcdf(tmp_path / "a.nc", ("time", "lat", "lon"), (3, 6, 8), time=time)
    name = f"{tmp_path}/a.nc:v"
    assert (read(name)[0] == values).all()
    for at, i in (("2024-06-06", 1), ("2024-06-11T12", 2), ("2024-06-11", 2), ("0", 0)):
        found, _, grid = read(f"{name}@{at}")
        assert (found == values[i][None]).all() and grid.crs is not None
    assert (read(f"{name}[1]")[0][0] == values[1]).all()
    with fails("no-such-date", DataError, f"{name}@2024-06-07") as caught:
        read(f"{name}@2024-06-07")
    assert "2024-06-06" in caught.value.fix
    with fails("no-such-date", DataError, f"{name}@2024-06"):
        read(f"{name}@2024-06")
    with fails("array-index", DataError, f"{name}@3"):
        read(f"{name}@3")


def test_an_index_and_a_date_choose_of_four_axes(tmp_path):
    time = ("time", [0, 24], {"units": "hours since 2024-06-01 00:00:00"})
    values = netcdf(tmp_path / "a.nc", ("level", "time", "lat", "lon"), (3, 2, 6, 8), time=time)
    name = f"{tmp_path}/a.nc:v"
    assert (read(f"{name}@2024-06-02")[0] == values[:, 1]).all()
    assert (read(f"{name}[2]@2024-06-01")[0] == values[2, :1]).all()
    with fails("array-axes", DataError, name):
        read(name)


def test_arrays_without_coordinates_keep_their_rows(tmp_path):
    xr = pytest.importorskip("xarray")
    first, last = some((3, 20, 30), "i2"), some((20, 30, 3), "i2", 1)
    data = {"first": (("b", "y", "x"), first), "last": (("r", "c", "d"), last)}
    data["many"] = (("n", "e", "f", "g"), some((4, 20, 30, 3), "i2", 2))
    xr.Dataset(data).to_netcdf(tmp_path / "a.nc", engine="scipy")
    assert (read(f"{tmp_path}/a.nc:first")[0] == first).all()
    assert (read(f"{tmp_path}/a.nc:first[2]")[0][0] == first[2]).all()
    assert (read(f"{tmp_path}/a.nc:last")[0] == last.transpose(2, 0, 1)).all()
    many = data["many"][1]
    assert array_shape(f"{tmp_path}/a.nc:many") == many.shape
    assert (read(f"{tmp_path}/a.nc:many[3]")[0] == many[3].transpose(2, 0, 1)).all()


def test_one_of_thousands_of_images_is_read_and_of_too_many_refused(tmp_path):
    xr = pytest.importorskip("xarray")
    for name, count in (("many", 1500), ("more", 12_000)):
        data = {name: (("n", "b", "y", "x"), some((count, 3, 4, 5), "i2"))}
        xr.Dataset(data).to_netcdf(tmp_path / f"{name}.nc", engine="scipy")
        if count < 10_000:
            found = read(tmp_path / f"{name}.nc[1400]")[0]
            assert (found == data[name][1][1400]).all()
            continue
        with fails("too-large", DataError, f"{tmp_path}/{name}.nc[5]"):
            read(tmp_path / f"{name}.nc[5]")


@pytest.mark.parametrize("dims", ["lon lat", "lat lon depth", "lon lat depth", "depth lon lat"])
@pytest.mark.parametrize("lons", [6, 8])
def test_other_orders_of_located_axes_are_refused(tmp_path, dims, lons):
    sizes = {"lat": 6, "lon": lons, "depth": 3}
    shape = tuple(sizes[d] for d in dims.split())
    netcdf(tmp_path / "a.nc", dims.split(), shape, lon=10 + 0.01 * np.arange(lons))
    with fails("axis-order", DataError, f"{tmp_path}/a.nc:v"):
        read(f"{tmp_path}/a.nc:v")


def test_bands_that_gdal_knows_may_be_last(tmp_path):
    values = netcdf(tmp_path / "a.nc", ("lat", "lon", "band"), (6, 8, 3))
    found, _, grid = read(f"{tmp_path}/a.nc:v")
    assert (found == values.transpose(2, 0, 1)).all() and grid.crs is not None
    assert (read(f"{tmp_path}/a.nc:v")[0] == found).all()


def test_projected_netcdf_of_gdal(tmp_path):
    values = some((2, 6, 8), "f4")
    profile = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500000, 0, -10, 5600000)}
    shape = {"count": 2, "height": 6, "width": 8, "dtype": "float32"}
    with rasterio.open(tmp_path / "a.tif", "w", **shape, **profile) as out:
        out.write(values)
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.nc", driver="netCDF")
    bands = [read(f"{tmp_path}/a.nc:{name}") for name in array_names(tmp_path / "a.nc")]
    assert (np.concatenate([found for found, _, _ in bands]) == values).all()
    for _, _, grid in bands:
        assert grid.affine == profile["transform"]
        assert rasterio.crs.CRS.from_user_input(grid.crs).to_epsg() == 32632


# Zarr


def zarr(path, values, **profile):
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="Zarr", **shape, **profile) as out:
        out.write(values)
    return path


def test_a_zarr_store_is_a_raster(tmp_path):
    values = some((3, 9, 12), "u2")
    path = zarr(
        tmp_path / "z.zarr", values, crs="EPSG:32632", transform=Affine(10, 0, 5e5, 0, -10, 56e5)
    )
    for name in (path, f"{path}/", f'ZARR:"{path}"'):
        found, nodata, grid = read(name)
        assert (found == values).all() and nodata == (None,) * 3
        assert grid.affine == Affine(10, 0, 5e5, 0, -10, 56e5)
    before = file_stamps([str(path)])
    next(p for p in path.rglob("*") if p.name == ".zarray").touch()
    assert before and file_stamps([str(path)]) != before


def test_zeros_of_a_zarr_store_are_data(tmp_path):
    values = np.zeros((1, 9, 12), "f4")
    path = zarr(tmp_path / "z.zarr", values)
    with Raster([path]) as raster:
        assert raster.read(raster.grid.window).valid.all()
    path = zarr(tmp_path / "n.zarr", values + 5, nodata=5)
    with Raster([path]) as raster:
        assert not raster.read(raster.grid.window).valid.any()


def test_a_damaged_zarr_store_is_named(tmp_path):
    (tmp_path / "z.zarr").mkdir()
    with fails("unreadable", DataError, tmp_path / "z.zarr"):
        open_raster(tmp_path / "z.zarr")


# Folders


def test_patterns_of_arrays_are_expanded(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", some((2, 3, 4, 5), "u1"))
    found = find_arrays("*.npy[*]", tmp_path)
    assert [str(n) for n in found] == [
        f"{tmp_path}/{n}.npy[{i}]" for n, i in itertools.product("ab", (0, 1))
    ]
    assert find_arrays("c*.npy", tmp_path) == [] and find_arrays("*.tif", tmp_path) == []


def test_envi_files_are_found_by_their_headers(tmp_path):
    values = some((2, 5, 6), "i2")
    for name in ("a", "b.dat", "c.img", "d.bsq"):
        with rasterio.open(
            tmp_path / name, "w", driver="ENVI", count=2, height=5, width=6, dtype="int16"
        ) as out:
            out.write(values)
    (tmp_path / "e.dat").write_bytes(b"1")
    names = {p.name for p in tmp_path.iterdir() if has_raster_name(p)}
    assert names == {"a", "b.dat", "c.img", "d.bsq"}
    assert all((read(tmp_path / name)[0] == values).all() for name in names)


NETCDF_IN_THREADS = """
import sys, threading
from swath.geo.tiling import Window
from swath.io.raster import Raster

def read(file):
    for _ in range(60):
        with Raster([f"{file}:image"]) as raster:
            assert raster.read(Window(0, 0, 8, 8)).values.sum() == 64 * 3

for file in sys.argv[1:] * 2:
    threading.Thread(target=read, args=(file,)).start()
"""


def test_netcdf_files_are_read_in_several_threads(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    for name in "ab":  # without coordinates, which GDAL warns of
        with scipy_io.netcdf_file(str(tmp_path / f"{name}.nc"), "w") as out:
            for axis, size in (("band", 3), ("y", 8), ("x", 8)):
                out.createDimension(axis, size)
            out.createVariable("image", "i2", ("band", "y", "x"))[:] = 1
            out.createVariable("mask", "i2", ("y", "x"))[:] = 1
    command = [sys.executable, "-c", NETCDF_IN_THREADS, *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr
