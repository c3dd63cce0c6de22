"""The plugin in a window of QGIS: installed from its zip, and used by clicks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.qgis.conftest import COLORS

Session = Callable[..., dict[str, Any]]


def test_a_trained_model_maps_by_clicks(
    session: Session, field: Path, model: Path, tmp_path: Path, program: Path
) -> None:
    own = shutil.copy(model, tmp_path / "field.swath")
    target = tmp_path / "field-scene-all.tif"
    seen = session(
        [["install"], ["open"], ["click", "map_all"], ["tree"], ["render"], ["settings"]],
        scene=field / "scene.tif",
        labels=field / "labels.gpkg",
        field="kind",
        colors=COLORS,
        model=own,
        map=target,
        places=[(12, 12), (36, 12), (12, 36), (100, 132)],
    )
    assert "swath_qgis" in seen["plugins"] and seen["foreign"] == [] and seen["dock"]
    assert seen["classes"] == COLORS
    assert seen["map_all"]["ok"] == [True], seen["map_all"]["status"]
    assert seen["tree"] == {"field-scene-all": {"Map": True, "Confidence": False}}
    legend = seen["legend"]
    assert set(legend) == set(COLORS)
    water, forest = legend["water"], legend["forest"]
    assert seen["pixels"] == [water, forest, forest, water]
    assert seen["settings"].startswith("swath ") and str(program) in seen["settings"]
    assert "QGIS 3." in seen["diagnostics"] and f"Program {program}" in seen["diagnostics"]
