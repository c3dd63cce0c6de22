"""Swath in QGIS: land-cover maps from a few labels, by the program `swath`."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Make the plugin, as QGIS asks for it."""
    from .plugin import SwathPlugin

    return SwathPlugin(iface)
