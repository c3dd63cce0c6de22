"""The routes of labeling, below `/label`; they exist only where labeling is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from swath.server.labeling.bodies import (
    AcceptBody,
    Body,
    ChangeBody,
    ClassBody,
    ClassChangeBody,
    FeaturesBody,
    IdsBody,
    ObjectBody,
    OrderBody,
    ViewBody,
    json_body,
    parsed,
)
from swath.server.labeling.labels.change_log import Direction
from swath.server.labeling.labels.label_store import Label, NewLabel
from swath.server.labeling.outputs import Kind
from swath.server.labeling.session import LabelingSession

Content: TypeAlias = Annotated[Any, Depends(json_body)]
Author: TypeAlias = Annotated[str | None, Query(max_length=60)]
Revision: TypeAlias = Annotated[str | None, Query(max_length=60)]
Count: TypeAlias = Annotated[int, Query(ge=1, le=20)]
View: TypeAlias = Annotated[
    list[float] | None,
    Query(min_length=4, max_length=4, description="West, south, east, north in degrees."),
]


def make_label_router(session: LabelingSession) -> APIRouter:
    """Make the routes of a session."""
    routes = APIRouter(prefix="/label", tags=["Labels"])
    _add_features(routes, session)
    _add_steps(routes, session)
    _add_classes(routes, session)
    _add_training(routes, session)
    _add_areas(routes, session)
    _add_outputs(routes, session)
    return routes


def _add_features(routes: APIRouter, session: LabelingSession) -> None:
    store = session.store

    @routes.get("/state")
    def state(author: Author = None) -> Response:
        """Describe scene, labels, classes and limits."""
        return JSONResponse(session.state(session.author_of(author)))

    @routes.get("/features")
    def features(since: Revision = None) -> Response:
        """Return labels as GeoJSON; with `since`, what changed after that revision."""
        snapshot, labels, deleted, full = store.since(since)
        return JSONResponse(
            {
                "type": "FeatureCollection",
                "features": session.features(labels),
                "deleted": deleted,
                "full": full,
                "revision": snapshot.revision,
            }
        )

    @routes.post("/features", status_code=201)
    def add(content: Content) -> Response:
        """Store labels, in one transaction."""
        body = parsed(FeaturesBody, content)
        return _added(session, session.new_labels(body.features), body)

    @routes.patch("/features/{fid}")
    def change(fid: int, content: Content) -> Response:
        """Change the geometry or the class of a label."""
        body = parsed(ChangeBody, content)
        shape = None if body.geometry is None else session.geometry.to_layer(body.geometry)
        named = body.class_ is not None or body.code is not None
        code = session.code_of(body.class_, body.code) if named else None
        author = session.author_of(body.author)
        label, conflict = store.change(fid, shape, code, body.seen, author)
        return _changed(session, [label], author, conflict=conflict)

    @routes.post("/features/delete")
    def delete(content: Content) -> Response:
        """Delete labels, in one transaction."""
        body = parsed(IdsBody, content)
        author = session.author_of(body.author)
        deleted = store.delete(body.ids, author)
        return JSONResponse({"deleted": deleted, **session.steps(author)})


def _add_steps(routes: APIRouter, session: LabelingSession) -> None:
    def step(content: Any, direction: Direction) -> Response:
        author = session.author_of(parsed(Body, content).author)
        labels, deleted = session.store.step(author, direction)
        return _changed(session, labels, author, deleted=deleted)

    @routes.post("/undo")
    def undo(content: Content) -> Response:
        """Undo the author's last change of labels."""
        return step(content, "undo")

    @routes.post("/redo")
    def redo(content: Content) -> Response:
        """Redo the author's change of labels that was undone last."""
        return step(content, "redo")

    @routes.get("/conflicts")
    def conflicts() -> Response:
        """List overlaps of labels of different classes, the largest first."""
        return JSONResponse({"conflicts": session.conflicts()})


