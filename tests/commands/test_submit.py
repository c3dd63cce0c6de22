"""The contest's scores, against sums written out from its definitions, pixel by pixel."""

import io
import math
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

import swath
from swath.data.dataset import Dataset
from swath.legend import IGNORE
from swath.metrics.confusion import confusion_matrix
from swath.metrics.dfc2019 import iou3, near_height_hits
from swath.models.model import Model
from tests.data.layouts.test_dfc2019 import tile
from tests.errors import fails
from tests.make import train_small

LAS = (2, 5, 6, 9, 17)


def by_the_definitions(tiles):
    """Return IoU and IoU-3 of the five classes of true and mapped LAS codes and heights."""
    counts = {code: [0, 0, 0, 0] for code in LAS}
    for reference, mapped, true_heights, heights in tiles:
        for t, m, th, h in zip(
            *(np.ravel(a).tolist() for a in (reference, mapped, true_heights, heights)), strict=True
        ):
            if t not in LAS:
                continue
            if t == m:
                counts[t][0] += 1
                counts[t][1] += math.isnan(th) or abs(h - th) < 1
            else:
                counts[t][2] += 1
                if m in counts:
                    counts[m][3] += 1
    iou = [tp / (tp + fn + fp) for tp, _, fn, fp in counts.values()]
    return iou, [near / (near + fn + fp) for _, near, fn, fp in counts.values()]


def test_random_maps_score_as_the_definitions_say():
    rng = np.random.default_rng(0)
    codes = np.array([*LAS, 65])
    reference, mapped = (rng.integers(0, 6, (60, 50)).astype(np.uint8) for _ in range(2))
    true_heights = rng.uniform(0, 4, (60, 50)).astype(np.float32)
    true_heights[rng.random((60, 50)) < 0.1] = np.nan
    heights = rng.uniform(0, 4, (60, 50)).astype(np.float32)
    iou, with_heights = by_the_definitions(
        [(codes[reference], codes[mapped], true_heights, heights)]
    )
    reference[reference == 5] = IGNORE
    matrix = confusion_matrix(reference, mapped, 6)
    near = near_height_hits(reference, mapped, true_heights, heights, 6)
    assert iou3(matrix, near)[:5] == pytest.approx(with_heights, abs=1e-12)
    assert iou3(matrix, np.diag(matrix))[:5] == pytest.approx(iou, abs=1e-12)


