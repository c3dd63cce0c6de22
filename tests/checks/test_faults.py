"""Thirty planted faults, each found at its own file, and a clean folder without findings."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import swath
from swath.data.dataset import Dataset
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, truncate, write_jpeg, write_png, write_raster

SIDE = 128
COLORS = np.array([[226, 169, 41], [132, 41, 246], [110, 193, 228], [60, 16, 152]], np.uint8)
CLASSES = "".join(
    f'- {{name: {name}, color: "#{r:02X}{g:02X}{b:02X}"}}\n'
    for name, (r, g, b) in zip("wxyz", COLORS.tolist(), strict=True)
)


def ground(seed: int, size: int = SIDE, classes: int = 3) -> np.ndarray:
    """Return class indices in patches of 16 pixels."""
    return np.kron(
        noise(-(-size // 16), -(-size // 16), seed=seed, low=0, high=classes),
        np.ones((16, 16), int),
    )[:size, :size]


def seen(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return what a satellite sees of it: three bands, uint16."""
    return (
        codes * 900 + 700 + noise(3, *codes.shape, seed=seed, low=0, high=300, dtype="int64")
    ).astype(np.uint16)


def painted(codes: np.ndarray) -> np.ndarray:
    return COLORS[codes].transpose(2, 0, 1)


@dataclass
class Pair:
    """One image with its mask on disk, in a place of its own."""

    root: Path
    name: str
    number: int

    @property
    def image(self) -> Path:
        return self.root / self.name / "images" / "x.tif"

    @property
    def mask(self) -> Path:
        return self.root / self.name / "masks" / "x.tif"

    @property
    def codes(self) -> np.ndarray:
        return ground(self.number)

    def where(self, pixel: float = 10.0) -> Any:
        return from_origin(200_000 + 5_000 * self.number, 5_600_000, pixel, pixel)

    def write(
        self, image: Any = None, mask: Any = None, pixel: float = 10.0, **profile: Any
    ) -> None:
        codes = self.codes
        image, mask = (
            (seen(codes, self.number) if image is None else image),
            (painted(codes) if mask is None else mask),
        )
        write_raster(self.image, image, UTM, self.where(pixel), **profile)
        write_raster(self.mask, mask, UTM, self.where(pixel))


def clean_pair(root: Path, name: str, number: int) -> Pair:
    pair = Pair(root, name, number)
    pair.write()
    return pair


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classes") / "classes.yaml"
    path.write_text(CLASSES)
    return path


def smoothed(codes: np.ndarray) -> np.ndarray:
    """Blend each column of a mask with the next, as resampling does."""
    mask = painted(codes).astype(float)
    mask[..., 1:] = (mask[..., 1:] + mask[..., :-1]) / 2
    return mask.round().astype(np.uint8)


def framed(image: np.ndarray, value: int) -> np.ndarray:
    image = image.copy()
    image[:, :20] = value
    return image


