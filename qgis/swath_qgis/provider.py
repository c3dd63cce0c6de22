"""The Processing provider."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms import labels, maps
from .texts import icon


class SwathProvider(QgsProcessingProvider):
    """Lists the algorithms in the toolbox."""

    def loadAlgorithms(self) -> None:
        for algorithm in (*labels.ALGORITHMS, *maps.ALGORITHMS):
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        return "swath"

    def name(self) -> str:
        return "Swath"

    def icon(self) -> QIcon:
        return icon()