def test_a_right_class_with_a_wrong_height_counts_nowhere():
    reference = mapped = np.zeros((1, 4), np.uint8)
    true_heights, heights = (
        np.array([[0.0, 0.0, 0.0, np.nan]], np.float32),
        np.array([[0.0, 1.0, 0.99, 50.0]], np.float32),
    )
    near = near_height_hits(reference, mapped, true_heights, heights, 1)
    assert near.tolist() == [3]
    assert iou3(confusion_matrix(reference, mapped, 1), near).tolist() == [1.0]
    assert np.isnan(
        near_height_hits(reference, mapped, true_heights, np.full_like(heights, np.nan), 1) + np.nan
    ).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A contest folder of four ground tiles with heights and eight bands."""
    root = tmp_path_factory.mktemp("contest")
    for ground in (1, 2, 3, 4):
        tile(root / "s", f"JAX_00{ground}_001", "RGB MSI CLS AGL", size=(192, 192))
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """A model of classes and heights, and its dataset."""
    swath.prepare(folder / "s", folder / "d", test="JAX_001,JAX_002", val="none")
    train_small(
        folder / "d", folder / "m.swath", steps=25, heights=True, encoder="test_efficientnet"
    )
    return folder / "m.swath", folder / "d"


def test_evaluate_scores_by_the_contests_definitions(trained):
    model, dataset = Model(trained[0]), Dataset(trained[1])
    result = swath.evaluate(*trained)
    tiles = []
    for sample in dataset.manifest.of("test"):
        image = dataset.images[sample.image]
        values = image.read(image.grid.window).values.astype(np.float32)[None]
        heights = model.predictor.runtime(values)[0, 5]
        mapped = model.predict(values[0])
        reference = np.array([*LAS, *[0] * 250, 65])[image.read_labels(sample.window)]
        tiles.append((reference, mapped, image.read_heights(sample.window), heights))
    iou, with_heights = by_the_definitions(tiles)
    assert [c.iou for c in result.classes] == pytest.approx(iou, abs=1e-9)
    assert [c.iou3 for c in result.classes] == pytest.approx(with_heights, abs=1e-9)
    assert result.miou == pytest.approx(np.mean(iou), abs=1e-9)
    assert result.miou3 == pytest.approx(np.mean(with_heights), abs=1e-9)
    assert 0 < result.miou3 < result.miou
    labeled = [(t != 65, np.isfinite(meters)) for t, _, meters, _ in tiles]
    assert result.heights_known == sum((t & m).sum() for t, m in labeled) / sum(
        t.sum() for t, _ in labeled
    )


def test_no_height_is_scored_where_none_is_known(folder, trained, tmp_path):
    shutil.copytree(folder / "s", tmp_path / "s")
    for name in ("JAX_001_001", "JAX_002_001"):
        (tmp_path / "s" / "Track1-AGL" / f"{name}_AGL.tif").unlink()
    swath.prepare(tmp_path / "s", tmp_path / "d", test="JAX_001,JAX_002", val="none")
    result = swath.evaluate(trained[0], tmp_path / "d")
    assert result.miou == swath.evaluate(*trained).miou
    assert (result.miou3, result.heights_known, result.classes[0].iou3) == (None, None, None)


def test_a_map_is_scored_on_the_image_of_its_name(folder, trained, tmp_path):
    reference = tifffile.imread(folder / "s" / "Track1-CLS" / "JAX_002_001_CLS.tif")
    tifffile.imwrite(
        tmp_path / "JAX_002_001_CLS.tif", np.where(reference == 65, 2, reference).astype(np.uint8)
    )
    result = swath.evaluate(tmp_path / "JAX_002_001_CLS.tif", trained[1])
    assert (result.images, result.groups, result.miou) == (1, ["JAX_002"], 1.0)
    for name in ("JAX_003_001_CLS.tif", "map.tif", "JAX_002_0011.tif"):
        (tmp_path / "JAX_002_001_CLS.tif").rename(tmp_path / name)
        with pytest.raises(swath.DataError) as caught:
            swath.evaluate(tmp_path / name, trained[1])
        assert caught.value.file == str(tmp_path / name)
        assert re.search(r"\b2\b", caught.value.message)
        assert ("another split" in caught.value.message) == name.startswith("JAX_003")
        (tmp_path / name).rename(tmp_path / "JAX_002_001_CLS.tif")
    assert swath.compare(trained[0], tmp_path / "JAX_002_001_CLS.tif", trained[1]).groups == 1


def test_a_map_of_the_only_image_needs_no_name(stripes, tmp_path):
    dataset = Dataset(stripes)
    (sample,) = dataset.manifest.of("test")
    codes = dataset.manifest.legend.decode(dataset.images[sample.image].read_labels(sample.window))
    tifffile.imwrite(tmp_path / "map.tif", codes)
    assert swath.evaluate(tmp_path / "map.tif", stripes).miou == 1
    (tmp_path / "map.tif").rename(tmp_path / "a1.tif")
    with pytest.raises(swath.DataError) as caught:
        swath.evaluate(tmp_path / "a1.tif", stripes)
    assert caught.value.file == str(tmp_path / "a1.tif") and "another split" in caught.value.message


def test_heights_that_follow_the_class_are_learnt(trained):
    model, dataset = Model(trained[0]), Dataset(trained[1])
    image = dataset.images[0]
    heights = model.predictor.runtime(
        image.read(image.grid.window).values.astype(np.float32)[None]
    )[0, -1]
    reference = image.read_heights(image.grid.window)
    known = ~np.isnan(reference)
    assert np.corrcoef(heights[known], reference[known])[0, 1] > 0.3
    assert (
        np.abs(heights - reference)[known].mean() < 5
    )  # meters: the reference is 7.8 on average, and an untrained network says 0


@pytest.fixture(scope="module")
def with_unlabeled(folder):
    """A model that knows unlabeled ground as a class, and its dataset."""
    swath.prepare(folder / "s", folder / "u", test="JAX_001", val="none", learn_unlabeled=True)
    train_small(folder / "u", folder / "u.swath", steps=2)
    return folder / "u.swath", folder / "u"


def test_unlabeled_ground_as_a_class_is_scored_with_and_without(with_unlabeled):
    result = swath.evaluate(*with_unlabeled)
    matrix = np.array(result.confusion)
    tp = np.diag(matrix)[:5]
    without = tp / (matrix[:5].sum(axis=1) + matrix[:5, :5].sum(axis=0) - tp)
    full = np.diag(matrix) / np.maximum(
        1, matrix.sum(axis=1) + matrix.sum(axis=0) - np.diag(matrix)
    )
    assert result.miou == pytest.approx(without.mean()) and matrix[5].sum() > 0
    assert result.miou_with_unlabeled == pytest.approx(full.mean())
    assert [c.iou for c in result.classes] == pytest.approx([*without, full[5]])
    last = result.classes[5]
    assert (last.pixels, last.iou_interval) == (matrix[5].sum(), None)
    assert last.recall == pytest.approx(matrix[5, 5] / matrix[5].sum())


def test_a_zip_with_unlabeled_ground_is_warned_of(with_unlabeled, folder, tmp_path):
    result = swath.submit(with_unlabeled[0], folder / "s", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        maps = [tifffile.imread(io.BytesIO(made.read(name))) for name in made.namelist()]
    assert result.unlabeled == np.mean(np.array(maps) == 65) > 0
    assert [f"{100 * result.unlabeled:.1f}%" in m for m in result.warnings][0]


def test_masks_apart_get_thresholds_and_calibrated_scores(folder, trained):
    train_small(folder / "d", folder / "p.swath", steps=12, heads="per-class")
    card = Model(folder / "p.swath").card
    assert (
        card.heads == "per-class"
        and len(card.thresholds) == 5
        and all(0 < t < 1 for t in card.thresholds)
    )
    assert Model(trained[0]).card.thresholds is None
    dataset, engine = Dataset(folder / "d"), Model(folder / "p.swath").predictor
    image = dataset.images[2]
    scores = engine.runtime(image.read(image.grid.window).values.astype(np.float32)[None])[
        0
    ].astype(np.float64)
    reference = image.read_labels(image.grid.window)
    said = 1 / (1 + np.exp(-scores[:, reference != IGNORE]))
    actual = np.stack([(reference[reference != IGNORE] == c) for c in range(5)])
    assert said.mean() == pytest.approx(actual.mean(), abs=0.05)


def test_a_folder_becomes_the_contests_zip(folder, trained, tmp_path):
    from PIL import Image

    result = swath.submit(trained[0], folder / "s", tmp_path / "out.zip")
    assert (result.images, result.heights) == (4, True)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == [
            f"JAX_00{n}_001_{kind}.tif" for n in (1, 2, 3, 4) for kind in ("AGL", "CLS")
        ]
        model = Model(trained[0])
        for number in (1, 4):
            codes, heights = (
                tifffile.imread(io.BytesIO(archive.read(f"JAX_00{number}_001_{kind}.tif")))
                for kind in ("CLS", "AGL")
            )
            image = tifffile.imread(
                folder / "s" / "Track1-RGB" / f"JAX_00{number}_001_RGB.tif"
            ).transpose(2, 0, 1)
            assert (codes.dtype, heights.dtype, codes.shape) == (np.uint8, np.float32, (192, 192))
            np.testing.assert_array_equal(codes, model.predict(image))
            np.testing.assert_array_equal(
                heights, model.predictor.runtime(image.astype(np.float32)[None])[0, 5]
            )
            with Image.open(io.BytesIO(archive.read(f"JAX_00{number}_001_CLS.tif"))) as seen:
                np.testing.assert_array_equal(np.asarray(seen), codes)
    assert [p.name for p in tmp_path.iterdir()] == ["out.zip"]


def test_a_broken_image_refuses_the_zip_and_the_same_command_goes_on(
    folder, trained, tmp_path, monkeypatch
):
    from swath.commands import submit as module

    shutil.copytree(folder / "s" / "Track1-RGB", tmp_path / "in")
    whole = {
        name: (tmp_path / "in" / name).read_bytes()
        for name in ("JAX_001_001_RGB.tif", "JAX_003_001_RGB.tif")
    }
    for name, content in whole.items():
        (tmp_path / "in" / name).write_bytes(content[:30000])
    with pytest.raises(swath.DataError) as caught:
        swath.submit(trained[0], tmp_path / "in", tmp_path / "out.zip")
    assert caught.value.file == str(tmp_path / "in" / "JAX_001_001_RGB.tif")
    assert "JAX_003_001_RGB.tif" in caught.value.message
    assert (
        "2 of 4 images" in caught.value.fix and str(tmp_path / "out.zip.maps") in caught.value.fix
    )
    assert not (tmp_path / "out.zip").exists()
    for name, content in whole.items():
        (tmp_path / "in" / name).write_bytes(content)
    mapped = []
    monkeypatch.setattr(
        module, "_map", lambda *a, real=module._map: (mapped.append(a[1].name), real(*a))
    )
    swath.submit(trained[0], tmp_path / "in", tmp_path / "out.zip")
    assert mapped == list(whole)
    swath.submit(trained[0], tmp_path / "in", tmp_path / "direct.zip")
    assert (tmp_path / "out.zip").read_bytes() == (tmp_path / "direct.zip").read_bytes()


def test_an_image_that_changed_while_others_were_mended_is_mapped_again(folder, trained, tmp_path):
    images = tmp_path / "in"
    shutil.copytree(folder / "s" / "Track1-RGB", images)
    (images / "JAX_003_001_RGB.tif").write_bytes(b"broken")
    with pytest.raises(swath.DataError) as caught:
        swath.submit(trained[0], images, tmp_path / "out.zip")
    assert caught.value.file == str(images / "JAX_003_001_RGB.tif")
    before = (tmp_path / "out.zip.maps" / "JAX_001_001_CLS.tif").read_bytes()
    shutil.copy(images / "JAX_002_001_RGB.tif", images / "JAX_001_001_RGB.tif")
    shutil.copy(images / "JAX_002_001_RGB.tif", images / "JAX_003_001_RGB.tif")
    swath.submit(trained[0], images, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        one, two = (made.read(f"JAX_00{number}_001_CLS.tif") for number in (1, 2))
    assert before != one == two


def test_a_model_of_eight_bands_maps_the_files_of_eight_bands(folder, tmp_path):
    swath.prepare(folder / "s", tmp_path / "d", bands="msi", test="JAX_001", val="none")
    train_small(tmp_path / "d", tmp_path / "m.swath", steps=2)
    assert 0 <= swath.evaluate(tmp_path / "m.swath", tmp_path / "d").miou <= 1
    assert swath.submit(tmp_path / "m.swath", folder / "s", tmp_path / "out.zip").images == 4
    with fails("no-images", swath.DataError, file=folder / "s" / "Track1-RGB") as caught:
        swath.submit(tmp_path / "m.swath", folder / "s" / "Track1-RGB", tmp_path / "none.zip")
    assert "MSI" in caught.value.message


def test_a_model_of_other_classes_is_refused(tiny_model, folder, tmp_path):
    with fails("not-a-contest-model", swath.ModelError, file=tiny_model):
        swath.submit(tiny_model, folder / "s", tmp_path / "out.zip")


def test_two_images_of_one_name_are_refused(trained, folder, tmp_path):
    for place in ("a", "b"):
        shutil.copytree(folder / "s" / "Track1-RGB", tmp_path / "in" / place)
    with fails("same-name", swath.DataError) as caught:
        swath.submit(trained[0], tmp_path / "in", tmp_path / "out.zip")
    assert Path(caught.value.file).name == "JAX_001_001_RGB.tif"


def test_unknown_heights_do_not_stop_a_training(tmp_path):
    for ground in (1, 2, 3):
        tile(tmp_path / "s", f"JAX_00{ground}_001", "RGB CLS AGL")
        tifffile.imwrite(
            tmp_path / "s" / "Track1-AGL" / f"JAX_00{ground}_001_AGL.tif",
            np.full((48, 48), np.nan, np.float32),
        )
    swath.prepare(tmp_path / "s", tmp_path / "d")
    assert train_small(tmp_path / "d", tmp_path / "m.swath", steps=1, heights=True).steps == 1
