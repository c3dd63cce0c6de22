"""The zip of the plugin, and the rules of its source; no QGIS is needed."""

from __future__ import annotations

import ast
import configparser
import re
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
    page = (PLUGIN / "help" / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) == 5 and {f"swath_qgis/help/{name}" for name in pictures} <= set(names)
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
    assert len(lines) < 1700 and len([line for line in lines if line.strip()]) < 1400


def test_the_template_of_translations_is_current(packaging: ModuleType) -> None:
    made = (PLUGIN / "i18n" / "swath.ts").read_text(encoding="utf-8")
    assert made == packaging.template(), "Run python qgis/package.py --texts"
    assert "Where to label next" in made


def test_packages_of_the_program_leave_the_plugin_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["packages"]["find"]["where"] == ["src"]
    manifest = ROOT / "MANIFEST.in"
    assert "prune qgis" in manifest.read_text(encoding="utf-8").splitlines()


QT5_ONLY = {"exec_", "print_", "QRegExp", "QDesktopWidget", "QTextCodec", "QStringRef", "sip"}
"""Names that PyQt6 has no more."""

MOVED = {"QAction", "QActionGroup", "QShortcut", "QFileSystemModel", "QUndoStack"}
"""Names that Qt 6 has in QtGui, and Qt 5 in QtWidgets."""

RENAMED = {
    *("QgsProcessing.TypeRaster", "QgsProcessing.TypeVector", "QgsProcessing.TypeVectorPoint"),
    *("QgsProcessing.TypeVectorPolygon", "QgsProcessing.TypeVectorAnyGeometry"),
    "QgsProcessingParameterDefinition.FlagAdvanced",
}
"""Values that QGIS 3.36 calls otherwise; the old name is kept in the class, also with PyQt6."""


def _names(node: ast.AST) -> list[str]:
    """Return the names of a chain of attributes, `[a, b, c]` of `a.b.c`."""
    if isinstance(node, ast.Attribute):
        return [*_names(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]


def _aliases(tree: ast.AST) -> dict[str, list[str]]:
    """Return the chains that names of a module stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            pair = node.targets[0], node.value
            both = all(isinstance(side, ast.Tuple) for side in pair)
            pairs = zip(*(side.elts for side in pair), strict=False) if both else [pair]  # type: ignore[attr-defined]
            for name, value in pairs:
                if isinstance(name, ast.Name) and isinstance(value, ast.Attribute):
                    found[name.id] = _names(value)
    return found


def _unscoped(source: str) -> set[str]:
    """Return values of enums that are not written `Class.Enum.value`, as PyQt6 wants them.

    What only older versions of QGIS run, in the `else` of their version, is left out.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "QGIS_VERSION_INT" in ast.dump(node.test):
            node.orelse = []
    aliases = _aliases(tree)
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    inner |= {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        first, *rest = _names(node)
        chain = [*aliases.get(first, [first]), *rest]
        start = next((i for i, n in enumerate(chain) if re.match(r"Q(t$|gis$|gs|[A-Z])", n)), None)
        members = [] if start is None else chain[start:]
        if len(members) == 2 and members[1][:1].isupper() and not members[1].isupper():
            found.add(".".join(members))
    return found - RENAMED


def test_enums_are_scoped_as_pyqt6_wants_them() -> None:
    found = {path.name: _unscoped(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: values for name, values in found.items() if values} == {}
    wrong = "a = QBox.Yes\nbox = core.QgsFile\nb = f(box.File, Qt.AlignTop, gui.QgsA.B.C)"
    assert _unscoped(f"from x import y\nf(QBox.Yes)\n{wrong}") == {
        "QBox.Yes",
        "QgsFile.File",
        "Qt.AlignTop",
    }


def test_no_name_is_used_that_one_of_qt5_and_qt6_lacks() -> None:
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names |= {alias.name for alias in node.names}
                assert not (node.module or "").startswith(("PyQt", "PySide")), path
        assert not names & (QT5_ONLY | MOVED), path


def test_types_of_columns_are_those_of_the_version_of_qgis() -> None:
    """From QGIS 3.38 on they are of QMetaType; QVariant is named for older versions only."""
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "QGIS_VERSION_INT" in ast.dump(node.test):
                node.orelse = []
        chains = [_names(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
        assert [c for c in chains if c[0] == "QVariant"] == [], path
