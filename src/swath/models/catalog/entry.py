"""What is listed of a model."""

from __future__ import annotations

from swath.models.card import Card
from swath.types import Result


class ListedModel(Result):
    """A model that a folder or a catalog lists.

    Attributes:
        name: by which it is fetched: the name of its file, or the id of its item.
        file: path or address of the model file.
        bands: names of the bands that an image has.
        classes: code of each class in maps, by name.
        gsd: ground sampling distance that images are scaled to, in meters; None if they are not.
        license: None where none is named.
        scores: mean IoU, 0..1, on the `validation` split, or on `folds` that were held out in turn.
        bytes: size of the file; None where the catalog does not tell.
        sha256: of the file; None where the catalog does not tell.
    """

    name: str
    file: str
    bands: list[str]
    classes: dict[str, int]
    gsd: float | None
    license: str | None
    scores: dict[str, float]
    bytes: int | None
    sha256: str | None

    @classmethod
    def of_card(
        cls,
        card: Card,
        name: str,
        file: str,
        license: str | None,
        size: int | None,
        sha256: str | None,
    ) -> ListedModel:
        """Return what is listed of a model with this card."""
        own = None if card.imported is None else card.imported.license
        scores = {
            "validation": None if card.training is None else card.training.validation_miou,
            "folds": None if card.folds is None else card.folds.miou,
        }
        return cls(
            name=name,
            file=file,
            bands=card.image_bands,
            classes={c.name: c.map_code for c in card.legend.trained},
            gsd=card.mapped_gsd,
            license=license or own,
            scores={kind: score for kind, score in scores.items() if score is not None},
            bytes=size,
            sha256=sha256,
        )
