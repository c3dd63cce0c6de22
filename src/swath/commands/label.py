"""`swath label`: labels of a scene, and the map that they make, in the browser."""

from __future__ import annotations

import getpass
import os
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from swath.commands.base import command
from swath.commands.view import has_screen, read_classes
from swath.geo.tiling import Window
from swath.io.atomic import file_stamps
from swath.io.vector import crs_code, crs_name
from swath.io.work_folder import user_cache
from swath.metrics.confusion import Scores
from swath.options import LabelOptions
from swath.server.app import create_app
from swath.server.labeling.labels.opening import LabelSource, open_labels
from swath.server.labeling.outputs import Outputs
from swath.server.labeling.quick.color_trainer import ColorTrainer
from swath.server.labeling.quick.feature_cache import FeatureCache
from swath.server.labeling.quick.mapper import QuickMapper
from swath.server.labeling.quick.quick_map import CONFIDENCE, MAP, QuickLayer, QuickMap
from swath.server.labeling.quick.trainer import (
    Features,
    FittedHead,
    HeadScores,
    Samples,
    Trainer,
)
from swath.server.labeling.scene_layer import register_scene
from swath.server.labeling.session import UNKNOWN_AUTHOR, LabelingSession
from swath.server.labeling.view_geometry import ViewGeometry
from swath.server.layer import MapLayer
from swath.server.registry import Registry
from swath.server.security import AccessRules
from swath.server.uvicorn_server import ServedResult, Server

if TYPE_CHECKING:
    from swath.training.quick.scene import SceneClassifier

TORCH = ("torch", "timm", "segmentation_models_pytorch")
"""Packages of the quick recipe."""


class LabelResult(ServedResult):
    """A page for labeling that is served on this machine until `close` is called.

    Attributes:
        labels: path of the GeoPackage.
        features: number of labels in it.
        classes: names of the classes.
        crs: CRS of the labels, None for pixels.
        warnings: sentences on what was mended or added when the labels were opened.
    """

    labels: str
    features: int
    classes: list[str]
    crs: str | None
    warnings: list[str] = []
    _session: LabelingSession = PrivateAttr()

    def close(self) -> None:
        """Stop serving, and close the labels."""
        super().close()
        self._session.close()


@dataclass(frozen=True)
class SessionOptions:
    """How a session is opened; see `LabelOptions` and `LabelSource`."""

    source: LabelSource
    author: str | None = None
    minutes: float = 8.0


@command(LabelOptions)
def label(options: LabelOptions) -> LabelResult:
    """Serve a page that draws labels on a scene; return while it is served.

    Raises:
        DataError: the scene or the labels cannot be read, or only one of them has a CRS.
        UsageError: the class file is wrong, or --from is given for labels that exist.
        JobError: the port is taken, or another process writes the labels.
    """
    registry = Registry()
    scene = Path(options.scene)
    name, files = register_scene(registry, scene)
    source = LabelSource(
        Path(options.labels),
        read_classes(options.classes),
        None if options.from_ is None else Path(options.from_),
        options.label_field,
        options.layer,
        options.labels_crs,
    )
    how = SessionOptions(source, options.author, options.minutes)
    session = open_session(registry, name, scene, files, how)
    try:
        app = create_app(registry, AccessRules(), first=(name, MAP, CONFIDENCE), labeling=session)
        server = Server(app, "127.0.0.1", options.port)
        server.start()
    except BaseException:
        session.close()
        raise
    result = LabelResult(
        url=f"http://127.0.0.1:{server.port}/",
        labels=str(source.path),
        features=len(session.store.snapshot().labels),
        classes=[one.name for one in session.store.classes.all],
        crs=session.crs,
        warnings=list(session.warnings),
    )
    result._server, result._session = server, session
    if options.open and has_screen():
        webbrowser.open(result.url)
    return result