def plant(root: Path) -> dict[str, tuple[str, Path]]:
    """Write the folder; return the finding's code and file by fault."""
    for number in range(12):
        clean_pair(root, f"clean {number}", number)
    expected: dict[str, tuple[str, Path]] = {}

    def fault(name: str, code: str, file: str = "image", **changes: Any) -> Pair:
        pair = Pair(root, name, 20 + len(expected))
        given = {
            key: change(seen(pair.codes, pair.number) if key == "image" else pair.codes)
            for key, change in changes.items()
            if callable(change)
        }
        pair.write(**{**changes, **given})
        expected[name] = (code, getattr(pair, file))
        return pair

    fault("no mask", "missing-mask").mask.unlink()
    fault("no image", "orphan-mask", "mask").image.unlink()
    pair = fault("two masks", "ambiguous-pair")
    shutil.copy(pair.mask, pair.mask.with_name("x_gt.tif"))
    pair.mask.rename(pair.mask.with_name("x_mask.tif"))
    fault("mask of another size", "labels-warped", "mask", mask=lambda c: painted(c[:-1]))
    pair = fault("mask in another CRS", "labels-miss-images", "mask")
    write_raster(pair.mask, painted(pair.codes), "EPSG:32633", pair.where())
    fault("other resolution", "resolution-mismatch", pixel=30.0)
    fault(
        "shifted labels",
        "labels-shifted",
        "mask",
        mask=lambda c: painted(np.roll(c, (6, -5), (0, 1))),
    )
    fault("text", "unreadable").image.write_text("no image")
    truncate(fault("truncated image", "unreadable").image)
    truncate(fault("truncated mask", "unreadable", "mask").mask)
    fault("copy", "duplicate-image", image=lambda _: seen(ground(0), 0))
    fault(
        "later brighter copy",
        "near-duplicate",
        image=lambda _: (seen(ground(1), 99) * 1.05).astype(np.uint16),
    )
    pair = fault("same ground", "same-ground")
    shifted = from_origin(
        200_000 + 5_000 * 2 + 200, 5_600_000, 10, 10
    )  # of clean 2, by 20 of 128 pixels
    write_raster(pair.image, seen(pair.codes, 5), UTM, shifted)
    write_raster(pair.mask, painted(pair.codes), UTM, shifted)
    fault("float", "dtype-mismatch", image=lambda i: i.astype(np.float32))
    fault("8 bits in 16", "eight-bit-range", image=lambda i: i // 16)
    fault("saturated", "saturated", image=lambda i: np.minimum(i, 2000))
    fault(
        "constant band",
        "constant-band",
        image=lambda i: i * np.array([[[1]], [[0]], [[1]]], np.uint16) + 7,
    )
    nan = np.zeros((1, SIDE, SIDE), np.float32)
    nan[0, 5:9] = np.nan
    fault("not a number", "not-finite", image=lambda i: i + nan)
    fault(
        "infinite",
        "not-finite",
        image=lambda i: i + np.where(np.isnan(nan), np.inf, 0).astype(np.float32),
    )
    fault("black collar", "undeclared-nodata", image=lambda i: framed(i, 0))
    fault("white collar", "undeclared-nodata", image=lambda i: framed(i, 65535))
    fault("nodata only", "all-nodata", image=lambda i: np.zeros_like(i), nodata=0)
    fault("two bands", "band-mismatch", image=lambda i: i[:2])
    fault("dark", "odd-statistics", image=lambda i: i // 20 + 300)
    fault("photograph", "mask-photograph", "mask", mask=lambda _: noise(3, SIDE, SIDE))
    fault("smoothed", "near-colors", "mask", mask=smoothed)
    pair = fault("jpeg", "near-colors")
    pair.mask.unlink()
    expected["jpeg"] = (
        "near-colors",
        write_jpeg(pair.mask.with_suffix(".jpg"), painted(pair.codes), QUALITY=60),
    )
    fault(
        "unknown color",
        "unknown-code",
        "mask",
        mask=lambda c: np.where(c == 1, COLORS[0, :, None, None] * 0 + 250, painted(c)),
    )
    fault("one class", "one-class-image", "mask", mask=lambda c: painted(c * 0))
    fault("no georeferencing", "paired-by-name", "mask")
    pair = Pair(root, "no georeferencing", 20 + len(expected) - 1)
    write_png(pair.mask.with_suffix(".png"), painted(pair.codes))
    pair.mask.unlink()
    expected["no georeferencing"] = ("paired-by-name", pair.mask.with_suffix(".png"))
    rare = Pair(root, "rare class", 99)
    codes = rare.codes
    codes[3, :40] = 3
    rare.write(mask=painted(codes))
    expected["rare class"] = ("rare-class", root)
    expected["class in one place"] = ("class-in-one-group", root)
    (root / "colors.json").write_text('{"w": "#112233", "x": "#445566", "y": "#778899"}')
    expected["palette file"] = ("palette-disagrees", root / "colors.json")
    return expected


def test_every_planted_fault_is_found(tmp_path: Path, classes: Path) -> None:
    expected = plant(tmp_path / "source")
    assert len(expected) >= 30
    result = swath.inspect(tmp_path / "source", classes=classes)
    found = {(f["code"], f["file"]) for f in result.findings}
    missed = {
        name: planted
        for name, planted in expected.items()
        if (planted[0], str(planted[1])) not in found
    }
    assert not missed
    wrong = [f for f in result.findings if Path(f["file"]).parts[-3].startswith("clean")]
    assert not wrong


def test_nothing_is_found_in_a_clean_folder(tmp_path: Path, classes: Path) -> None:
    for number in range(12):
        clean_pair(tmp_path / "source", f"clean {number}", number)
    three = tmp_path / "three.yaml"
    three.write_text("".join(CLASSES.splitlines(keepends=True)[:3]))
    assert swath.inspect(tmp_path / "source", classes=three).findings == []
    assert swath.inspect(tmp_path / "source").findings == []


def test_colors_are_snapped_only_when_asked(tmp_path: Path, classes: Path) -> None:
    for number in range(4):
        Pair(tmp_path / "source", str(number), number).write()
    pair = Pair(tmp_path / "source", "9", 9)
    pair.write(mask=smoothed(pair.codes))
    with fails("near-colors", swath.DataError, pair.mask):
        swath.prepare(tmp_path / "source", tmp_path / "d", classes=classes)
    for options in ({"classes": classes}, {}):
        result = swath.prepare(
            tmp_path / "source", tmp_path / "d", snap_colors=True, val="none", test="9", **options
        )
        assert any(f["code"] == "snapped-colors" for f in result.findings)
        dataset = Dataset(tmp_path / "d")
        labels = dataset.images[-1].read_labels(dataset.images[-1].grid.window)
        colors = [c.color for c in dataset.manifest.legend.trained]
        meant = np.array(
            [colors.index("#{:02X}{:02X}{:02X}".format(*c)) for c in COLORS[:3].tolist()]
        )[pair.codes]
        assert (labels == 255).mean() == 0
        inside = (pair.codes == np.roll(pair.codes, 1, 1)) | (np.arange(SIDE) == 0)
        assert (labels == meant)[inside].all()
        assert set(np.unique(labels)) <= set(np.unique(meant)) | {0, 1, 2}


def test_jpeg_masks_of_a_whole_folder_are_snapped_to_what_was_painted(tmp_path: Path) -> None:
    reference = [
        np.roll(np.kron(noise(4, 4, seed=k, low=0, high=3), np.ones((64, 64), int)), 5, (0, 1))
        for k in range(4)
    ]
    for k, codes in enumerate(reference):
        write_raster(tmp_path / "source" / str(k) / "images" / "x.tif", seen(codes, k))
        write_jpeg(tmp_path / "source" / str(k) / "masks" / "x.jpg", painted(codes), QUALITY=70)
    assert {
        f["code"] for f in swath.inspect(tmp_path / "source").findings if f["level"] == "error"
    } == {"near-colors"}
    result = swath.prepare(
        tmp_path / "source", tmp_path / "d", snap_colors=True, val="none", test="0"
    )
    assert len(result.classes) == 3
    rank = np.argsort(np.argsort([r << 16 | g << 8 | b for r, g, b in COLORS[:3].tolist()]))
    for image, codes in zip(Dataset(tmp_path / "d").images, reference, strict=True):
        assert (image.read_labels(image.grid.window) == rank[codes]).mean() > 0.97


def test_a_leak_between_splits_is_told(tmp_path: Path) -> None:
    for number in range(4):
        clean_pair(tmp_path / "source", str(number), number)
    shutil.copytree(tmp_path / "source" / "0", tmp_path / "source" / "copy")
    result = swath.prepare(tmp_path / "source", tmp_path / "d", test="copy", val="none")
    leaks = [f["message"] for f in result.findings if f["code"] == "split-leak"]
    assert any("100% of their area" in text for text in leaks)
    assert any("show the same" in text for text in leaks)
    result = swath.prepare(tmp_path / "source", tmp_path / "e", test="copy,0", val="none")
    assert not [f for f in result.findings if f["code"] == "split-leak"]


@pytest.mark.parametrize(
    ("folder", "options", "codes"),
    [
        ("dubai", {}, {"palette-disagrees", "resolution-unknown"}),
        ("sentinel2", {}, {"one-class-image", "code-gaps", "several-crs"}),
        ("flood", {}, {"negative-code"}),
        (
            "landsat",
            {"images": ["lsat7_2000_*.tif"], "labels": "landsat96_polygons.shp"},
            {"mixed-bands", "sparse-labels", "labels-in-another-crs"},
        ),
        (
            "landsat",
            {"images": ["lsat7_2000_*.tif"], "labels": "landsat96_labelled_pixels.tif"},
            {"mixed-bands", "sparse-labels", "labels-in-another-crs"},
        ),
    ],
)
def test_real_folders_list_what_their_readme_lists(
    shared_data: Path, tmp_path: Path, folder: str, options: Any, codes: set[str]
) -> None:
    source = shared_data / folder
    if folder == "dubai":  # the nine neighbors of one tile and the palette file are enough
        source = tmp_path / "dubai"
        (source / "Tile 4").parent.mkdir()
        for name in ("Tile 2", "Tile 4", "classes.json"):
            (source / name).symlink_to(shared_data / "dubai" / name)
    result = swath.inspect(source, **options)
    found = {f["code"] for f in result.findings}
    assert codes <= found
    assert not found & {
        "labels-shifted",
        "near-colors",
        "near-duplicate",
        "duplicate-image",
        "odd-statistics",
        "mask-photograph",
    }
    if folder == "dubai":
        assert result.groups == ["Tile 2", "Tile 4"]
        message = next(f["message"] for f in result.findings if f["code"] == "palette-disagrees")
        assert "#50E3C2" in message and "#6EC1E4" in message and "#9B9B9B" not in message


def test_shift_is_told_in_the_direction_that_mends_it(tmp_path: Path) -> None:
    for number in range(2):
        clean_pair(tmp_path, str(number), number)
    pair = Pair(tmp_path, "9", 9)
    pair.write(mask=painted(np.roll(pair.codes, (4, -7), (0, 1))))
    finding = next(f for f in swath.inspect(tmp_path).findings if f["code"] == "labels-shifted")
    assert "4 pixels up and 7 pixels right" in finding["message"]
    with rasterio.open(pair.mask) as file:
        assert (np.roll(file.read(), (-4, 7), (1, 2)) == painted(pair.codes)).all()


def test_images_without_a_crs_among_others_are_told(tmp_path: Path) -> None:
    for number in range(3):
        crs = None if number == 1 else UTM
        where = NORTH_UP * NORTH_UP.translation(1000 * number, 0)
        folder = tmp_path / "source" / str(number)
        write_raster(folder / "images" / "x.tif", noise(3, 64, 64, seed=number), crs, where)
        codes = noise(64, 64, seed=number, low=1, high=4)
        write_raster(folder / "masks" / "x.tif", codes, crs, where)
    found = [f for f in swath.inspect(tmp_path / "source").findings if f["code"] == "missing-crs"]
    assert len(found) == 1 and found[0]["message"].startswith("1 of 3 images")
