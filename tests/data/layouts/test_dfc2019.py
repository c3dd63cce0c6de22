"""The contest's folders: names, kinds, ground tiles, and what may be wrong with them."""

import numpy as np
import pytest
import tifffile

import swath
from swath.data.dataset import Dataset
from swath.data.layouts.layout import find_layout
from swath.errors import DataError, UsageError
from swath.geo.tiling import full_window
from swath.options import SourceOptions
from tests.errors import fails
from tests.make import noise

SIZE = 48


def tile(root, name, kinds="RGB CLS", folder="", size=(SIZE, SIZE), codes=(2, 5, 6, 9, 17, 65)):
    """Write the files of one pass, as tifffile writes the contest's."""
    seed = int("".join(c for c in name if c.isdigit()))
    reference = np.roll(
        np.asarray(codes, np.uint8)[np.indices(size)[1] * len(codes) // size[1]], seed * 7, axis=1
    )
    arrays = {
        "RGB": np.repeat(reference[..., None] * 3, 3, axis=2) + noise(*size, 3, high=9, seed=seed),
        "MSI": (
            np.repeat(reference[..., None], 8, axis=2).astype(np.uint16) * 100 + np.arange(8)
        ).astype(np.uint16),
        "CLS": reference,
        "AGL": np.where(reference == 65, np.nan, reference).astype(np.float32),
    }
    for kind in kinds.split():
        path = root / (folder or f"Track1-{kind}") / f"{name}_{kind}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, arrays[kind])
    return arrays


def found(root, **options):
    return find_layout(SourceOptions(root, **options))


def codes_of(root, level=None, **options):
    result = swath.inspect(root, **options)
    return [
        (f["code"], f["file"].rpartition("/")[2])
        for f in result.findings
        if level in (None, f["level"])
    ]


@pytest.mark.parametrize("folder", ["", "flat", "Train-Track1-RGB/x"])
def test_it_is_found_in_any_arrangement_and_grouped_by_ground_tile(tmp_path, folder):
    for name in ("JAX_004_006", "JAX_004_007", "OMA_163_010"):
        tile(tmp_path, name, "RGB CLS AGL", folder)
    catalog = found(tmp_path)
    assert catalog.layout == "contest"
    assert [(s.name, s.group) for s in catalog.samples] == [
        ("JAX_004_006", "JAX_004"),
        ("JAX_004_007", "JAX_004"),
        ("OMA_163_010", "OMA_163"),
    ]
    assert all(
        s.labels.name == f"{s.name}_CLS.tif" and s.heights.name == f"{s.name}_AGL.tif"
        for s in catalog.samples
    )


def test_a_clean_folder_has_no_findings_and_the_contests_classes(tmp_path):
    for name in ("JAX_004_006", "JAX_005_007", "OMA_163_010"):
        tile(tmp_path, name, "RGB CLS AGL")
    result = swath.inspect(tmp_path)
    assert result.findings == [] and result.bands == ["red", "green", "blue"]
    assert [(c.code, c.pixels) for c in result.classes] == [
        (c, 3 * SIZE * SIZE // 6) for c in (2, 5, 6, 9, 17, 65)
    ]


def test_pixels_codes_and_heights_are_stored_as_they_are(tmp_path):
    arrays = {
        name: tile(tmp_path / "s", name, "RGB MSI CLS AGL")
        for name in ("JAX_001_001", "JAX_002_001", "JAX_003_001")
    }
    for bands, kind in (("rgb", "RGB"), ("msi", "MSI")):
        swath.prepare(tmp_path / "s", tmp_path / bands, bands=bands, test="JAX_001", val="none")
        dataset = Dataset(tmp_path / bands)
        trained = np.array([c.map_code for c in dataset.manifest.legend.trained] + [0] * 250 + [65])
        assert [c.map_code for c in dataset.manifest.legend.trained] == [2, 5, 6, 9, 17]
        for image in dataset.images:
            mine, window = arrays[image.name], full_window(SIZE, SIZE)
            np.testing.assert_array_equal(image.read(window).values.transpose(1, 2, 0), mine[kind])
            np.testing.assert_array_equal(trained[image.read_labels(window)], mine["CLS"])
            np.testing.assert_array_equal(image.read_heights(window), mine["AGL"])
    assert dataset.manifest.bands[7].name == "nir 2" and dataset.manifest.dtype == "uint16"


def test_heights_can_be_left_out(tmp_path):
    for number in (1, 2, 3):
        tile(tmp_path / "s", f"JAX_00{number}_001", "RGB CLS AGL")
    swath.prepare(tmp_path / "s", tmp_path / "d", heights=False)
    assert not (tmp_path / "d" / "heights").exists()
    assert np.isnan(Dataset(tmp_path / "d").images[0].read_heights(full_window(4, 4))).all()
    swath.prepare(tmp_path / "s", tmp_path / "d")
    assert len(list((tmp_path / "d" / "heights").iterdir())) == 3


def test_no_ground_is_in_two_splits(tmp_path):
    for ground in range(1, 7):
        for view in range(1, 4):
            tile(tmp_path / "s", f"JAX_{ground:03d}_{view:03d}")
    result = swath.prepare(tmp_path / "s", tmp_path / "d")
    groups = [set(split.groups) for split in result.splits.values()]
    assert all(groups) and not (
        groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2]
    )
    assert sum(split.images for split in result.splits.values()) == 18


def test_a_users_own_split_that_leaks_is_said(tmp_path):
    tile(tmp_path, "JAX_004_006", folder="train")
    tile(tmp_path, "JAX_004_007", folder="val")
    tile(tmp_path, "JAX_005_001", folder="val")
    assert codes_of(tmp_path) == [("split-leak", tmp_path.name)]
    assert "JAX_004." in swath.inspect(tmp_path).findings[0]["message"]


def test_how_to_keep_a_users_own_split_is_said(tmp_path):
    for ground, folder in (
        (1, "Train-Track1"),
        (2, "Train-Track1"),
        (3, "Validate-Track1"),
        (4, "Validate-Track1"),
    ):
        tile(tmp_path / "s", f"JAX_00{ground}_001", folder=folder)
    (finding,) = swath.inspect(tmp_path / "s").findings
    assert (finding["level"], finding["code"]) == ("note", "own-split")
    assert "--test none --val JAX_003,JAX_004" in finding["fix"]
    result = swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="JAX_003,JAX_004")
    assert {name: split.groups for name, split in result.splits.items() if split.groups} == {
        "train": ["JAX_001", "JAX_002"],
        "val": ["JAX_003", "JAX_004"],
    }


