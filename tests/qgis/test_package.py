"""The zip of the plugin, and the rules of its source; no QGIS is needed."""

from __future__ import annotations

import ast
import configparser
import tomllib
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

from tests.qgis.conftest import PLUGIN, ROOT

SOURCES = sorted(PLUGIN.rglob("*.py"))
NEEDED = (
    "name qgisMinimumVersion description about version author email repository tracker homepage "
    "tags icon category license changelog hasProcessingProvider supportsQt6"
)


def test_the_zip_is_whole_and_of_one_folder(archive: Path, packaging: ModuleType) -> None:
    with ZipFile(archive) as packed:
        names = packed.namelist()
    assert {name.split("/")[0] for name in names} == {"swath_qgis"}
    wanted = ("__init__.py", "metadata.txt", "LICENSE", "icon.svg", "help/index.html")
    assert {f"swath_qgis/{name}" for name in wanted} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    again = packaging.package(archive.with_name("again.zip"))
    assert again.read_bytes() == archive.read_bytes()


def test_metadata_are_complete() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PLUGIN / "metadata.txt", encoding="utf-8")
    general = parser["general"]
    assert [key for key in NEEDED.split() if not general.get(key)] == []
    assert general["qgisMinimumVersion"] == "3.22" and general["license"] == "GPL-2.0-or-later"
    assert (PLUGIN / general["icon"]).is_file()
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text(encoding="utf-8")


def test_nothing_is_imported_but_qgis_and_the_standard_library() -> None:
    allowed = {"qgis", "osgeo", "__future__", *_standard_library()}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").split(".")[0])
    assert {"qgis", "json"} <= found and found <= allowed


def _standard_library() -> set[str]:
    import sys

    return set(sys.stdlib_module_names)


def test_the_plugin_is_small() -> None:
    lines = [line for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines()]
    assert len([line for line in lines if line.strip()]) < 1500


def test_the_template_of_translations_is_current(packaging: ModuleType) -> None:
    made = (PLUGIN / "i18n" / "swath.ts").read_text(encoding="utf-8")
    assert made == packaging.template(), "Run python qgis/package.py --texts"
    assert "Where to label next" in made


def test_packages_of_the_program_leave_the_plugin_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["packages"]["find"]["where"] == ["src"]
    manifest = ROOT / "MANIFEST.in"
    assert "prune qgis" in manifest.read_text(encoding="utf-8").splitlines()
