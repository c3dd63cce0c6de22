"""Translation of texts."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

FOLDER = Path(__file__).parent


def tr(text: str) -> str:
    """Translate a text of the plugin."""
    return QCoreApplication.translate("Swath", text)


def icon() -> QIcon:
    """Return the icon of the plugin."""
    return QIcon(str(FOLDER / "icon.svg"))
