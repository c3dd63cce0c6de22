import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from fractions import Fraction
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate, uniform_filter
from scipy.special import expit, softmax
from torch.nn import functional as F

import swath
from swath.data.dataset import Dataset
from swath.data.layouts.dfc2019 import KINDS
from swath.errors import JobError, ModelError, UsageError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels, Tiling, fit_tiling, square_tiling
from swath.inference.output import OutputSpec
from swath.inference.tiled import TiledPredictor, predict_tiles
from swath.inference.tta import VIEWS, MergedRuntime, resample, views_of
from swath.legend import LandClass, Legend
from swath.mapping.inputs import ImageInput
from swath.mapping.plan import PredictionRequest, make_plan
from swath.mapping.tile_store import TileStore
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from tests.errors import fails
from tests.geo.test_tiling import check_tiling
from tests.make import NORTH_UP, UTM, noise, write_model, write_raster

FLIPS, FULL = VIEWS["flips"], VIEWS["full"]
ZOOMS = (0.75, 1.0, 1.25)
EVERY_WAY = ((), (2,), (3,), (2, 3))
"""Axes that are turned round."""


class Array:
    """A source of pixels (bands, rows, columns)."""

    def __init__(self, values, valid=None):
        self.values = values
        self.valid = np.ones(values.shape[1:], bool) if valid is None else valid
        self.grid = GeoBox(*values.shape[1:])

    def read(self, window):
        return Pixels(self.values[(slice(None), *window.slices)], self.valid[window.slices])


def slanted(raw):
    """A network without symmetry: three classes and a height, by smoothing and differences."""
    plane = raw[0, 0].astype(np.float64)
    smooth = uniform_filter(plane, 5, mode="constant")
    right = correlate(plane, np.array([[0, -1, 1]]), mode="nearest")
    down = correlate(plane, np.array([[0], [-2], [2]]), mode="nearest")
    return np.stack([smooth, right, down, 10 + smooth * 3])[None].astype(np.float32)


def coarse(raw):
    """A network of stride 8 that looks about 16 pixels far, to one side more than to the other."""
    plane = raw[0, 0]
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    seen = np.kron(
        correlate(blocks, np.array([[0, 1, 0], [2, 1, -3], [0, -1, 0]]), mode="constant"),
        np.ones((8, 8)),
    )
    return np.stack([seen, plane, -seen / 2 + plane / 3])[None].astype(np.float32)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def turned(network, raw, axes):
    """What a network says of an image that is turned round, turned back."""
    return np.flip(network(np.flip(raw, axes).copy()), axes)


def scaled(image, shape):
    """An image at another scale, by torch."""
    smooth = shape[0] < image.shape[2]
    return F.interpolate(
        torch.from_numpy(image.copy()), tuple(shape), mode="bilinear", antialias=smooth
    ).numpy()


def merged(views, network, classes=3, temperature=1.0, multilabel=False):
    return MergedRuntime(
        views, lambda zoom: network, OutputSpec(classes, temperature, multilabel=multilabel)
    )


@pytest.mark.parametrize(
    "zoom", [Fraction(3, 4), Fraction(4, 3), Fraction(5, 4), Fraction(4, 5), Fraction(1)]
)
def test_an_image_is_scaled_as_torch_scales_patches(zoom):
    image = pixels(1, 2, 60, 240)
    found = resample(image, zoom)
    assert found.dtype == np.float32 and found.shape == (1, 2, 60 * zoom, 240 * zoom)
    np.testing.assert_allclose(found, scaled(image, found.shape[2:]), atol=1e-4)
    assert (resample(np.ones((1, 1, 60, 60), np.float32), zoom) == 1).all()


@pytest.mark.parametrize("zoom", [Fraction(3, 4), Fraction(5, 4), Fraction(4, 5), Fraction(4, 3)])
def test_a_part_of_an_image_is_scaled_to_the_very_values_of_the_whole(zoom):
    image = pixels(1, 1, 240, 240)
    part = resample(np.ascontiguousarray(image[..., 60:180, 120:180]), zoom)
    at = np.s_[
        ..., int(60 * zoom) + 4 : int(180 * zoom) - 4, int(120 * zoom) + 4 : int(180 * zoom) - 4
    ]
    np.testing.assert_array_equal(part[..., 4:-4, 4:-4], resample(image, zoom)[at])