def _add_classes(routes: APIRouter, session: LabelingSession) -> None:
    store = session.store

    @routes.post("/classes", status_code=201)
    def add_class(content: Content) -> Response:
        """Add a class."""
        body = parsed(ClassBody, content)
        store.add_class(body.name, body.color, body.code)
        return JSONResponse(session.class_list(), 201)

    @routes.put("/classes/order")
    def order_classes(content: Content) -> Response:
        """Put the classes into an order."""
        store.order_classes(parsed(OrderBody, content).codes)
        return JSONResponse(session.class_list())

    @routes.patch("/classes/{code}")
    def change_class(code: int, content: Content) -> Response:
        """Rename or recolor a class."""
        body = parsed(ClassChangeBody, content)
        store.change_class(code, body.name, body.color)
        return JSONResponse(session.class_list())

    @routes.delete("/classes/{code}")
    def remove_class(
        code: int, labels: Literal["keep", "delete"] = "keep", author: Author = None
    ) -> Response:
        """Delete a class; `labels=delete` deletes its labels too."""
        store.remove_class(code, labels == "delete", session.author_of(author))
        return JSONResponse(session.class_list())


def _add_training(routes: APIRouter, session: LabelingSession) -> None:
    @routes.post("/train", status_code=202)
    def train(content: Content) -> Response:
        """Train on all labels, and map the view first."""
        body = parsed(ViewBody, content)
        view = session.geometry.window_of(body.view)
        session.mapper.train(view)
        return JSONResponse(session.status(view), 202)

    @routes.post("/view", status_code=204)
    def view(content: Content) -> None:
        """Map a view first."""
        body = parsed(ViewBody, content)
        session.mapper.look(session.geometry.window_of(body.view))

    @routes.post("/stop")
    def stop(content: Content) -> Response:
        """Give up training and mapping."""
        parsed(Body, content)
        session.mapper.stop()
        return JSONResponse(session.status())

    @routes.get("/status")
    def status(view: View = None) -> Response:
        """Describe what is done now, and how good the map is."""
        window = None if view is None else session.geometry.window_of(view)
        return JSONResponse(session.status(window))

    @routes.get("/suggestions")
    def suggestions(count: Count = 3) -> Response:
        """List places whose labels would help most."""
        return JSONResponse({"places": session.places(count)})


def _add_areas(routes: APIRouter, session: LabelingSession) -> None:
    @routes.post("/accept", status_code=201)
    def accept(content: Content) -> Response:
        """Store what the quick map has in an area as labels."""
        body = parsed(AcceptBody, content)
        labels = session.accepted(body.geometry, body.codes, body.min_confidence)
        return _added(session, labels, body)

    @routes.post("/object")
    def object_at(content: Content) -> Response:
        """Return the connected region of pixels like the one at a point; nothing is stored."""
        body = parsed(ObjectBody, content)
        return JSONResponse(session.object_at(body.point, body.tolerance))


def _add_outputs(routes: APIRouter, session: LabelingSession) -> None:
    def start(content: Any, kind: Kind) -> Response:
        parsed(Body, content)
        session.make(kind)
        return JSONResponse(session.status(), 202)

    @routes.post("/finish", status_code=202)
    def finish(content: Content) -> Response:
        """Write the model file, the map and its polygons beside the labels."""
        return start(content, "finish")

    @routes.post("/longer", status_code=202)
    def longer(content: Content) -> Response:
        """Train the full recipe in the background, and map with it."""
        return start(content, "longer")

    @routes.post("/job/cancel")
    def cancel(content: Content) -> Response:
        """Stop what `finish` or `longer` started."""
        parsed(Body, content)
        session.outputs.cancel()
        return JSONResponse(session.status())

    @routes.get("/commands")
    def commands() -> Response:
        """List what `finish` does as commands of the shell."""
        return JSONResponse({"commands": session.commands()})


def _added(session: LabelingSession, labels: Sequence[NewLabel], body: Body) -> Response:
    author = session.author_of(body.author)
    return _changed(session, session.store.add(labels, author), author, 201)


def _changed(
    session: LabelingSession,
    labels: Sequence[Label],
    author: str,
    status: int = 200,
    **more: Any,
) -> Response:
    content = {"features": session.features(labels), **more, **session.steps(author)}
    return JSONResponse(content, status)
