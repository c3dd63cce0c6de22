"""Images of another ground sampling distance than the model's: their scales, and no seams."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

import swath
from swath.cli import summaries
from swath.data.dataset import Dataset
from swath.errors import JobError, UsageError
from swath.evaluation.ood import _describe_patches
from swath.geo.geobox import GeoBox
from swath.geo.scale import MAX_ZOOM, MIN_ZOOM, NEAR_RATIO, TOLERATED_RATIO, out_of_reach, zoom_for
from swath.geo.tiling import fit_tiling, square_tiling
from swath.inference.output import OutputSpec
from swath.inference.tiled import ScalableNetwork, TiledPredictor, predict_tiles, predict_window
from swath.inference.tta import VIEWS, Views, resample
from swath.legend import IGNORE
from swath.mapping.inputs import ImageInput
from swath.mapping.plan import PredictionRequest, make_plan
from swath.mapping.tile_store import TileStore
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from swath.options import EvaluateOptions, command_line
from swath.training.batches.patches import PatchBatches
from swath.training.batches.sampler import PatchSampler
from swath.training.export import predictor_of
from swath.training.recipes import Recipe
from tests.inference.test_tta import Array, coarse, pixels, tiled
from tests.make import UTM, noise, write_model, write_png, write_raster

ONE = Fraction(1)


def at(meters: float, row: int = 0) -> rasterio.Affine:
    """Return the transform of a raster near the middle of the zone with pixels of a size."""
    return from_origin(500_000, 5_600_000 + 100_000 * row, meters, meters)


@given(st.floats(0.01, 1000), st.floats(0.01, 1000))
def test_scales_are_near_what_is_wanted_and_have_small_denominators(
    gsd: float, known: float
) -> None:
    zoom = zoom_for(gsd, known)
    wanted = min(max(gsd / known, MIN_ZOOM), MAX_ZOOM)
    if 1 / TOLERATED_RATIO <= wanted <= TOLERATED_RATIO:
        assert zoom == 1
    else:
        simpler = [
            Fraction(above, below)
            for below in range(1, zoom.denominator)
            for above in range(1, 5 * below)
        ]
        assert 1 / NEAR_RATIO <= zoom / wanted <= NEAR_RATIO and zoom.denominator <= 9
        assert not any(1 / NEAR_RATIO <= other / wanted <= NEAR_RATIO for other in simpler)
    assert out_of_reach(gsd, known) == (
        not MIN_ZOOM / TOLERATED_RATIO <= gsd / known <= MAX_ZOOM * TOLERATED_RATIO
    )


@pytest.mark.parametrize(
    ("gsd", "known", "zoom"),
    [
        (10, 10, "1"),
        (11.4, 10, "1"),
        (8.8, 10, "1"),
        (5, 10, "1/2"),
        (20, 10, "2"),
        (30, 10, "3"),
        (10, 30, "1/3"),
        (15, 10, "3/2"),
        (7.5, 10, "3/4"),
        (0.3, 10, "1/8"),
        (12, 20, "3/5"),
        (25, 10, "5/2"),
        (1000, 1, "4"),
        (None, 10, "1"),
        (10, None, "1"),
    ],
)
def test_scales(gsd: float | None, known: float | None, zoom: str) -> None:
    assert zoom_for(gsd, known) == Fraction(zoom)


def test_what_is_out_of_reach() -> None:
    assert [out_of_reach(g, 10.0) for g in (None, 1.0, 1.2, 10.0, 45.0, 50.0)] == [
        False,
        True,
        False,
        False,
        False,
        True,
    ]
    assert not out_of_reach(1.0, None)


# Looks at another scale.


@pytest.mark.parametrize("kind", ["none", "full"])
@pytest.mark.parametrize("zoom", ["1/2", "2/3", "1/8", "2", "3/2", "4"])
def test_tiles_and_the_whole_image_say_the_same_at_any_scale(kind: str, zoom: str) -> None:
    """One tile, and many: each is sampled at the very places where the whole image is."""
    scale = Fraction(zoom)
    views, side = VIEWS[kind].at(scale), {True: 780, False: 160}[scale < 1]
    valid = np.ones((side + 7, side), bool)
    valid[side // 2 : side // 2 + 9, side // 3 :] = False
    source = Array(pixels(1, side + 7, side), valid)
    stride, halo = views.stride(8), views.halo(24, 8)
    output = OutputSpec(3)
    runtime = views.runtime(lambda _: coarse, output)
    engine = TiledPredictor(runtime, output, [0.0], stride, halo, views=views)
    most = max((stride + 2 * halo) ** 2, valid.size // 3)
    one, many = (
        fit_tiling(*valid.shape, most=most, halo=halo, stride=stride) for most in (10**7, most)
    )
    assert len(one) == 1 and len(many) > 1
    few, all_at_once = (tiled(engine, source, tiling) for tiling in (many, one))
    np.testing.assert_allclose(few, all_at_once, atol=1e-5)
    np.testing.assert_array_equal(few[3] == 1, valid)


@given(
    st.fractions(Fraction(1, 8), 4, max_denominator=8),
    st.integers(0, 5),
    st.sampled_from([1, 3, 8, 32]),
    st.sampled_from(sorted(VIEWS)),
    st.integers(1, 3000),
    st.integers(10, 10**6),
)
def test_windows_are_whole_in_pixels_of_image_and_network(
    zoom: Fraction, halos: int, stride: int, kind: str, length: int, most: int
) -> None:
    views = VIEWS[kind].at(zoom)
    unit, halo = views.stride(stride), views.halo(halos * stride, stride)
    assert all(each * unit % stride == 0 for each in views.zooms)
    assert 2 * halo % unit == 0 and all(halo * each >= halos * stride for each in views.zooms)
    side = views.side(8 * stride + 2 * halos * stride, halos * stride, stride)
    for tiling in (
        fit_tiling(length, length, most=most, halo=halo, stride=unit),
        square_tiling(length, length, side=side, halo=halo, stride=unit),
    ):
        for tile in (tiling[0], tiling[len(tiling) - 1]):
            assert tile.read.row % unit == tile.read.col % unit == 0
            assert tile.core.within(tile.read) == tile.core


def test_what_is_read_at_one_time_keeps_the_network_as_busy() -> None:
    assert [Views((Fraction(z),)).read_pixels(2**20) for z in ("1", "2", "1/2", "1/8")] == [
        2**20,
        2**18,
        2**22,
        2**24,
    ]
    plain, small, large = (Views((Fraction(z),)).bytes_per_pixel(3, 5) for z in ("1", "1/8", "4"))
    assert plain == 0 and 20 < small < 50 and large > 16 * 80


@pytest.mark.parametrize("zoom", ["1/2", "2"])
def test_an_engine_shows_sources_at_the_scale_it_knows(zoom: str) -> None:
    """The network predicts means; at another scale, it predicts those of the scaled image."""
    scale = Fraction(zoom)

    source = Array(pixels(1, 192, 192))
    source.grid = GeoBox(
        192, 192, tuple(at(10 * scale))[:6], rasterio.CRS.from_string(UTM).to_wkt()
    )
    engine = ScalableNetwork(lambda _: coarse, OutputSpec(3), [0.0], 8, 24, gsd=10.0).at_zoom(ONE)
    (answer,) = predict_window(source, engine)
    seen = resample(source.values[None], scale)
    expected = resample(softmaxed(coarse(seen)), 1 / scale)[0]
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
    (same,) = predict_tiles(
        source,
        engine.for_gsd(10 * float(scale)),
        fit_tiling(192, 192, most=10**6, halo=0, stride=96),
    )
    np.testing.assert_array_equal(same.indices, answer.indices)
    (plain,) = predict_window(source, replace(engine, gsd=None))
    np.testing.assert_allclose(plain.scores, coarse(source.values[None])[0], rtol=1e-6)
    assert engine.for_gsd(10 * float(scale)).gsd is None  # so that it is not scaled once more


def softmaxed(scores: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(scores), 1).numpy()


# Training.


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a dataset of images of 5, 10 and 20 m, whose values rise by one per meter east."""
    folder = tmp_path_factory.mktemp("mixed")
    for row, (name, size) in enumerate((("a", 5), ("b", 10), ("c", 20), ("d", 10), ("e", 20))):
        side = 2560 // size
        rise = np.tile((np.arange(side) * size).astype(np.uint16), (side, 1))
        write_raster(folder / "s" / name / "images" / "i.tif", rise, UTM, at(size, row))
        write_png(folder / "s" / name / "masks" / "i.png", (rise // 320 % 2 + 1).astype(np.uint8))
    swath.prepare(folder / "s", folder / "d", test="d", val="e")
    return Dataset(folder / "d")


def drawn(dataset: Dataset, zoom: float, number: int = 0) -> list[tuple[float, np.ndarray]]:
    """Return the mean rise per network pixel of patches, and their labels."""
    recipe = Recipe(
        patch=32,
        batch=32,
        scales_known=(zoom, zoom),
        brightness=0,
        contrast=0,
        turns=False,
        mixed=0,
    )
    batch = PatchBatches(PatchSampler(dataset, dataset.manifest.of("train"), 1.0), recipe, 0).batch(
        number
    )
    inside = [
        (p[0], l)
        for p, l in zip(batch.pixels.numpy(), batch.labels.numpy(), strict=True)
        if (l != IGNORE).all()
    ]
    return [(float(np.diff(p[:, 4:-4], axis=1).mean()), l) for p, l in inside]


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_patches_show_the_ground_in_one_size_whatever_image_shows_it(
    mixed: Dataset, zoom: float
) -> None:
    assert mixed.manifest.gsd == pytest.approx(10, rel=0.01)
    rises = [rise for rise, _ in drawn(mixed, zoom)]
    assert len(rises) > 15
    np.testing.assert_allclose(rises, 10 / zoom, rtol=0.05)


def test_pictures_can_be_told_their_resolution_and_files_that_tell_it_cannot(
    tmp_path: Path, mixed: Dataset
) -> None:
    for name in "abc":
        write_png(tmp_path / "s" / "images" / f"{name}.png", noise(3, 64, 64, seed=ord(name)))
        write_png(
            tmp_path / "s" / "masks" / f"{name}.png",
            np.kron(noise(8, 8, low=1, high=3), np.ones((8, 8), np.uint8)),
        )
    swath.prepare(tmp_path / "s", tmp_path / "d", gsd=0.5)
    assert Dataset(tmp_path / "d").manifest.gsd == 0.5
    with pytest.raises(UsageError) as caught:
        swath.prepare(mixed.folder.parent / "s", tmp_path / "e", gsd=0.5)
    assert all(word in str(caught.value) for word in ("i.tif", " 5 m", "--gsd"))
    assert not (tmp_path / "e").exists()


def test_where_all_images_have_one_resolution_it_changes_no_byte(tmp_path: Path) -> None:
    made = []
    for crs, place in ((None, None), (UTM, at(10))):
        folder = tmp_path / str(crs).replace(":", "-")
        for name in "abc":
            values = noise(3, 200, 150, seed=ord(name))
            write_raster(folder / "s" / name / "images" / "i.tif", values, crs, place)
            write_png(
                folder / "s" / name / "masks" / "i.png",
                np.kron(noise(20, 15, low=1, high=3), np.ones((10, 10), np.uint8)),
            )
        swath.prepare(folder / "s", folder / "d", test="c", val="none")
        dataset = Dataset(folder / "d")
        recipe = Recipe(patch=48, batch=8, scales=(0.75, 1.33), scales_known=(0.75, 1.33))
        made.append(
            PatchBatches(PatchSampler(dataset, dataset.manifest.of("train"), 0.5), recipe, 3).batch(
                2
            )
        )
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True) if a is not None)