def test_a_network_that_turns_with_the_image_says_the_same_of_all_its_flips():
    def upright(raw):
        smooth = uniform_filter(raw[0, 0], 5, mode="constant")
        return np.stack([smooth, raw[0, 0], -smooth, 5 + smooth])[None]

    raw = pixels(1, 1, 64, 96)
    engines = [TiledPredictor(upright, OutputSpec(3, 1.7, heights=True), [0.0], 32, 0)]
    engines.append(dataclasses.replace(engines[0], runtime=merged(FLIPS, upright, temperature=1.7)))
    plain, flipped = (
        next(predict_tiles(Array(raw[0]), e, e.tiling(GeoBox(64, 96)))) for e in engines
    )
    np.testing.assert_array_equal(plain.indices, flipped.indices)
    np.testing.assert_allclose(plain.probabilities, flipped.probabilities, atol=1e-6)
    np.testing.assert_allclose(plain.height, flipped.height, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_flips_are_averaged_as_probabilities_and_meters(temperature):
    raw = pixels(1, 1, 64, 32)
    views = [turned(slanted, raw, axes) for axes in EVERY_WAY]
    share = np.mean([softmax(look[:, :3] / temperature, axis=1) for look in views], axis=0)
    found = merged(FLIPS, slanted, temperature=temperature)(raw)
    np.testing.assert_allclose(softmax(found[:, :3] / temperature, axis=1), share, atol=1e-6)
    np.testing.assert_allclose(
        found[:, 3], np.mean([look[:, 3] for look in views], axis=0), atol=1e-5
    )
    assert np.abs(share - softmax(views[0][:, :3] / temperature, axis=1)).max() > 0.1


def test_masks_multilabel_are_averaged_each_for_itself_and_stay_log_odds():
    raw = pixels(1, 1, 32, 64) * 4
    share = np.mean(
        [expit(turned(slanted, raw, axes)[:, :3].astype(np.float64)) for axes in EVERY_WAY], axis=0
    )
    odds = merged(FLIPS, slanted, temperature=3.0, multilabel=True)(raw)[:, :3]
    np.testing.assert_allclose(expit(odds), share, rtol=1e-4, atol=1e-6)
    assert np.isfinite(odds).all() and np.abs(share.sum(axis=1) - 1).max() > 0.5
    low = merged(
        FLIPS, lambda raw: np.full((1, 3, *raw.shape[2:]), -40, np.float32), multilabel=True
    )(raw)[:, :3]
    np.testing.assert_allclose(
        low, -40, rtol=1e-5
    )  # far outside all masks the order of classes is kept


@pytest.mark.parametrize("multilabel", [False, True])
def test_scales_are_averaged_where_pixels_lie(multilabel):
    raw = pixels(1, 1, 128, 256)
    to_share = expit if multilabel else lambda scores: softmax(scores / 1.3, axis=1)
    share, meters = np.zeros((1, 3, 128, 256)), np.zeros((1, 1, 128, 256))
    for zoom in ZOOMS:
        small = scaled(raw, (int(128 * zoom), int(256 * zoom)))
        for axes in EVERY_WAY:
            scores = turned(slanted, small, axes)
            share += scaled(to_share(scores[:, :3]), (128, 256)) / 12
            meters += scaled(scores[:, 3:], (128, 256)) / 12
    found = merged(FULL, slanted, temperature=1.3, multilabel=multilabel)(raw)
    np.testing.assert_allclose(to_share(found[:, :3]), share, atol=2e-4 if multilabel else 5e-5)
    np.testing.assert_allclose(found[:, 3:], meters, atol=1e-4)


def tiled(engine, source, tiling):
    out = np.full((4, *source.valid.shape), np.nan, np.float32)
    for answer in predict_tiles(source, engine, tiling):
        out[(slice(None), *answer.window.slices)] = [*answer.probabilities, answer.valid]
    return out


@pytest.mark.parametrize(
    ("kind", "halo"), [("scales", 16), ("flips", 16), ("full", 16), ("full", 24)]
)
def test_tiles_and_the_whole_image_say_the_same(kind, halo):
    views, valid = VIEWS[kind], np.ones((270, 333), bool)
    valid[100:120, 90:200] = False
    source = Array(pixels(1, 270, 333), valid)
    runtime, output = merged(views, coarse), OutputSpec(3)
    engine = TiledPredictor(runtime, output, [0.0], views.stride(8), views.halo(halo, 8))
    one, many = (
        fit_tiling(270, 333, most=most, halo=engine.halo, stride=engine.stride)
        for most in (10**6, 150**2)
    )
    assert len(one) == 1 and len(many) > 5
    few, all_at_once = (tiled(engine, source, tiling) for tiling in (many, one))
    np.testing.assert_allclose(few, all_at_once, atol=1e-5)
    np.testing.assert_array_equal(few[3] == 1, valid)
    narrow = Tiling(270, 333, many.read, 0, engine.stride)
    assert np.nanmax(np.abs(tiled(engine, source, narrow) - all_at_once)) > 0.01


@settings(max_examples=25)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(1, 20_000),
    st.integers(0, 4),
    st.sampled_from([1, 8]),
)
def test_windows_and_halos_of_all_looks_make_tilings(height, width, most, halo, stride):
    for views in VIEWS.values():
        wide, unit = views.halo(halo * stride, stride), views.stride(stride)
        assert all(unit * zoom % stride == 0 for zoom in views.zooms)
        assert all(wide * zoom >= halo * stride for zoom in views.zooms)
        tiling = fit_tiling(height, width, most=most, halo=wide, stride=unit)
        assert all(side % unit == 0 for side in tiling.read)
        check_tiling(tiling)


