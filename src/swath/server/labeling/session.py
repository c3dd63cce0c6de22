"""Labeling of one scene: labels, the quick map, and what is made of both, for the routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import SwathError, as_sentence
from swath.geo.tiling import Window
from swath.server.labeling import advice, areas
from swath.server.labeling.bodies import MAX_BYTES, MAX_FEATURES, FeatureBody
from swath.server.labeling.labels.class_table import MAX_NAME, LabelClass
from swath.server.labeling.labels.label_store import Label, LabelStore, NewLabel
from swath.server.labeling.outputs import Kind, Outputs
from swath.server.labeling.quick.mapper import QuickMapper, ScoredRound
from swath.server.labeling.quick.quick_map import CONFIDENCE, MAP, MAX_BLOCKS, QuickMap
from swath.server.labeling.refusal import Refused
from swath.server.labeling.view_geometry import MAX_POINTS, ViewGeometry
from swath.server.layer import MapLayer

UNKNOWN_AUTHOR = "unknown"


@dataclass(frozen=True)
class LabelingSession:
    """What the routes need.

    Attributes:
        scene: name of the scene's layer.
        layer: the scene.
        store: the labels.
        geometry: of scene and labels.
        crs: code or name of the labels' CRS, None for pixels.
        quick: the quick map.
        mapper: what trains it.
        outputs: what makes files.
        author: of changes that name none.
        warnings: sentences to show once.
    """

    scene: str
    layer: MapLayer
    store: LabelStore
    geometry: ViewGeometry
    crs: str | None
    quick: QuickMap
    mapper: QuickMapper
    outputs: Outputs
    author: str
    warnings: tuple[str, ...] = ()

    def close(self) -> None:
        """Stop all work, and close the labels."""
        self.outputs.close()
        self.mapper.close()
        self.store.close()

    def author_of(self, given: str | None) -> str:
        """Return the author of a change, as it is stored."""
        text = " ".join(given.split()) if given else self.author
        return "".join(c for c in text if c.isprintable())[:MAX_NAME] or UNKNOWN_AUTHOR

    def state(self, author: str) -> dict[str, Any]:
        """Describe what the page needs at its start."""
        return {
            "scene": self.scene,
            "labels": self.store.path.name,
            "author": author,
            "crs": self.crs,
            **self.class_list(),
            "layers": {"map": MAP, "confidence": CONFIDENCE},
            "bands": list(self.layer.bands),
            "shown": [i + 1 for i in self.layer.shown],
            "limits": {
                "points": MAX_POINTS,
                "features": MAX_FEATURES,
                "body_bytes": MAX_BYTES,
                "name": MAX_NAME,
            },
            **self.steps(author),
            "warnings": list(self.warnings),
        }

    def class_list(self) -> dict[str, Any]:
        """Describe the classes with their number of labels."""
        snapshot, counts = self.store.snapshot(), self._counts()
        rows = [
            {"code": c.code, "name": c.name, "color": c.color, "labels": counts.get(c.code, 0)}
            for c in self.store.classes.all
        ]
        return {
            "classes": rows,
            "classes_revision": self.store.classes_revision,
            "revision": snapshot.revision,
        }

    def steps(self, author: str) -> dict[str, Any]:
        """Return whether an author can undo and redo, and the revision."""
        return {
            "can_undo": self.store.can(author, "undo"),
            "can_redo": self.store.can(author, "redo"),
            "revision": self.store.revision,
        }

    def _counts(self) -> dict[int | None, int]:
        counts: dict[int | None, int] = {}
        for label in self.store.snapshot().labels:
            counts[label.code] = counts.get(label.code, 0) + 1
        return counts

    def features(self, labels: Sequence[Label]) -> list[dict[str, Any]]:
        """Return labels as GeoJSON features in degrees of the page."""
        shapes = self.geometry.to_view([label.geometry for label in labels])
        return [
            {
                "type": "Feature",
                "id": label.fid,
                "geometry": shape,
                "properties": {
                    "class": label.name,
                    "code": label.code,
                    "author": label.author,
                    "time": label.time,
                    "source": label.source,
                },
            }
            for label, shape in zip(labels, shapes, strict=True)
        ]

    def new_labels(self, bodies: Sequence[FeatureBody]) -> list[NewLabel]:
        """Check labels that a client sends.

        Raises:
            Refused: there are too many, or one cannot be used.
        """
        if len(bodies) > MAX_FEATURES:
            message = f"A request has at most {MAX_FEATURES} features"
            raise Refused(message, code="too-many-features", status=413, fix="Send several")
        return [
            NewLabel(
                self.geometry.to_layer(body.geometry, body.radius),
                self.code_of(body.class_, body.code),
                body.source,
                body.key,
            )
            for body in bodies
        ]

    def code_of(self, name: str | None, code: int | None) -> int:
        """Return the code of a class by its name or code.

        Raises:
            Refused: there is no such class.
        """
        if code is not None:
            return self.store.classes.by_code(code).code
        one = self.store.classes.by_name(name or "")
        if one is None:
            message = f"There is no class {(name or '')[:MAX_NAME]!r}"
            raise Refused(message, code="unknown-class", status=404, fix="Add the class first")
        return one.code

    def conflicts(self) -> list[dict[str, Any]]:
        """Describe overlaps of labels of different classes."""
        snapshot = self.store.snapshot()
        shapes = self.geometry.to_pixels(snapshot.geometries)
        return [
            {
                "ids": list(one.fids),
                "classes": list(one.classes),
                "bounds": self.geometry.view_bounds(one.overlap),
                "pixels": round(one.overlap.area),
            }
            for one in advice.conflicts(snapshot, shapes)
        ]

    def places(self, count: int) -> list[dict[str, Any]]:
        """Describe the places whose labels would help most.

        Raises:
            Refused: there is no quick map yet.
        """
        number = self._round()
        shapes = self.geometry.to_pixels(self.store.snapshot().geometries)
        labeled = [s for s in shapes if s is not None]
        names = {c.code: c.name for c in self.store.classes.all}
        out = []
        for place in advice.suggest(self.quick, number, labeled, count):
            west, south, east, north = self.geometry.bounds_of(place.window)
            out.append(
                {
                    "bounds": [west, south, east, north],
                    "center": [(west + east) / 2, (south + north) / 2],
                    "class": names.get(place.code),
                    "code": place.code,
                    "confidence": place.confidence,
                    "reason": f"confidence {place.confidence} %",
                }
            )
        return out

    def _round(self) -> int:
        if self.mapper.round is None:
            message = "There is no quick map yet"
            raise Refused(message, code="no-map", status=409, fix="Train first")
        return self.mapper.round.number

    def accepted(
        self, geojson: Any, codes: Sequence[int] | None, min_confidence: int
    ) -> list[NewLabel]:
        """Return parts of the quick map as labels.

        Raises:
            Refused: there is no map, or nothing of it in the area.
        """
        self._round()
        area = self.geometry.to_scene(geojson)
        if area.geom_type not in ("Polygon", "MultiPolygon"):
            raise Refused("An area is a polygon", code="geometry-invalid")
        known = {c.code for c in self.store.classes.all}
        parts = areas.accepted(self.quick, area, codes, min_confidence)
        parts = [(shape, code) for shape, code in parts if code in known]
        shapes = self.geometry.from_scene([shape for shape, _ in parts])
        return [
            NewLabel(shape, code, "accepted")
            for shape, (_, code) in zip(shapes, parts, strict=True)
        ]

    def object_at(self, point: tuple[float, float], tolerance: float) -> dict[str, Any]:
        """Describe the object at a point.

        Raises:
            Refused: the point lies outside, or has no data.
        """
        place = self.geometry.to_scene({"type": "Point", "coordinates": list(point)})
        shape = areas.object_at(self.layer, place.x, place.y, tolerance)
        geometry = self.geometry.pixels_to_view([shape])[0]
        return {"geometry": geometry, "pixels": round(shape.area)}

    def make(self, kind: Kind) -> None:
        """Start to make a model file, a map and polygons from the labels.

        Raises:
            Refused: labels of two classes are needed, or something is made already.
        """
        self.mapper.check_classes()
        self.outputs.start(kind, self.store.classes.all)

    def commands(self) -> list[str]:
        """Return what `finish` does as commands of the shell."""
        return [call.shell for call in self.outputs.calls("finish")]

    def status(self, view: Window | None = None) -> dict[str, Any]:
        """Describe what is done now, and how good the map is.

        Args:
            view: of the page that asks; the version of the map is that of its blocks.
        """
        mapper, progress, now = self.mapper, self.mapper.progress, self.mapper.round
        number = now.number if now else 0
        revision, outcome = self.store.revision, self.outputs.outcome
        history = mapper.history
        return {
            "busy": mapper.busy,
            "phase": progress.phase,
            "progress": round(progress.share, 3),
            "error": _error(progress.error),
            "round": number,
            "stale": now is not None and now.revision != revision,
            "seconds": {name: round(value, 2) for name, value in progress.seconds.items()},
            "map": self._map_status(number, view),
            "score": _score(history),
            "features": now.head.inputs if now else None,
            "classes": self._class_status(number, history),
            "revision": revision,
            "classes_revision": self.store.classes_revision,
            "job": outcome.as_json() if outcome else None,
        }

    def _map_status(self, number: int, seen: Window | None) -> dict[str, Any]:
        view, total = self.mapper.view_blocks()
        done, count = self.quick.mapped(number), len(self.quick.mosaic.cores)
        return {
            "version": self.quick.version if seen is None else self.quick.version_of(seen),
            "view": {
                "done": sum(i in done for i in view),
                "total": len(view),
                "capped": total > len(view),
            },
            "all": {"done": len(done), "total": count, "limit": min(count, MAX_BLOCKS)},
        }

    def _class_status(self, number: int, history: Sequence[ScoredRound]) -> list[dict[str, Any]]:
        now, counts = self.mapper.round, self._counts()
        shares = self.quick.shares(number)
        last, before = ({}, {}, *(one.by_code for one in history))[-1:-3:-1]
        rows = []
        for one in self.store.classes.all:
            labels, pixels = counts.get(one.code, 0), now.pixels.get(one.code, 0) if now else 0
            score, old = last.get(one.code), before.get(one.code)
            need, reason = advice.need_of(labels, pixels if now else None, score, old)
            rows.append(
                {
                    **_as_json(one),
                    "labels": labels,
                    "pixels": pixels,
                    "score": _rounded(score),
                    "before": _rounded(old),
                    "need": need,
                    "reason": reason,
                    "share": shares.get(one.code, 0.0) if now else None,
                }
            )
        return rows


def _as_json(one: LabelClass) -> dict[str, Any]:
    return {"code": one.code, "name": one.name, "color": one.color}


def _error(error: SwathError | None) -> dict[str, str] | None:
    """Describe an error without a path of this machine."""
    if error is None:
        return None
    file = f"{Path(error.file).name}: " if error.file else ""
    fix = f" {as_sentence(error.fix)}" if error.fix else ""
    return {"detail": f"{file}{as_sentence(error.message)}{fix}", "code": error.code}


def _score(history: Sequence[ScoredRound]) -> dict[str, Any] | None:
    """Describe the scores of the last training that was scored; None where it has none."""
    if not history or history[-1].scores is None:
        return None
    scores = [one.scores for one in history if one.scores is not None]
    last = scores[-1]
    return {
        "round": history[-1].number,
        "miou": round(last.miou, 4),
        "low": last.low,
        "high": last.high,
        "before": round(scores[-2].miou, 4) if len(scores) > 1 else None,
        "folds": last.folds,
        "history": [round(one.miou, 4) for one in scores],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
