"""Make what QGIS's plugin manager installs: `python qgis/package.py [ZIP]`, dist/swath_qgis.zip.

The pictures of the help page are those of the user's page. `python qgis/package.py --texts` writes
the template of translations, swath_qgis/i18n/swath.ts, from the texts in the source.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "swath_qgis"
PICTURES = HERE.parent / "docs" / "pictures" / "qgis"
SKIPPED = {"__pycache__", ".ts"}


def package(target: Path) -> Path:
    """Write the zip; equal sources make equal files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(target, "w") as archive:
        for path in sorted(PLUGIN.rglob("*")):
            if path.is_file() and not {*path.parts, path.suffix} & SKIPPED:
                _add(archive, path, f"swath_qgis/{path.relative_to(PLUGIN).as_posix()}")
        for path in sorted(PICTURES.glob("*.webp")):
            _add(archive, path, f"swath_qgis/help/{path.name}")
    return target


def _add(archive: ZipFile, path: Path, name: str) -> None:
    info = ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    info.compress_type, info.external_attr = ZIP_DEFLATED, 0o644 << 16
    archive.writestr(info, path.read_bytes())


def texts() -> list[str]:
    """Return the texts to translate, in the order of files and lines."""
    found = (text for path in sorted(PLUGIN.rglob("*.py")) for text in _texts_of(path))
    return list(dict.fromkeys(found))


def _texts_of(path: Path) -> Iterator[str]:
    """Yield arguments of `tr`, and titles and helps of algorithms, which it is given later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
            yield from _constants(node.args)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in ("TITLE", "HELP"):
                yield from _constants([node.value])
            elif node.targets[0].id == "TEXTS" and isinstance(node.value, ast.Dict):
                yield from _constants([pair.elts[1] for pair in node.value.values])  # type: ignore


def _constants(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def template() -> str:
    """Return the template of translations in Qt's format."""
    root = ET.Element("TS", {"version": "2.1"})
    context = ET.SubElement(root, "context")
    ET.SubElement(context, "name").text = "Swath"
    for text in texts():
        message = ET.SubElement(context, "message")
        ET.SubElement(message, "source").text = text
        ET.SubElement(message, "translation", {"type": "unfinished"})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


if __name__ == "__main__":
    if "--texts" in sys.argv:
        (PLUGIN / "i18n" / "swath.ts").write_text(template(), encoding="utf-8")
    else:
        default = HERE.parent / "dist" / "swath_qgis.zip"
        package(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