def test_bad_files_are_named(tmp_path):
    for number in range(1, 9):
        tile(tmp_path, f"JAX_00{number}_001", "RGB CLS AGL")
    (tmp_path / "Track1-RGB" / "JAX_001_001_RGB.tif").unlink()
    (tmp_path / "Track1-CLS" / "JAX_002_001_CLS.tif").unlink()
    tile(tmp_path, "JAX_003_001", "RGB", size=(SIZE - 1, SIZE))
    tile(tmp_path, "JAX_004_001", "CLS", codes=(2, 5, 66))
    tifffile.imwrite(
        tmp_path / "Track1-AGL" / "JAX_005_001_AGL.tif", np.full((SIZE, SIZE), np.nan, np.float32)
    )
    tile(tmp_path, "JAX_006_001", "RGB", folder="again")
    tile(tmp_path, "JAX_007_001", "AGL", size=(SIZE, SIZE + 1))
    tile(tmp_path, "JAX_008_001", "RGB CLS AGL", size=(SIZE - 1, SIZE))
    assert set(codes_of(tmp_path)) >= {
        ("orphan-mask", "JAX_001_001_CLS.tif"),
        ("orphan-mask", "JAX_001_001_AGL.tif"),
        ("missing-mask", "JAX_002_001_RGB.tif"),
        ("size-mismatch", "JAX_003_001_CLS.tif"),
        ("unknown-code", "JAX_004_001_CLS.tif"),
        ("no-heights", "JAX_005_001_AGL.tif"),
        ("duplicate-pass", "JAX_006_001_RGB.tif"),
        ("size-mismatch", "JAX_007_001_AGL.tif"),
    }
    assert "code 66" in next(
        f["message"] for f in swath.inspect(tmp_path).findings if f["code"] == "unknown-code"
    )