def test_what_looks_cost():
    assert [(k, views.count, views.cost) for k, views in VIEWS.items()] == [
        ("none", 1, 1),
        ("scales", 3, 3.125),
        ("flips", 4, 4),
        ("full", 12, 12.5),
    ]
    assert VIEWS["none"].halo(96, 32) == FLIPS.halo(96, 32) == 96 and VIEWS["none"].halo(0, 32) == 0
    assert (FULL.halo(96, 32), FULL.halo(128, 32), FULL.halo(0, 32), FULL.stride(32)) == (
        128,
        192,
        64,
        128,
    )


@pytest.mark.parametrize("kind", ["flips", "full"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_is_not_averaged_away(kind, bad):
    def wild(raw):
        scores = np.zeros((1, 3, *raw.shape[2:]), np.float32)
        scores[0, 1, 5, 7] = bad
        return scores

    runtime = merged(VIEWS[kind], wild)
    engine = TiledPredictor(runtime, OutputSpec(3), [0.0], 128, 0, origin="m.swath")
    with fails("scores-not-finite", ModelError, file="m.swath") as caught:
        list(predict_tiles(Array(pixels(1, 128, 128)), engine, engine.tiling(GeoBox(128, 128))))
    assert "in rows 0 to 128" in caught.value.message


@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (2, 3, 96, 96), (1, 96, 96)])
def test_scores_of_another_shape_are_refused(shape):
    runtime = merged(FULL, lambda raw: np.zeros(shape, np.float32))
    engine = TiledPredictor(runtime, OutputSpec(3), [0.0], 128, 0, origin="m.swath")
    with fails("score-shape", ModelError, file="m.swath") as caught:
        list(predict_tiles(Array(pixels(1, 128, 128)), engine, engine.tiling(GeoBox(128, 128))))
    assert f"{shape} of pixels (1, 1, 96, 96)" in caught.value.message
    assert "in rows 0 to 128" in caught.value.message
    other = TiledPredictor(merged(FLIPS, slanted), OutputSpec(5), [0.0], 128, 0)
    with fails("score-shape", ModelError) as caught:
        list(predict_tiles(Array(pixels(1, 128, 128)), other, other.tiling(GeoBox(128, 128))))
    assert "not 5 channels" in caught.value.message


def test_very_large_scores_stay_numbers():
    def far(raw):
        return np.stack([np.full(raw.shape[2:], v, np.float32) for v in (3e38, -3e38, 0)])[None]

    found = merged(FULL, far, temperature=0.01)(pixels(1, 1, 128, 128))
    assert np.isfinite(found).all() and (found[0].argmax(axis=0) == 0).all()


# From here on with model files: `by_hand` has a network of one pixel, whose mean over the looks can
# be worked out.


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("by_hand") / "m.swath")


