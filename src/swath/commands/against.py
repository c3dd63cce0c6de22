"""`swath inspect --against MODEL IMAGE`: how unlike a model's training data an image is, before it is mapped."""

from __future__ import annotations

from pathlib import Path

from swath.checks.scan import examine
from swath.data.layouts import SourceSample
from swath.errors import ModelError, UsageError
from swath.evaluation.ood import ood_distance
from swath.io.raster import Raster
from swath.mapping.inputs import InputImage, find_stack
from swath.models.model import Model
from swath.options import InspectOptions
from swath.types import Finding, Result


class BandComparison(Result):
    """One band: range and mean of the image, and range and mean of the training data (`known_*`)."""

    name: str
    mean: float
    low: float
    high: float
    known_mean: float
    known_low: float
    known_high: float


class OodResult(Result):
    """How unlike the training data an image is.

    Attributes:
        distance: 1 is usual among the training images; None where the image has other bands, or no
            data.
        threshold: the distance of the training group that is least like all others; beyond it,
            expect a worse map.
        bands: statistics band by band.
    """

    distance: float | None
    threshold: float
    bands: list[BandComparison]


def compare_with_training(options: InspectOptions) -> tuple[OodResult, list[str], list[Finding]]:
    """Compare an image with the training data of a model.

    Returns:
        The likeness, names of the image's bands, and findings.

    Raises:
        ModelError: the model is damaged, or does not know what its training data were like.
        DataError: the image is damaged.
        UsageError: the source is a folder in which the bands are not found.
    """
    model = Model(str(options.against))
    card = model.card
    if card.ood is None:
        raise ModelError(
            "it does not know what its training data were like",
            file=model.path,
            fix="Train it again",
        )
    path = Path(options.source)
    names = card.image_bands
    if path.is_dir() and not options.images:
        images = tuple(find_stack(path, names))
    elif path.is_dir():
        raise UsageError(
            "--against takes one image", fix="Give the image, or the folder of its bands, as SOURCE"
        )
    else:
        images = (path,)
    found = examine(SourceSample(path.stem, images, None), "code", None)
    if isinstance(found, Finding):
        return OodResult(distance=None, threshold=card.ood.threshold, bands=[]), [], [found]
    fact = found.image
    findings = []
    if len(fact.bands) != len(names):
        findings.append(
            Finding(
                "error",
                "other-bands",
                str(path),
                f"It has {len(fact.bands)} band(s), and the model takes {len(names)} ({', '.join(names)}).",
                "Give an image with these bands.",
            )
        )
        return (
            OodResult(distance=None, threshold=card.ood.threshold, bands=[]),
            list(fact.bands),
            findings,
        )
    if str(fact.dtype) != card.dtype:
        findings.append(
            Finding(
                "warning",
                "other-type",
                str(path),
                f"It is {fact.dtype}, and the model was taught with {card.dtype}.",
                "Bring it to the training data's type and scale.",
            )
        )
    with InputImage(Raster(images, names), latitude=card.latitude) as image:
        far, _ = ood_distance(image, model.predictor, card.ood)
    if far > card.ood.threshold:
        findings.append(
            Finding(
                "warning",
                "unlike-training",
                str(path),
                f"It is unlike the training data: at a distance of {far:.3g}, where no training group is further than "
                f"{card.ood.threshold:.3g} from all others.",
                "Check bands, their order and scale; if they are right, expect a worse map, and label some of this ground.",
            )
        )
    bands = [
        BandComparison(
            name=name,
            mean=s.mean,
            low=s.low,
            high=s.high,
            known_mean=b.fill,
            known_low=b.min,
            known_high=b.max,
        )
        for name, s, b in zip(fact.bands, fact.stats, card.bands, strict=False)
    ]
    return (
        OodResult(distance=far, threshold=card.ood.threshold, bands=bands),
        list(fact.bands),
        findings,
    )
