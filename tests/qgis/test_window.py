"""The plugin in a window of QGIS: installed from its zip, and used by clicks."""

from __future__ import annotations

from typing import Any

import swath
from tests.qgis.conftest import COLORS


def test_the_zip_installs_into_an_empty_profile(clicked: dict[str, Any]) -> None:
    assert "swath_qgis" in clicked["plugins"] and clicked["dock"]
    assert clicked["foreign"] == []


def test_twenty_squares_become_a_model_and_a_map_by_clicks(clicked: dict[str, Any]) -> None:
    assert clicked["classes"] == COLORS
    assert clicked["train"] == {"ok": [True], "status": "Trained: mIoU 1.00"}
    assert clicked["map_all"]["ok"] == [True], clicked["map_all"]["status"]
    assert clicked["tree"] == {"field-scene-all": [["Map", True], ["Confidence", False]]}


def test_the_map_has_the_colors_of_the_labels(clicked: dict[str, Any]) -> None:
    assert clicked["legend"] == COLORS
    water, forest = COLORS.values()
    assert clicked["pixels"] == [water, forest, forest, water]


def test_the_page_of_settings_checks_the_program(clicked: dict[str, Any]) -> None:
    version, program = clicked["settings"].split(": ")
    assert version == f"swath {swath.__version__}" and program.endswith("/swath")
    said = clicked["diagnostics"]
    assert "QGIS 3." in said and f"Program {program}" in said and "Plugin version=" in said