def shares_by_hand(values):
    """Mean probability of the classes of `by_hand` (3, rows, columns) over scales."""
    height, width = values.shape[1:]
    raw = np.zeros((1, 3, -(-height // 128) * 128, -(-width // 128) * 128), np.float32)
    raw[0, :, :height, :width] = values
    total = np.zeros_like(raw)
    for zoom in ZOOMS:
        seen = scaled(raw, [int(n * zoom) for n in raw.shape[2:]])
        scores = np.stack([seen[:, 0], seen[:, 2], np.full_like(seen[:, 0], 100)], axis=1)
        total += scaled(softmax(scores, axis=1), raw.shape[2:])
    return total[0, :, :height, :width] / 3


@pytest.mark.usefixtures("float32")
def test_a_map_of_many_tiles_is_the_mean_of_all_looks(by_hand, tmp_path):
    values = noise(3, 700, 620)
    image = write_raster(tmp_path / "i.tif", values, UTM, NORTH_UP)
    expected = shares_by_hand(values)
    few = swath.predict(
        by_hand, image, tmp_path / "a.tif", tta="full", probabilities=True, memory=0.58, threads=1
    )
    assert few.tiles > 2
    with (
        rasterio.open(tmp_path / "a.tif") as made,
        rasterio.open(tmp_path / "a_probabilities.tif") as shares,
    ):
        sure = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-3
        np.testing.assert_array_equal(made.read(1)[sure], expected.argmax(axis=0)[sure] + 1)
        np.testing.assert_allclose(shares.read(), expected * 100, atol=0.55)
    swath.predict(
        by_hand,
        image,
        tmp_path / "b.tif",
        tta="full",
        probabilities=True,
        memory=0.58,
        threads=1,
        workers=2,
    )
    for name in ("{}.tif", "{}_probabilities.tif"):
        assert (tmp_path / name.format("a")).read_bytes() == (
            tmp_path / name.format("b")
        ).read_bytes()
    codes = Model(by_hand, tta="full").predict(values)
    np.testing.assert_array_equal(codes[sure], expected.argmax(axis=0)[sure] + 1)


def test_nodata_stays_as_it_is(by_hand, tmp_path):
    values = noise(3, 150, 90)
    values[:, 40:70] = 0
    image = write_raster(tmp_path / "i.tif", values, nodata=0)
    swath.predict(by_hand, image, tmp_path / "m.tif", tta="full", confidence=True)
    with (
        rasterio.open(tmp_path / "m.tif") as codes,
        rasterio.open(tmp_path / "m_confidence.tif") as sure,
    ):
        empty = (values == 0).all(axis=0)
        np.testing.assert_array_equal(codes.read(1) == 0, empty)
        np.testing.assert_array_equal(sure.read(1) == 255, empty)


def test_parts_of_another_augmentation_are_refused(by_hand, tmp_path, monkeypatch):
    image = write_raster(tmp_path / "i.tif", noise(3, 300, 300), UTM, NORTH_UP)
    options = {"tta": "flips", "threads": 1}
    monkeypatch.setattr(
        "swath.mapping.plan.make_tiling",
        lambda grid, stride, *_: square_tiling(300, 300, side=128, halo=0, stride=stride),
    )
    swath.predict(by_hand, image, tmp_path / "whole.tif", **options)
    put = TileStore.put

    def stop(self, index, layers):
        if index:
            raise KeyboardInterrupt
        put(self, index, layers)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TileStore, "put", stop)
        swath.predict(by_hand, image, tmp_path / "m.tif", **options)
    assert (
        json.loads((tmp_path / "m.tif.parts" / "plan.json").read_text())["asked"]["tta"] == "flips"
    )
    for other in ("none", "full"):
        with pytest.raises(JobError) as caught:
            swath.predict(by_hand, image, tmp_path / "m.tif", **options | {"tta": other})
        assert "tta" in caught.value.message
    swath.predict(by_hand, image, tmp_path / "m.tif", **options)
    assert (tmp_path / "m.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_a_plan_states_what_augmentation_costs(by_hand, tmp_path):
    from swath.cli import summaries

    image = write_raster(tmp_path / "i.tif", noise(3, 400, 400))
    plans = {k: swath.predict(by_hand, image, tmp_path / "m.tif", plan=True, tta=k) for k in VIEWS}
    assert {k: (p.plan.tta, p.plan.views, p.plan.cost, p.plan.halo) for k, p in plans.items()} == {
        "none": ("none", 1, 1, 0),
        "scales": ("scales", 3, 3.125, 64),
        "flips": ("flips", 4, 4, 0),
        "full": ("full", 12, 12.5, 64),
    }
    assert "12 views of each tile, 12.5 times the work" in summaries.predict(plans["full"])
    assert "tta" not in summaries.predict(plans["none"])
    assert plans["full"].plan.read == (512, 512)
    assert (
        swath.predict(by_hand, image, tmp_path / "m.tif", plan=True, tta="full", halo=65).plan.halo
        == 128
    )


def test_tiles_shrink_so_that_all_looks_fit_into_memory(by_hand):
    image = SimpleNamespace(grid=GeoBox(20_000, 20_000), dtype=np.dtype("uint8"))
    sizes = {}
    for kind in VIEWS:
        asked = PredictionRequest(
            model="m",
            model_sha256="",
            input=ImageInput(name="i", files=()),
            files={},
            layers=("class",),
            halo=64,
            tta=kind,
        )
        plan = make_plan(asked, Model(by_hand, tta=kind), image)
        sizes[kind] = plan.read[0] * plan.read[1]
    assert sizes["none"] > 1.2 * sizes["flips"] and sizes["flips"] > 1.3 * sizes["full"]


def test_scores_are_those_of_the_augmented_maps(by_hand, stripes):
    plain, result = (swath.evaluate(by_hand, stripes, tta=kind) for kind in ("none", "full"))
    dataset, model = Dataset(stripes), Model(by_hand, tta="full")
    (sample,) = dataset.manifest.of("test")
    image = dataset.images[sample.image]
    mapped = model.predict(np.asarray(image.read(image.grid.window).values)) - 1
    reference = image.read_labels(sample.window)
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (reference, mapped), 1)
    assert result.confusion == counts.tolist() != plain.confusion


def test_a_report_says_how_it_was_made_and_a_map_is_not_augmented(by_hand, tmp_path):
    from swath.options import EvaluateOptions, command_line

    assert "--tta full" in command_line(EvaluateOptions("m.swath", "d", report="r", tta="full"))
    assert "--tta" not in command_line(EvaluateOptions("m.swath", "d", report="r"))
    codes = write_raster(tmp_path / "codes.tif", noise(1, 20, 20, high=4))
    with pytest.raises(UsageError) as caught:
        swath.evaluate(codes, codes, tta="flips")
    assert caught.value.file == str(codes) and "--tta" in caught.value.message


def test_a_network_that_sees_all_of_a_tile_knows_no_other_scale(by_hand, tmp_path):
    model = Model(by_hand)
    pack_model_file(
        tmp_path / "all.swath",
        model.card.model_copy(update={"core": 96}),
        model.network(),
        model.weights,
    )
    assert Model(tmp_path / "all.swath", tta="flips").predict(noise(3, 40, 40)).shape == (40, 40)
    for kind in ("scales", "full"):
        with fails("one-scale-only", UsageError, file=tmp_path / "all.swath") as caught:
            Model(tmp_path / "all.swath", tta=kind)
        assert f"--tta flips instead of {kind}" in caught.value.fix
    with fails("unknown-tta", UsageError) as caught:
        views_of("flip", False, "m.swath")
    assert "'flip'" in caught.value.message and "none, scales, flips, full" in caught.value.fix


@pytest.mark.parametrize("verb", ["predict", "evaluate", "submit"])
def test_help_lists_it(verb):
    ran = subprocess.run(
        [sys.executable, "-m", "swath", verb, "--help"], capture_output=True, text=True, check=True
    )
    assert "--tta" in ran.stdout and all(kind in ran.stdout for kind in VIEWS)


def test_a_submission_is_made_of_augmented_maps_and_starts_over_where_that_changes(
    by_hand, tmp_path
):
    model = Model(by_hand)
    legend = Legend(tuple(LandClass(str(c), (c,), c, f"#0000{c:02X}") for c in (2, 5, 6)))
    bands = [
        b.model_copy(update={"name": n})
        for b, n in zip(model.card.bands, KINDS["rgb"][1], strict=True)
    ]
    card = model.card.model_copy(update={"bands": bands, "legend": legend})
    pack_model_file(tmp_path / "m.swath", card, model.network(), model.weights)
    for name in ("JAX_001_001", "JAX_002_001"):
        write_raster(tmp_path / "in" / f"{name}_RGB.tif", noise(3, 96, 96, seed=len(name)))
    swath.submit(tmp_path / "m.swath", tmp_path / "in", tmp_path / "none.zip")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("swath.commands.submit._zip", Mock(side_effect=KeyboardInterrupt))
        swath.submit(tmp_path / "m.swath", tmp_path / "in", tmp_path / "out.zip")
    assert (tmp_path / "out.zip.maps").is_dir()
    swath.submit(tmp_path / "m.swath", tmp_path / "in", tmp_path / "out.zip", tta="full")
    with (
        zipfile.ZipFile(tmp_path / "out.zip") as archive,
        zipfile.ZipFile(tmp_path / "none.zip") as plain,
    ):
        name = "JAX_001_001_CLS.tif"
        codes = tifffile.imread(io.BytesIO(archive.read(name)))
        assert archive.read(name) != plain.read(name)
    values = noise(3, 96, 96, seed=11)
    np.testing.assert_array_equal(codes, Model(tmp_path / "m.swath", tta="full").predict(values))
