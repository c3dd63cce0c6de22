"""Each row of "What is refused" names an error that its option mends."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.docs.pages import DOCS, run_line
from tests.docs.stories.data import PAGE, SIDE, halves, image, layer, painted, pair, scene
from tests.make import box, write_jpeg


def pairs_of(make: Callable[[str], None]) -> str:
    for name in "abc":
        make(name)
    return "s"


def other_size() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png", halves(side=2 * SIDE))

    return pairs_of(make)


def two_bands() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.tif", np.stack([halves()] * 2))

    return pairs_of(make)


def one_has_other_bands() -> str:
    def make(name: str) -> None:
        names = ["red", "swir16" if name == "c" else "nir"]
        mask = f"s/{name}/masks/x.png"
        pair(f"s/{name}/images/x.tif", mask, bands=len(names), descriptions=names)

    make("d")
    return pairs_of(make)


def jpeg_masks() -> str:
    def make(name: str) -> None:
        image(f"s/{name}/images/x.tif")
        write_jpeg(Path(f"s/{name}/masks/x.jpg"), painted(halves()), QUALITY="60")

    Path("classes.yaml").write_text('[{name: a, color: "#FF0000"}, {name: b, color: "#00FF00"}]')
    return pairs_of(make) + " --classes classes.yaml"


def one_class() -> str:
    scene("s/scene.tif")
    parts = [box(r, c, 20, 20) for r in range(10, 170, 40) for c in range(10, 170, 40)]
    layer("s/fields.gpkg", {"class": ["pond"] * len(parts)}, parts)
    return "s --images scene.tif --labels fields.gpkg"


def several_layers() -> str:
    scene("s/scene.tif")
    for name in ("fields", "roads"):
        layer("s/all.gpkg", {"class": ["a", "b"]}, layer=name, append=name == "roads")
    return "s --images scene.tif --labels all.gpkg"


def no_crs() -> str:
    scene("s/scene.tif")
    layer("s/fields.gpkg", {"class": ["a", "b"]}, crs=None)
    return "s --images scene.tif --labels fields.gpkg"


def damaged() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png")

    make("d")
    Path("s/d/images/x.tif").write_bytes(b"II*")
    return pairs_of(make)


def no_mask() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png")

    image("s/d/images/x.tif")
    return pairs_of(make)


FAULTS: dict[str, Callable[[], str]] = {
    "size-mismatch": other_size,
    "label-bands": two_bands,
    "band-mismatch": one_has_other_bands,
    "near-colors": jpeg_masks,
    "single-class": one_class,
    "layer-count": several_layers,
    "crs-missing": no_crs,
    "unreadable": damaged,
    "missing-mask": no_mask,
}
ROWS = re.findall(r"^\| `([a-z-]+)` \|.*\| `(--[^`]+)` \|$", (DOCS / PAGE).read_text(), re.M)


def test_each_row_has_a_fault() -> None:
    assert [code for code, _ in ROWS] == list(FAULTS)


@pytest.mark.parametrize(("code", "mend"), ROWS)
def test_what_is_refused_is_mended_by_the_option(
    code: str, mend: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    source = FAULTS[code]()
    source, _, others = source.partition(" ")
    run_line(f"swath prepare {source} dataset {others} # refused: {code}", capsys)
    run_line(f"swath prepare {source} dataset {others} {mend}", capsys)
    assert Path("dataset/dataset.json").is_file()
