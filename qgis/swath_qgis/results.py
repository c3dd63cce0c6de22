"""Results as layers: style, legend, groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis import core

from .texts import FOLDER

_KEPT: list[Any] = []
"""QGIS does not own post-processors that are written in Python."""


class Dressed(core.QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded layer its group, its style, and the words of a column.

    Args:
        group: of the layer tree, made where it is absent; empty for none.
        style: name of a file in `styles`; empty for that beside the layer's file.
        shown: whether the layer is switched on.
        words: what can be written into the column `reference`.
    """

    def __init__(
        self, group: str = "", style: str = "", shown: bool = True, words: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self._group, self._style, self._shown, self._words = group, style, shown, words
        _KEPT.append(self)

    def postProcessLayer(
        self,
        layer: core.QgsMapLayer,
        context: core.QgsProcessingContext,
        feedback: core.QgsProcessingFeedback,
    ) -> None:
        """Do it, in the main thread, when the layer is in the project."""
        beside = Path(layer.source().split("|")[0]).with_suffix(".qml")
        style = FOLDER / "styles" / self._style if self._style else beside
        if style.exists():  # Processing loads none by itself
            layer.loadNamedStyle(str(style))
        if self._words:
            column = layer.fields().lookupField("reference")
            choices = {"map": [{word: word} for word in self._words]}
            layer.setEditorWidgetSetup(column, core.QgsEditorWidgetSetup("ValueMap", choices))
        self._place(layer, context.project() or core.QgsProject.instance())

    def _place(self, layer: core.QgsMapLayer, project: core.QgsProject) -> None:
        root = project.layerTreeRoot()
        node = root.findLayer(layer.id())
        if node is None:
            return
        if self._group:  # also from within it, where QGIS adds what follows on the active layer
            group = root.findGroup(self._group) or root.insertGroup(0, self._group)
            copy = node.clone()
            group.insertChildNode(0 if self._shown else -1, copy)
            node.parent().removeChildNode(node)
            node = copy
        node.setItemVisibilityChecked(self._shown)
        node.setExpanded(self._shown)


def dress(context: core.QgsProcessingContext, path: str, how: Dressed) -> None:
    """Have a result dressed when it is loaded, if it is to be."""
    if context.willLoadLayerOnCompletion(path):
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(how)


def add_result(
    context: core.QgsProcessingContext, beside: str, path: str, name: str, how: Dressed
) -> None:
    """Load a further result, if the one beside it is to be loaded."""
    if context.willLoadLayerOnCompletion(beside):
        details = core.QgsProcessingContext.LayerDetails(name, context.project(), name)
        details.setPostProcessor(how)
        context.addLayerToLoadOnCompletion(path, details)


def load(
    context: core.QgsProcessingContext, feedback: core.QgsProcessingFeedback
) -> list[core.QgsMapLayer]:
    """Load the results of a run that no Processing dialog has started; return their layers."""
    layers = []
    for path, details in context.layersToLoadOnCompletion().items():
        layer = core.QgsProcessingUtils.mapLayerFromString(path, context)
        if layer is None:
            continue
        details.setOutputLayerName(layer)
        details.project.addMapLayer(context.temporaryLayerStore().takeMapLayer(layer))
        if details.postProcessor():
            details.postProcessor().postProcessLayer(layer, context, feedback)
        layers.append(layer)
    return layers