# Model files, by a network of one pixel that was trained with pixels of 10 m.


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known(write_model(tmp_path_factory.mktemp("by_hand") / "m.swath"), 10.0)


def known(path: Path, gsd: float | None, **card: object) -> Path:
    """Say in a model file what it was trained with."""
    model = Model(path)
    pack_model_file(
        path, model.card.model_copy(update={"gsd": gsd} | card), model.network(), model.weights
    )
    return path


def shares(values: np.ndarray, zoom: Fraction) -> np.ndarray:
    """Compute the probabilities (3, rows, columns) of the network of one pixel at a scale."""
    unit = 32 * zoom.denominator
    raw = np.zeros((1, 3, *(-(-n // unit) * unit for n in values.shape[1:])), np.float32)
    raw[0, :, : values.shape[1], : values.shape[2]] = values
    seen = resample(raw, zoom)
    scores = np.stack([seen[:, 0], seen[:, 2], np.full_like(seen[:, 0], 100)], axis=1)
    return resample(softmaxed(scores), 1 / zoom)[0, :, : values.shape[1], : values.shape[2]]


@pytest.mark.parametrize(("meters", "zoom"), [(5, "1/2"), (15, "3/2")])
@pytest.mark.usefixtures("float32")
def test_a_map_has_the_images_grid_and_what_the_network_says_at_its_own(
    by_hand: Path, tmp_path: Path, meters: float, zoom: str
) -> None:
    values = noise(3, 700, 620)
    image = write_raster(tmp_path / "i.tif", values, UTM, at(meters))
    expected = shares(values, Fraction(zoom))
    options = {"probabilities": True, "memory": 0.55 if meters < 10 else 0.58, "threads": 1}
    made = swath.predict(by_hand, image, tmp_path / "a.tif", **options)
    assert made.zooms == [float(Fraction(zoom))] and made.tiles > 1
    with (
        rasterio.open(tmp_path / "a.tif") as codes,
        rasterio.open(tmp_path / "a_probabilities.tif") as found,
    ):
        assert codes.transform == at(meters) and codes.shape == (700, 620)
        np.testing.assert_allclose(found.read(), expected * 100, atol=0.55)
        sure = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-3
        np.testing.assert_array_equal(codes.read(1)[sure], expected.argmax(axis=0)[sure] + 1)
        np.testing.assert_array_equal(
            Model(by_hand).predict(values, gsd=meters)[sure], codes.read(1)[sure]
        )
    if meters < 10:
        swath.predict(by_hand, image, tmp_path / "b.tif", workers=2, **options)
        assert (tmp_path / "a_probabilities.tif").read_bytes() == (
            tmp_path / "b_probabilities.tif"
        ).read_bytes()


def test_the_user_knows_better(
    by_hand: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = noise(3, 150, 90)
    placed = write_raster(tmp_path / "placed.tif", values, UTM, at(5))
    bare = write_raster(tmp_path / "bare.tif", values)
    ways = {
        "plain": (placed, "none"),
        "equal": (placed, 10),
        "same": (bare, None),
        "shrunk": (placed, None),
        "told": (bare, 5),
        "text": (bare, "5"),
    }
    made = {
        name: swath.predict(by_hand, image, tmp_path / f"{name}.tif", gsd=gsd)
        for name, (image, gsd) in ways.items()
    }
    codes = {name: rasterio.open(tmp_path / f"{name}.tif").read(1) for name in ways}
    assert [made[n].zooms for n in ways] == [[1.0]] * 3 + [[0.5]] * 3
    assert all((codes[n] == codes["plain"]).all() for n in ("equal", "same"))
    assert (
        all((codes[n] == codes["shrunk"]).all() for n in ("told", "text"))
        and (codes["shrunk"] != codes["plain"]).any()
    )
    assert "seen at scale 1/2" in summaries.predict(
        made["told"]
    ) and "scale" not in summaries.predict(made["plain"])
    assert not caplog.records
    for gsd in (-1, "0", "inf", "ten"):
        with pytest.raises(UsageError) as caught:
            swath.predict(by_hand, bare, tmp_path / "m.tif", gsd=gsd)
        assert "gsd" in str(caught.value)
    for gsd in (-1, 0, math.nan, math.inf):
        with pytest.raises(UsageError):
            Model(by_hand).predict(np.zeros((3, 8, 8)), gsd=gsd)


def test_a_model_that_knows_no_resolution_maps_images_as_they_are(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.swath")
    image = write_raster(tmp_path / "i.tif", noise(3, 50, 40), UTM, at(5))
    assert swath.predict(model, image, tmp_path / "m.tif").zooms == [1.0]
    assert swath.predict(model, image, tmp_path / "m.tif", gsd="none").zooms == [1.0]
    with pytest.raises(UsageError) as caught:
        swath.predict(model, image, tmp_path / "m.tif", gsd=5)
    assert caught.value.file == str(model) and "--gsd" in caught.value.fix
    known(model, 10.0, decoder="classic")
    assert swath.predict(model, image, tmp_path / "m.tif").zooms == [
        1.0
    ]  # it brings images to one size itself


def test_each_image_of_a_folder_has_its_own_scale_and_extreme_ones_are_warned_of(
    by_hand: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, meters in (("fine", 0.5), ("half", 5), ("same", 10), ("coarse", 60)):
        write_raster(tmp_path / "in" / f"{name}.tif", noise(3, 64, 64), UTM, at(meters))
    made = swath.predict(by_hand, tmp_path / "in", tmp_path / "out", threads=1)
    assert made.zooms == [0.125, 0.5, 1.0, 4.0]
    said = [r.getMessage() for r in caplog.records]
    assert (
        len(said) == 2
        and "coarse.tif has pixels of 60 m" in said[0]
        and "Scale 4 " in said[0]
        and "1/8" in said[1]
    )


def test_a_plan_states_the_scale_and_what_it_costs(by_hand: Path, tmp_path: Path) -> None:
    for name, meters, side in (("a", 20, 300), ("b", 5, 500)):
        write_raster(tmp_path / "in" / f"{name}.tif", noise(3, side, side), UTM, at(meters))
    both = swath.predict(by_hand, tmp_path / "in", tmp_path / "out", plan=True, threads=1)
    assert (both.zooms, both.plan.zoom, both.plan.cost) == ([0.5, 2.0], 0.5, 0.25)
    assert (
        "scale     1/2, the ground sampling distance of the model; 0.25 pixels through"
        in summaries.predict(both)
    )
    full = swath.predict(
        by_hand, tmp_path / "in" / "a.tif", tmp_path / "m.tif", plan=True, threads=1, tta="full"
    )
    assert "12 views of each tile, 12.5 times" in summaries.predict(
        full
    ) and "; 50 pixels" in summaries.predict(full)
    assert (
        swath.predict(
            by_hand, tmp_path / "in" / "a.tif", tmp_path / "m.tif", plan=True, gsd="none"
        ).plan.zoom
        == 1
    )


def test_tiles_fit_into_memory_at_any_scale(by_hand: Path) -> None:
    image = SimpleNamespace(grid=GeoBox(40_000, 40_000), dtype=np.dtype("uint8"))
    read = {}
    for zoom in ("1/8", "1/2", "1", "4"):
        asked = PredictionRequest(
            model="m",
            model_sha256="",
            input=ImageInput(name="i", files=()),
            files={},
            layers=("class",),
            halo=64,
            zoom=Fraction(zoom),
        )
        again = PredictionRequest.model_validate_json(asked.model_dump_json())
        assert again == asked and again.zoom == Fraction(zoom)
        plan = make_plan(asked, Model(by_hand), image)
        read[zoom] = plan.read[0] * plan.read[1]
        assert all(side % plan.stride == 0 for side in plan.read)
    assert read["1/8"] > read["1/2"] > 4 * read["4"]


def test_parts_at_another_scale_are_refused(
    by_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_raster(tmp_path / "i.tif", noise(3, 300, 300), UTM, at(5))
    monkeypatch.setattr(
        "swath.mapping.plan.make_tiling",
        lambda grid, stride, *_: square_tiling(300, 300, side=128, halo=0, stride=stride),
    )
    put = TileStore.put

    def stop(self: TileStore, index: int, layers: object) -> None:
        if index:
            raise KeyboardInterrupt
        put(self, index, layers)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TileStore, "put", stop)
        swath.predict(by_hand, image, tmp_path / "m.tif", threads=1)
    with pytest.raises(JobError) as caught:
        swath.predict(by_hand, image, tmp_path / "m.tif", threads=1, gsd="none")
    assert "scale" in caught.value.message
    swath.predict(by_hand, image, tmp_path / "m.tif", threads=1)


@pytest.mark.parametrize("zoom", ["1/2", "2", "3/2"])
def test_a_network_that_sees_all_of_a_tile_sees_as_much_ground(
    by_hand: Path, tmp_path: Path, zoom: str
) -> None:
    path = tmp_path / "all.swath"
    path.write_bytes(by_hand.read_bytes())
    meters = 10 * float(Fraction(zoom))
    plain, values = Model(path).predict(noise(3, 500, 300), gsd=meters), noise(3, 500, 300)
    known(path, 10.0, core=128, halo=32)
    np.testing.assert_array_equal(Model(path).predict(values, gsd=meters), plain)
    image = write_raster(tmp_path / "i.tif", values, UTM, at(meters))
    made = swath.predict(path, image, tmp_path / "m.tif", plan=True)
    assert max(made.plan.read) * Fraction(zoom) <= 128 + 2 * 32 + 64 and made.tiles > 1


def test_scores_are_those_of_the_maps(by_hand: Path, mixed: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        values = noise(3, 96, 96, seed=ord(name))
        write_raster(tmp_path / "s" / name / "images" / "i.tif", values, UTM, at(5))
        write_png(tmp_path / "s" / name / "masks" / "i.png", noise(96, 96, low=1, high=4))
    swath.prepare(tmp_path / "s", tmp_path / "d", test="b", val="none")
    legend = Dataset(tmp_path / "d").manifest.legend
    path = tmp_path / "m.swath"
    path.write_bytes(by_hand.read_bytes())
    known(path, 10.0, legend=legend)
    dataset, model = Dataset(tmp_path / "d"), Model(path)
    (sample,) = dataset.manifest.of("test")
    image = dataset.images[sample.image]
    confusions = []
    for gsd, told in ((5.0, None), (None, "none"), (20.0, 20)):
        mapped = (
            model.predict(np.asarray(image.read(image.grid.window).values), gsd=gsd).astype(int) - 1
        )
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (image.read_labels(sample.window), mapped), 1)
        confusions.append(swath.evaluate(path, tmp_path / "d", gsd=told).confusion)
        assert confusions[-1] == counts.tolist()
    assert confusions[0] != confusions[1] != confusions[2]
    assert "--gsd 20" in command_line(EvaluateOptions("m.swath", "d", report="r", gsd=20))
    codes = write_raster(tmp_path / "codes.tif", noise(1, 20, 20, high=4))
    with pytest.raises(UsageError) as caught:
        swath.evaluate(codes, codes, gsd="none")
    assert caught.value.file == str(codes) and "--gsd" in str(caught.value)


def test_ood_is_judged_at_the_scale_that_is_known(by_hand: Path) -> None:
    """An image of twice as many pixels has equal features where its resolution is known."""
    ground = np.kron(noise(3, 32, 32), np.ones((1, 8, 8))).astype(np.float32)
    fine = np.kron(ground, np.ones((1, 2, 2), np.float32))
    engine, rows = Model(by_hand).predictor, {}
    for name, values, meters in (("coarse", ground, 10), ("known", fine, 5), ("unknown", fine, 10)):
        source = Array(values)
        source.grid = replace(
            source.grid, transform=tuple(at(meters))[:6], crs=rasterio.CRS.from_string(UTM).to_wkt()
        )
        rows[name] = _describe_patches(source, source.grid.window, engine, 4).mean(axis=0)
    far = [np.abs(rows[name] / rows["coarse"] - 1).max() for name in ("known", "unknown")]
    assert far[0] < 0.5 * far[1] and far[1] > 0.05


class Net(torch.nn.Module):
    """A network of two classes that says which pixels are above zero."""

    spec, stride = SimpleNamespace(decoder="unet", heights=False), 8

    def __init__(self) -> None:
        super().__init__()
        self.unit = torch.nn.Parameter(torch.ones(1))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return torch.cat([-raw, raw], dim=1) * self.unit / 100


@pytest.mark.parametrize("apart", [False, True])
def test_a_network_that_learns_is_shown_all_images_at_the_scale_it_learns(
    mixed: Dataset, apart: bool
) -> None:
    engine = predictor_of(Net(), mixed, apart)
    for sample, zoom in zip(mixed.manifest.samples, (Fraction(1, 2), 1, 2), strict=False):
        image = mixed.images[sample.image]
        assert engine.for_gsd(image.grid.gsd).views.zooms == (zoom,)
        (answer,) = predict_window(image, engine)
        seen = (
            resample(image.read(image.grid.window).values[None].astype(np.float32), Fraction(zoom))
            / 100
        )
        odds = [-seen, seen]
        share = [1 / (1 + np.exp(-(o if apart else 2 * o))) for o in odds]
        expected = np.concatenate(
            [resample(s.astype(np.float32), 1 / Fraction(zoom)) for s in share], axis=1
        )[0]
        found = 1 / (1 + np.exp(-answer.scores)) if apart else answer.probabilities
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_a_network_is_judged_and_packed_at_the_scale_it_learns(
    mixed: Dataset, tmp_path: Path
) -> None:
    """Validation, calibration and out-of-distribution distance see all images at 10 m."""
    made = swath.train(mixed.folder, tmp_path / "m.swath", steps=2)
    assert made.validation_miou is not None
    model = Model(tmp_path / "m.swath")
    assert model.card.gsd == pytest.approx(10, rel=0.01)
    assert model.card.ood is not None and model.card.calibration is not None
