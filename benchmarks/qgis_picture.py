"""Draw a map as QGIS does, with the style beside it, and print QGIS's legend.

Usage, with Debian's python3-qgis: QT_QPA_PLATFORM=offscreen /usr/bin/python3
benchmarks/qgis_picture.py MAP.tif PICTURE.png
"""

from __future__ import annotations

import sys
from typing import Any

from usage import arguments


def main(path: str, picture: str) -> None:
    """Draw the map, 700 pixels wide."""
    from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRasterLayer
    from qgis.PyQt.QtCore import QSize

    app = QgsApplication([], False)
    app.initQgis()
    layer: Any = QgsRasterLayer(path, "map")
    assert layer.isValid(), path
    renderer = layer.renderer()
    sys.stdout.write(f"renderer: {renderer.type()}\n")
    for entry in renderer.classes():
        sys.stdout.write(f"  {entry.value:g} {entry.label} {entry.color.name()}\n")
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(700, round(700 * layer.height() / layer.width())))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(picture)
    app.exitQgis()


if __name__ == "__main__":
    main(*arguments(__doc__, 2, 2))