@pytest.mark.parametrize("value", [-9999.0, 1e30])
def test_a_number_that_is_no_height_is_said_and_not_learnt(tmp_path, value):
    for name in ("JAX_001_001", "JAX_002_001"):
        tile(tmp_path / "s", name, "RGB CLS AGL")
    heights = np.full((SIZE, SIZE), 12.5, np.float64)
    heights[:3] = value
    heights[3] = np.nan
    tifffile.imwrite(tmp_path / "s" / "Track1-AGL" / "JAX_001_001_AGL.tif", heights)
    (finding,) = swath.inspect(tmp_path / "s").findings
    assert finding["code"] == "odd-heights" and finding["message"].startswith(
        f"{3 * SIZE} pixels lie below -100 or above 1000"
    )
    swath.prepare(tmp_path / "s", tmp_path / "d", test="JAX_002", val="none")
    stored = next(
        i for i in Dataset(tmp_path / "d").images if i.name == "JAX_001_001"
    ).read_heights(full_window(SIZE, SIZE))
    assert np.isnan(stored[:4]).all() and (stored[4:] == 12.5).all()


def test_images_without_heights_among_others_are_said(tmp_path):
    for number in (1, 2, 3):
        tile(tmp_path, f"JAX_00{number}_001", "RGB CLS AGL" if number == 1 else "RGB CLS")
    (finding,) = swath.inspect(tmp_path).findings
    assert (finding["level"], finding["code"]) == ("note", "missing-heights")
    assert finding["file"].endswith("JAX_002_001_RGB.tif") and finding["message"].startswith(
        "2 of 3 images"
    )


def test_an_image_of_odd_size_is_said(tmp_path):
    for number in range(1, 8):
        tile(tmp_path, f"JAX_00{number}_001", size=(SIZE - (number == 3), SIZE))
    assert ("odd-size", "JAX_003_001_RGB.tif") in codes_of(tmp_path)


def test_bad_samples_can_be_skipped(tmp_path):
    for number in (1, 2, 3, 4):
        tile(tmp_path / "s", f"JAX_00{number}_001")
    tile(tmp_path / "s", "JAX_004_001", "CLS", codes=(2, 66))
    (tmp_path / "s" / "Track1-RGB" / "JAX_003_001_RGB.tif").unlink()
    with fails("orphan-mask", DataError) as caught:
        swath.prepare(tmp_path / "s", tmp_path / "d", test="JAX_001", val="none")
    assert "1 more error;" in caught.value.message
    result = swath.prepare(
        tmp_path / "s", tmp_path / "d", test="JAX_001", val="none", skip_bad=True
    )
    assert (result.images, result.skipped) == (2, ["JAX_004_001", "mask JAX_003_001_CLS.tif"])


def test_images_without_classes_may_be_kept(tmp_path):
    for number in (1, 2, 3):
        tile(tmp_path / "s", f"JAX_00{number}_001", "RGB CLS" if number < 3 else "RGB")
    assert codes_of(tmp_path / "s", "error") == [("missing-mask", "JAX_003_001_RGB.tif")]
    swath.prepare(tmp_path / "s", tmp_path / "d", unlabeled=True, test="JAX_001", val="none")
    assert [s.split for s in Dataset(tmp_path / "d").manifest.samples] == [
        "test",
        "train",
        "unlabeled",
    ]


def test_the_wrong_bands_are_said(tmp_path):
    tile(tmp_path, "JAX_001_001", "MSI CLS")
    assert codes_of(tmp_path) == [("no-images", tmp_path.name)]
    assert any("--bands msi" in f["fix"] for f in swath.inspect(tmp_path).findings)
    with fails("option-conflict", UsageError) as caught:
        found(tmp_path, bands="rgb", layout="pairs")
    assert "--bands" in caught.value.message


def test_unlabeled_ground_can_be_a_class(tmp_path):
    for number in (1, 2, 3):
        tile(tmp_path / "s", f"JAX_00{number}_001")
    swath.prepare(tmp_path / "s", tmp_path / "d", learn_unlabeled=True)
    trained = Dataset(tmp_path / "d").manifest.legend.trained
    assert [(c.map_code, c.unlabeled) for c in trained] == [
        (2, False),
        (5, False),
        (6, False),
        (9, False),
        (17, False),
        (65, True),
    ]
