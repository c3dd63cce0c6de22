"""Each fault of a source gives a finding with file and fix, and costs only its own sample."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import swath
from swath.commands.inspect import InspectResult
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import UTM, noise, truncate, write_jpeg, write_pairs, write_png, write_raster

NAMES = ("a", "b", "c", "d")
SIDE = 64
PIXELS = SIDE * SIDE


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four good pairs with the codes 1, 2, 3."""
    return write_pairs(tmp_path / "source", NAMES, SIDE)


def image(source: Path, name: str) -> Path:
    return source / "images" / f"{name}.tif"


def mask(source: Path, name: str) -> Path:
    return source / "masks" / f"{name}.png"


def write_classes(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_colors(source: Path, name: str, size: int = SIDE) -> None:
    """Write a pair whose mask is blue on the left and red on the right."""
    write_raster(image(source, name), noise(3, size, size, seed=ord(name)))
    array = np.zeros((3, size, size), np.uint8)
    array[2, :, : size // 2] = 255
    array[0, :, size // 2 :] = 255
    write_png(mask(source, name), array)


def only(
    result: InspectResult, code: str, ignoring: tuple[str, ...] = ("single-group",)
) -> dict[str, str]:
    """Return the one finding of a source, without other notes and those of every such source."""
    findings = [
        f
        for f in result.findings
        if f["code"] not in ignoring and (f["level"] != "note" or f["code"] == code)
    ]
    assert [f["code"] for f in findings] == [code]
    assert findings[0]["message"].endswith(".") and findings[0]["fix"].endswith((".", "?"))
    return findings[0]


def survivors(source: Path, **options: Any) -> list[str]:
    """Prepare with `skip_bad` and return the names of what is left."""
    target = source.parent / "dataset"
    result = swath.prepare(source, target, skip_bad=True, val="none", **options)
    assert result.skipped
    return sorted(name for split in result.splits.values() for name in split.groups)


def refused(source: Path, **options: Any) -> str:
    """Return the error that `prepare` stops with."""
    with pytest.raises(DataError) as caught:
        swath.prepare(source, source.parent / "refused", **options)
    assert not (source.parent / "refused").exists()
    return str(caught.value)


def test_good_source(source: Path) -> None:
    result = swath.inspect(source)
    assert result.ok
    assert only(result, "single-group", ignoring=())["level"] == "warning"
    assert (result.layout, result.images, result.groups) == ("pairs", 4, list(NAMES))
    assert result.bands == ["red", "green", "blue"] or result.bands == ["1", "2", "3"]
    codes = (np.indices((SIDE, SIDE))[1] * 3 // SIDE + 1).ravel()
    assert [(c.name, c.code, c.pixels) for c in result.classes] == [
        (str(k), k, 4 * int((codes == k).sum())) for k in (1, 2, 3)
    ]


def test_missing_mask(source: Path) -> None:
    mask(source, "b").unlink()
    finding = only(swath.inspect(source), "missing-mask")
    assert (finding["level"], finding["file"]) == ("error", str(image(source, "b")))
    assert "--unlabeled" in finding["fix"]
    assert str(image(source, "b")) in refused(source)
    assert survivors(source) == ["a", "c", "d"]


def test_missing_mask_is_a_note_where_unlabeled_is_said(source: Path) -> None:
    mask(source, "b").unlink()
    result = swath.inspect(source, unlabeled=True)
    assert result.ok
    assert only(result, "missing-mask")["level"] == "note"


def test_orphan_mask(source: Path) -> None:
    image(source, "b").unlink()
    finding = only(swath.inspect(source), "orphan-mask")
    assert (finding["level"], finding["file"]) == ("error", str(mask(source, "b")))
    assert survivors(source) == ["a", "c", "d"]


def test_ambiguous_pair(source: Path) -> None:
    shutil.copy(mask(source, "b"), source / "masks" / "b_mask.png")
    write_raster(source / "images" / "b_image.tif", noise(3, SIDE, SIDE))
    assert swath.inspect(source).ok  # one to one, by exact name and by stripped name
    mask(source, "b").rename(source / "masks" / "b_gt.png")
    finding = next(f for f in swath.inspect(source).findings if f["level"] == "error")
    assert finding["code"] == "ambiguous-pair"
    assert Path(finding["file"]).name in ("b.tif", "b_image.tif")
    assert "b_gt.png" in finding["message"] and "b_mask.png" in finding["message"]


def test_ambiguous_pair_costs_only_itself(source: Path) -> None:
    mask(source, "b").rename(source / "masks" / "b_gt.png")
    shutil.copy(source / "masks" / "b_gt.png", source / "masks" / "b_mask.png")
    assert survivors(source) == ["a", "c", "d"]


def test_mask_of_another_size(source: Path) -> None:
    write_png(mask(source, "b"), np.ones((SIDE, SIDE + 1), np.uint8))
    finding = only(swath.inspect(source), "size-mismatch")
    assert (finding["level"], finding["file"]) == ("error", str(mask(source, "b")))
    assert f"{SIDE + 1}x{SIDE}" in finding["message"] and f"{SIDE}x{SIDE}" in finding["message"]
    assert str(mask(source, "b")) in refused(source)
    assert survivors(source) == ["a", "c", "d"]


def test_mask_on_another_grid(tmp_path: Path) -> None:
    for name in NAMES:
        own = from_origin(500_000 + 10_000 * ord(name), 5_600_000, 10, 10)
        write_raster(image(tmp_path / "s", name), noise(2, SIDE, SIDE, seed=ord(name)), UTM, own)
        where = from_origin(400_000, 5_000_000, 10, 10) if name == "b" else own
        write_raster(
            tmp_path / "s" / "masks" / f"{name}.tif", noise(SIDE, SIDE, high=4), UTM, where
        )
    finding = only(swath.inspect(tmp_path / "s"), "grid-mismatch")
    assert finding["file"] == str(tmp_path / "s" / "masks" / "b.tif")
    assert "scene" in finding["fix"]
    assert survivors(tmp_path / "s") == ["a", "c", "d"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_truncated_image(source: Path, share: float) -> None:
    truncate(image(source, "b"), share)
    finding = only(swath.inspect(source), "unreadable")
    assert (finding["level"], finding["file"]) == ("error", str(image(source, "b")))
    assert "leave it out" in finding["fix"]
    assert str(image(source, "b")) in refused(source)
    assert survivors(source) == ["a", "c", "d"]


def test_truncated_mask(source: Path) -> None:
    write_png(mask(source, "b"), noise(SIDE, SIDE, high=4))
    truncate(mask(source, "b"))
    finding = only(swath.inspect(source), "unreadable")
    assert finding["file"] == str(mask(source, "b"))
    assert survivors(source) == ["a", "c", "d"]


def test_text_named_as_image(source: Path) -> None:
    image(source, "b").write_text("not an image")
    assert only(swath.inspect(source), "unreadable")["file"] == str(image(source, "b"))


def test_unknown_code_names_file_code_and_pixels(source: Path, tmp_path: Path) -> None:
    codes = np.ones((SIDE, SIDE), np.uint8)
    codes[5, :17] = 77
    write_png(mask(source, "b"), codes)
    classes = write_classes(
        tmp_path / "classes.yaml", "[{name: x, code: 1}, {name: y, code: [2, 3]}]"
    )
    finding = only(swath.inspect(source, classes=classes), "unknown-code")
    assert (finding["level"], finding["file"]) == ("error", str(mask(source, "b")))
    assert "code 77 (17 pixels)" in finding["message"]
    assert str(classes) in finding["fix"]
    assert "code 77 (17 pixels)" in refused(source, classes=classes)
    assert survivors(source, classes=classes) == ["a", "c", "d"]


def test_unknown_color_is_written_as_people_write_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in NAMES:
        write_colors(source, name)
    classes = write_classes(tmp_path / "classes.yaml", '[{name: x, color: "#0000FF"}]')
    findings = [
        f for f in swath.inspect(source, classes=classes).findings if f["code"] == "unknown-code"
    ]
    assert [f["file"] for f in findings] == [str(mask(source, name)) for name in NAMES]
    assert all(f"#FF0000 ({PIXELS // 2} pixels)" in f["message"] for f in findings)


def test_without_classes_they_are_found_from_all_pixels_of_all_masks(source: Path) -> None:
    codes = np.ones((SIDE, SIDE), np.uint8)
    codes[-1, -1] = 200
    write_png(mask(source, "d"), codes)
    result = swath.inspect(source)
    assert result.ok
    assert [(c.code, c.pixels) for c in result.classes][-1] == (200, 1)


def test_photograph_as_mask_of_colors(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in NAMES:
        write_colors(source, name)
    write_png(mask(source, "b"), noise(3, SIDE, SIDE))
    finding = only(swath.inspect(source), "mask-photograph")
    assert (finding["level"], finding["file"]) == ("error", str(mask(source, "b")))
    assert "lossless" in finding["fix"]
    assert [c.name for c in swath.inspect(source).classes] == ["#0000FF", "#FF0000"]
    classes = write_classes(
        tmp_path / "classes.yaml", '[{name: x, color: "#0000FF"}, {name: y, color: "#FF0000"}]'
    )
    assert only(swath.inspect(source, classes=classes), "mask-photograph")["file"] == str(
        mask(source, "b")
    )
    assert survivors(source, classes=classes) == ["a", "c", "d"]


def test_lossy_copy_of_a_mask(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in NAMES:
        write_colors(source, name)
    with rasterio.open(mask(source, "b")) as file:
        blurred = file.read()
    mask(source, "b").unlink()
    blurred[:, ::3] = 255 - blurred[:, ::3]
    write_jpeg(
        source / "masks" / "b.jpg",
        (blurred * 0.9 + noise(3, SIDE, SIDE, high=20)).astype(np.uint8),
        QUALITY=40,
    )
    assert only(swath.inspect(source), "mask-photograph")["file"].endswith("b.jpg")


def test_gray_photograph_among_codes(source: Path) -> None:
    write_png(mask(source, "b"), noise(SIDE, SIDE))
    assert only(swath.inspect(source), "mask-photograph")["file"] == str(mask(source, "b"))
    assert [c.code for c in swath.inspect(source).classes] == [1, 2, 3]
    assert survivors(source) == ["a", "c", "d"]


def test_color_photograph_among_codes_does_not_change_the_others(source: Path) -> None:
    write_png(mask(source, "b"), noise(3, SIDE, SIDE))
    result = swath.inspect(source)
    errors = [f for f in result.findings if f["level"] == "error"]
    assert [f["file"] for f in errors] == [str(mask(source, "b"))]
    assert [(c.name, c.code) for c in result.classes] == [("1", 1), ("2", 2), ("3", 3)]
    assert survivors(source) == ["a", "c", "d"]


def write_palette(source: Path, name: str, palette: list[int]) -> None:
    """Write a pair whose mask is blue on the left and red on the right by its own palette."""
    colors = {
        code: (color >> 16, color >> 8 & 255, color & 255) for code, color in enumerate(palette)
    }
    codes = np.full((SIDE, SIDE), palette.index(0x0000FF), np.uint8)
    codes[:, SIDE // 2 :] = palette.index(0xFF0000)
    write_raster(image(source, name), noise(3, SIDE, SIDE))
    write_png(mask(source, name), codes, colormap=colors)


def test_palettes_that_agree_are_codes(tmp_path: Path) -> None:
    for name in NAMES:
        write_palette(tmp_path, name, [0x000000, 0x0000FF, 0xFF0000])
    result = swath.inspect(tmp_path)
    assert [(c.name, c.pixels) for c in result.classes] == [("1", 2 * PIXELS), ("2", 2 * PIXELS)]


def test_palettes_that_disagree_are_colors(tmp_path: Path) -> None:
    for name in NAMES:
        write_palette(tmp_path, name, [0xFF0000, 0x0000FF] if name == "b" else [0x0000FF, 0xFF0000])
    result = swath.inspect(tmp_path)
    assert [(c.name, c.pixels) for c in result.classes] == [
        ("#0000FF", 2 * PIXELS),
        ("#FF0000", 2 * PIXELS),
    ]


def test_mask_of_many_named_codes_is_no_photograph(source: Path, tmp_path: Path) -> None:
    write_png(mask(source, "b"), noise(SIDE, SIDE, high=130))
    rows = "\n".join(f"- {{name: c{k}, code: {k}}}" for k in range(1, 130))
    assert swath.inspect(source, classes=write_classes(tmp_path / "classes.yaml", rows)).ok


def test_mask_of_fractions(source: Path) -> None:
    mask(source, "b").unlink()
    write_raster(source / "masks" / "b.tif", noise(SIDE, SIDE).astype(np.float32) / 7)
    finding = only(swath.inspect(source), "fractional-code")
    assert finding["file"].endswith("b.tif") and "23.1429" in finding["message"]


def test_negative_code_needs_classes(source: Path, tmp_path: Path) -> None:
    codes = np.ones((SIDE, SIDE), np.int16)
    codes[0, :9] = -1
    mask(source, "b").unlink()
    path = write_raster(source / "masks" / "b.tif", codes)
    finding = only(swath.inspect(source), "negative-code")
    assert (finding["level"], finding["file"]) == ("error", str(path))
    assert "-1 (9 pixels)" in finding["message"] and "--classes" in finding["fix"]
    assert survivors(source) == ["a", "c", "d"]
    named = write_classes(
        tmp_path / "classes.yaml",
        "[{name: no, code: -1, ignore: true}, {name: x, code: [1, 2, 3]}]",
    )
    assert swath.inspect(source, classes=named).ok


def test_image_of_nodata_only(source: Path) -> None:
    write_raster(image(source, "b"), np.full((3, SIDE, SIDE), 0, np.uint8), nodata=0)
    finding = only(swath.inspect(source), "all-nodata")
    assert (finding["level"], finding["file"]) == ("error", str(image(source, "b")))
    assert survivors(source) == ["a", "c", "d"]


def test_image_of_nan_only(tmp_path: Path) -> None:
    for name in NAMES:
        pixels = noise(1, SIDE, SIDE, seed=ord(name)).astype(np.float32)
        write_raster(image(tmp_path, name), pixels * np.nan if name == "b" else pixels)
        write_png(mask(tmp_path, name), np.ones((SIDE, SIDE), np.uint8))
    assert only(swath.inspect(tmp_path), "all-nodata")["file"] == str(image(tmp_path, "b"))


def test_other_number_of_bands(source: Path) -> None:
    write_raster(image(source, "a"), noise(5, SIDE, SIDE))
    result = swath.inspect(source)
    finding = only(result, "band-mismatch")
    assert (finding["level"], finding["file"]) == ("error", str(image(source, "a")))
    assert "5 band(s) and most have 3" in finding["message"]
    assert len(result.bands) == 3
    assert survivors(source) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("most", "other", "level"), [("uint8", "uint16", "error"), ("int16", "uint16", "warning")]
)
def test_other_type(tmp_path: Path, most: str, other: str, level: str) -> None:
    for name in NAMES:
        pixels = noise(
            3, SIDE, SIDE, seed=ord(name), high=255 if most == "uint8" else 3000, dtype="int64"
        )
        write_raster(image(tmp_path, name), pixels.astype(other if name == "b" else most))
        write_png(mask(tmp_path, name), np.ones((SIDE, SIDE), np.uint8))
    finding = only(swath.inspect(tmp_path), "dtype-mismatch", ("single-group", "eight-bit-range"))
    assert (finding["level"], finding["file"]) == (level, str(image(tmp_path, "b")))
    assert f"is {other} and most are {most}" in finding["message"]


def test_mask_without_labels_is_a_warning(source: Path) -> None:
    write_png(mask(source, "b"), np.zeros((SIDE, SIDE), np.uint8), nodata=0)
    result = swath.inspect(source)
    assert result.ok
    assert only(result, "no-labels")["file"] == str(mask(source, "b"))


def test_mask_of_ignored_classes_only_has_no_labels(source: Path, tmp_path: Path) -> None:
    write_png(mask(source, "b"), np.full((SIDE, SIDE), 9, np.uint8))
    classes = write_classes(
        tmp_path / "classes.yaml", "[{name: x, code: [1, 2, 3]}, {name: no, code: 9, ignore: true}]"
    )
    assert only(swath.inspect(source, classes=classes), "no-labels")["file"] == str(
        mask(source, "b")
    )


def test_black_that_no_class_has_is_unpainted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in NAMES:
        write_colors(source, name)
    with rasterio.open(mask(source, "b")) as file:
        array = file.read()
    array[:, :3] = 0
    write_png(mask(source, "b"), array)
    rows = '{name: x, color: "#0000FF"}, {name: y, color: "#FF0000"}'
    finding = only(
        swath.inspect(source, classes=write_classes(tmp_path / "c.yaml", f"[{rows}]")), "unpainted"
    )
    assert (finding["level"], finding["file"]) == ("warning", str(mask(source, "b")))
    assert f"{3 * SIDE} black pixels" in finding["message"]
    black = write_classes(tmp_path / "c.yaml", f'[{rows}, {{name: z, color: "#000000"}}]')
    assert "unpainted" not in [f["code"] for f in swath.inspect(source, classes=black).findings]


def test_empty_folder(tmp_path: Path) -> None:
    result = swath.inspect(tmp_path)
    finding = only(result, "no-images")
    assert not result.ok
    assert (finding["level"], finding["file"], result.images) == ("error", str(tmp_path), 0)
    assert str(tmp_path) in refused(tmp_path)


def test_folder_with_masks_only(source: Path) -> None:
    shutil.rmtree(source / "images")
    assert "no images" in only(swath.inspect(source), "no-images")["message"]


def test_no_such_folder(tmp_path: Path) -> None:
    finding = only(swath.inspect(tmp_path / "nowhere"), "no-such-folder")
    assert finding["file"] == str(tmp_path / "nowhere")
    with fails("no-such-folder", DataError, tmp_path / "nowhere"):
        swath.prepare(tmp_path / "nowhere", tmp_path / "d")


def test_no_such_class_file(source: Path) -> None:
    with pytest.raises(UsageError) as caught:
        swath.inspect(source, classes=source / "classes.yaml")
    assert caught.value.file == str(source / "classes.yaml")


def test_scene_whose_files_are_missing_or_damaged_is_a_finding(source: Path) -> None:
    result = swath.inspect(source, images=["images/*.jp2"], labels="masks/a.png")
    assert not result.ok and "--images images/*.jp2" in result.findings[0]["message"]
    truncate(image(source, "a"), 0)
    result = swath.inspect(source, images="images/a.tif", labels="masks/a.png")
    assert [(f["code"], f["file"]) for f in result.findings] == [
        ("unreadable", str(image(source, "a")))
    ]


def test_pixels_of_the_mask_option_are_not_counted(source: Path) -> None:
    clouds = np.zeros((SIDE, SIDE), np.uint8)
    clouds[:, :5] = 1
    write_png(source / "clouds" / "a_cloud.png", clouds)
    counts = [c.pixels for c in swath.inspect(source, mask="clouds/*.png").classes]
    assert sum(counts) == 4 * PIXELS - 5 * SIDE


def test_names_in_unicode(tmp_path: Path) -> None:
    names = ("Zürich Süd", "東京", "Łódź ñ", "🌍 earth")
    source = write_pairs(tmp_path / "Süd – ✓", names)
    assert swath.inspect(source).groups == sorted(names)
    mask(source, "東京").unlink()
    finding = only(swath.inspect(source), "missing-mask")
    assert finding["file"] == str(image(source, "東京"))
    assert survivors(source) == sorted(set(names) - {"東京"})


def test_everything_wrong_at_once_is_all_found(source: Path) -> None:
    write_pairs(source, [f"ok{i}" for i in range(6)])
    mask(source, "a").unlink()
    write_png(mask(source, "b"), np.ones((3, 5), np.uint8))
    truncate(image(source, "c"))
    write_raster(image(source, "d"), np.zeros((3, SIDE, SIDE), np.uint8), nodata=0)
    findings = swath.inspect(source).findings
    assert {(f["code"], Path(f["file"]).name) for f in findings if f["level"] == "error"} == {
        ("missing-mask", "a.tif"),
        ("size-mismatch", "b.png"),
        ("unreadable", "c.tif"),
        ("all-nodata", "d.tif"),
    }
    assert [f["level"] for f in findings] == sorted(
        (f["level"] for f in findings), key=["error", "warning", "note"].index
    )
    assert "3 more errors" in refused(source)
    assert survivors(source) == [f"ok{i}" for i in range(6)]


def test_nothing_is_usable(source: Path) -> None:
    for name in NAMES:
        truncate(image(source, name))
    with fails("no-labeled-image", DataError, source):
        swath.prepare(source, source.parent / "dataset", skip_bad=True)


def test_dubai(shared_data: Path, tmp_path: Path) -> None:
    """The class file's own colors are the masks', and every tile is a group."""
    for tile in ("Tile 1", "Tile 6"):
        for part in ("001", "004"):
            for kind, ending in (("images", "jpg"), ("masks", "png")):
                name = f"{tile}/{kind}/image_part_{part}.{ending}"
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).symlink_to(shared_data / "dubai" / name)
    result = swath.inspect(tmp_path, classes=shared_data / "dubai-classes.yaml")
    assert result.ok and result.groups == ["Tile 1", "Tile 6"]
    expected = dict.fromkeys([0xE2A929, 0x8429F6, 0x6EC1E4, 0x3C1098, 0xFEDD3A, 0x9B9B9B], 0)
    for path in tmp_path.rglob("*.png"):
        with rasterio.open(path) as file:
            red, green, blue = file.read()[:3].astype(int)
        for color in expected:
            expected[color] += int((red * 65536 + green * 256 + blue == color).sum())
    assert [c.pixels for c in result.classes] == list(expected.values())
    assert [c.code for c in result.classes] == [1, 2, 3, 4, 5, 6]
    found = swath.inspect(tmp_path)
    assert sorted((c.name, c.pixels) for c in found.classes) == sorted(
        (f"#{color:06X}", pixels) for color, pixels in expected.items() if pixels
    )


def test_sentinel2(shared_data: Path) -> None:
    result = swath.inspect(shared_data / "sentinel2")
    expected: dict[int, int] = {}
    for path in (shared_data / "sentinel2" / "labels").glob("*.tif"):
        with rasterio.open(path) as file:
            values, counts = np.unique(file.read(1, masked=True).compressed(), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            expected[value] = expected.get(value, 0) + count
    assert result.ok and result.images == 5 and len(result.bands) == 12
    assert {c.code: c.pixels for c in result.classes} == expected


def test_flood_needs_names_for_its_negative_code(shared_data: Path, tmp_path: Path) -> None:
    result = swath.inspect(shared_data / "flood")
    assert [f["code"] for f in result.findings if f["level"] == "error"] == ["negative-code"]
    with rasterio.open(shared_data / "flood" / "labels" / "Spain_7370579_LabelHand.tif") as file:
        labels = file.read(1)
    text = "[{name: none, code: -1, ignore: true}, {name: dry, code: 0}, {name: water, code: 1}]"
    named = swath.inspect(
        shared_data / "flood", classes=write_classes(tmp_path / "classes.yaml", text)
    )
    assert named.ok and len(named.bands) == 13
    assert {c.name: c.pixels for c in named.classes} == {
        "none": int((labels == -1).sum()),
        "dry": int((labels == 0).sum()),
        "water": int((labels == 1).sum()),
    }