def open_session(
    registry: Registry, name: str, path: Path, files: Sequence[str], options: SessionOptions
) -> LabelingSession:
    """Open the labels of a registered scene, and register the quick map.

    Args:
        registry: what is served.
        name: of the scene in it.
        path: of the scene, as commands name it.
        files: that the scene is read from.
        options: how the session is opened.

    Raises:
        DataError, UsageError, JobError: see `open_labels`.
    """
    layer = registry.layer(name)
    store, crs, warnings = open_labels(options.source, layer.grid)
    try:
        geometry = ViewGeometry(layer.grid, crs, str(store.path))
        quick = QuickMap(layer.grid)
        for made in (MAP, CONFIDENCE):
            shown = QuickLayer(quick, made, lambda: store.classes.legend)
            registry.add_made(made, shown, lambda: f"{quick.version}.{store.classes_revision}")
        trainer = make_trainer(layer)
        scene = f"{path.absolute()}|{file_stamps(files)}"
        cache = FeatureCache(user_cache() / "labeling", lambda: f"{trainer.encoder}|{scene}")
        mapper = QuickMapper(store, geometry, quick, trainer, cache)
        outputs = Outputs(
            path, store.path, store.field, store.layer_name, registry.add, options.minutes
        )
        if isinstance(trainer, ColorTrainer):
            warnings = [*warnings, "The quick map uses colors alone, as torch is not installed."]
        return LabelingSession(
            name,
            layer,
            store,
            geometry,
            None if geometry.crs is None else crs_code(geometry.crs, crs_name(geometry.crs)),
            quick,
            mapper,
            outputs,
            options.author or _user(),
            tuple(warnings),
        )
    except BaseException:
        store.close()
        raise


def make_trainer(layer: MapLayer) -> Trainer:
    """Return the classifier of the quick map: the quick recipe, or colors alone without torch."""
    if any(find_spec(name) is None for name in TORCH):
        return ColorTrainer(layer)
    return QuickTrainer(layer)


class QuickTrainer:
    """The quick recipe as a `Trainer`; torch is loaded in the background.

    Args:
        layer: the scene.
    """

    def __init__(self, layer: MapLayer) -> None:
        self._layer, self._lock = layer, threading.Lock()
        self._made: SceneClassifier | None = None
        threading.Thread(target=self._warm, name="swath-load-torch", daemon=True).start()

    def _warm(self) -> None:
        with suppress(Exception):  # the first training tells it
            self._classifier()

    def _classifier(self) -> SceneClassifier:
        """Return the classifier, which is made once.

        Raises:
            JobError: the weights of the encoder are missing.
        """
        with self._lock:
            if self._made is None:
                from swath.training.quick.scene import SceneClassifier

                layer = self._layer
                rgb = len(layer.bands) == 3 and layer.dtype == np.uint8
                scaling = ((), ()) if rgb else _scaling(layer)
                window = layer.grid.window
                self._made = SceneClassifier(layer, window, len(layer.bands), rgb, scaling)
            return self._made

    @property
    def encoder(self) -> str:
        """Text that names the features."""
        return self._classifier().name

    def features(self, window: Window) -> Features:
        """Compute the features of a window; see `Trainer`."""
        return self._classifier().features(window)

    def sample(
        self, features: Features, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the features of pixels; see `Trainer`."""
        return self._classifier().sample(features, rows, cols)

    def fit(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> FittedHead:
        """Fit a head; see `Trainer`. `report` raises where it is to stop."""
        made = self._classifier()
        return FittedHead(made.fit(*_parts(samples), count, report), made.inputs)

    def validate(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> HeadScores | None:
        """Score by folds; see `Trainer`. `report` raises where it is to stop."""
        found = self._classifier().validate(*_parts(samples), count, report)
        if found is None:
            return None
        iou = Scores.of(np.array(found.confusion)).iou
        by_class = tuple(None if np.isnan(v) else float(v) for v in iou)
        low, high = found.interval or (None, None)
        return HeadScores(found.miou, found.folds, by_class, low, high)

    def predict(self, features: Features, head: FittedHead) -> NDArray[np.uint8]:
        """Return the probability of each class in percent; see `Trainer`."""
        return self._classifier().predict(features, head.content)


def _parts(samples: Samples) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]:
    return samples.values, samples.classes, samples.groups


def _scaling(layer: MapLayer) -> tuple[list[float], list[float]]:
    """Return mean and deviation of each band, from an overview."""
    values, valid = layer.overview()
    if not valid.any():
        return [0.0] * len(values), [1.0] * len(values)
    known = values[:, valid].astype(np.float64)
    return known.mean(axis=1).tolist(), np.maximum(known.std(axis=1), 1e-6).tolist()


def _user() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return os.environ.get("USER") or UNKNOWN_AUTHOR
