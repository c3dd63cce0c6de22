"""Random images of known numbers, and networks whose classes are spread over them.

The right map is worked out by numpy from the numbers that were drawn, never read back from files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine

from swath.options import PredictOptions
from tests.make import write_model, write_raster

OPTIONS = frozenset(PredictOptions.__dataclass_fields__)

MIN_SHARE = 0.08
"""Least share of the pixels that each class has in a right map."""

TOLERANCE = 1e-5
"""Relative error of scores that float32 may make."""


@dataclass(frozen=True)
class Unit:
    """Numbers of a kind of images: types that hold them, and their range in the first band."""

    dtypes: tuple[str, ...]
    low: float
    high: float


UNITS = {
    "bytes": Unit(("uint8",), 12, 230),
    "reflectance": Unit(("uint16", "int16", "int32", "float32", "uint32", "float64"), 150, 4200),
    "fraction": Unit(("float32", "float64"), 0.012, 0.46),
    "decibels": Unit(("float32",), -26, -1.5),
    "centibels": Unit(("int16", "int32"), -2600, -150),
    "kelvin": Unit(("float32", "float64"), 251, 316),
    "full range": Unit(("uint16",), 2100, 61_000),
    "signed": Unit(("int8", "int16", "float32"), -95, 100),
}

S2_NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")
COMMON = ("blue", "green", "red", "nir", "swir16", "swir22")

CRSES = ("EPSG:32632", "EPSG:32733", "EPSG:3035", "EPSG:4326")
ENGINEERING = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "strips": (".tif", {}),
    "tiles": (".tif", {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}),
    "planar": (".TIF", {"interleave": "band", "compress": "lzw"}),
    "pixels": (".tiff", {"interleave": "pixel", "compress": "zstd"}),
    "big": (".tif", {"BIGTIFF": "YES", "interleave": "band"}),
    "cog": (".tif", {"driver": "COG", "BLOCKSIZE": 128}),
    "erdas": (".img", {"driver": "HFA"}),
    "envi": (".dat", {"driver": "ENVI"}),
    "pcidsk": (".pix", {"driver": "PCIDSK"}),
    "png": (".png", {"driver": "PNG"}),
    "bmp": (".bmp", {"driver": "BMP"}),
    "jp2": (".jp2", {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}),
    "webp": (".webp", {"driver": "WEBP", "LOSSLESS": "YES"}),
    "jpeg": (".jpg", {"driver": "JPEG", "QUALITY": 100}),
    "jpeg in tiff": (".tif", {"compress": "jpeg", "JPEG_QUALITY": 100, "interleave": "pixel"}),
}
"""Ending and profile of the files that hold an image."""

LOSSY = ("jpeg", "jpeg in tiff")
GEOTIFFS = ("strips", "tiles", "planar", "pixels", "big", "cog")
HOLDS = {
    "png": (("uint8", "uint16"), (1, 3)),
    "bmp": (("uint8",), (1, 3)),
    "jp2": (("uint8", "uint16", "int16"), (1, 3, 5)),
    "webp": (("uint8",), (3,)),
    "jpeg": (("uint8",), (1, 3)),
    "jpeg in tiff": (("uint8",), (1, 3)),
    "envi": (("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"), range(1, 9)),
    "pcidsk": (("uint8", "int16", "uint16", "float32"), range(1, 9)),
}
"""Types and numbers of bands of formats that do not hold all."""

NO_PLACE = ("bmp", "webp")


@dataclass(frozen=True)
class Answer:
    """A right map.

    Attributes:
        classes: codes (rows, columns), 0 without data.
        sure: pixels whose class rounding cannot change.
        said: pattern of a warning that has to be given besides.
    """

    classes: NDArray[np.uint8]
    sure: NDArray[np.bool_]
    said: str | None = None


@dataclass
class Case:
    """An image that was written, how it is to be mapped, and what is right.

    Attributes:
        image: argument of `predict`; None with --stack.
        answers: maps that are right; none where the image has to be refused, or a warning given.
        about: pattern of warnings that announce a map that is not right.
        plain: whether the image is in order, so that it may not be refused, nor warned of.
        many: whether the maps are written to a folder.
        needs: options of `predict`, and fields of the card, without which there is no such case.
        crs: of the map.
        transform: of the map; None where it is not told.
    """

    seed: int
    root: Path
    trap: str
    container: str = "strips"
    unit: str = ""
    model: Path = Path()
    image: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    about: str = "."
    plain: bool = False
    many: bool = False
    needs: set[str] = field(default_factory=set)
    crs: Any = None
    transform: Affine | None = None

    @property
    def label(self) -> str:
        """Trap, container and numbers in words."""
        return f"{self.trap} / {self.container} / {self.unit}"


Values = NDArray[np.float64]
NUMBERS = r"trained with"
NO_DATA = r"no data|nodata|No pixel|trained with"


class Maker:
    """Draws an image of known numbers, and a network whose classes are spread over it.

    Args:
        case: the case to fill in.
        unit: kind of numbers; drawn by default.
        count: number of bands; drawn by default.
        dtype: type of the files; drawn by default.
        side: rows and columns; drawn by default.
    """

    def __init__(
        self,
        case: Case,
        unit: Sequence[str] = tuple(UNITS),
        count: Sequence[int] = (1, 2, 3, 3, 4, 5),
        dtype: Sequence[str] | None = None,
        side: tuple[int, int] | None = None,
    ) -> None:
        self.case = case
        self.rng = np.random.default_rng([case.seed, 20_26])
        case.unit = self.pick(unit)
        kind = UNITS[case.unit]
        self.count = int(self.pick(count))
        self.dtype = np.dtype(self.pick(dtype or kind.dtypes))
        self.height, self.width = side or tuple(int(n) for n in self.rng.integers(48, 97, 2))
        self.values = self._numbers(kind)
        self.valid = np.ones((self.height, self.width), bool)
        self._network()
        self.names: Sequence[str] | None = None  # of the image
        self.model_names: Sequence[str] | None = None
        self.model_values = self.values  # those that the card tells of
        self.model_dtype = str(self.dtype)
        self.card: dict[str, Any] = {}
        self._place()
        self._name()

    def pick(self, choices: Sequence[Any]) -> Any:
        """Draw one of several."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """Draw whether something is so."""
        return bool(self.rng.random() < share)

    def _numbers(self, kind: Unit) -> Values:
        """Draw numbers (bands, rows, columns) that the type holds exactly."""
        out = np.empty((self.count, self.height, self.width))
        span = kind.high - kind.low
        for band in range(self.count):
            low = kind.low + span * 0.06 * self.rng.random()
            high = kind.high - span * 0.25 * self.rng.random()
            blotches = self.rng.random((9, 9)).repeat(11, 0).repeat(11, 1)
            grain = self.rng.random((self.height, self.width))
            out[band] = low + (high - low) * (
                0.85 * blotches[: self.height, : self.width] + 0.15 * grain
            )
        if self.dtype.kind in "iu":
            return np.rint(out)
        return out.astype(np.float32).astype(np.float64)

    def _network(self) -> None:
        """Draw weights so that each band counts and each class has its share."""
        mean, std = self.values.mean((1, 2)), self.values.std((1, 2))
        for _ in range(200):
            signs = np.where(self.rng.random((3, self.count)) < 0.5, -1, 1)
            weights = signs * self.rng.uniform(0.6, 1.6, (3, self.count)) / std
            self.weights = weights.astype(np.float32).astype(np.float64)
            self.bias = (self.rng.normal(0, 0.3, 3) - weights @ mean).astype(np.float32)
            shares = np.bincount(self.scores(self.values).argmax(0).ravel(), minlength=3)
            if shares.min() > MIN_SHARE * self.height * self.width:
                return
        raise RuntimeError(f"No network for seed {self.case.seed}")

    def scores(self, values: Values) -> Values:
        """Return the scores (classes, rows, columns) of numbers."""
        out: Values = np.einsum("cb,bij->cij", self.weights, values) + self.bias[:, None, None]
        return out

    def answer(
        self,
        values: Values | None = None,
        valid: NDArray[np.bool_] | None = None,
        error: float = 0.0,
        said: str | None = None,
    ) -> Answer:
        """Return the map of numbers that may differ by an error."""
        values = self.values if values is None else values
        valid = self.valid if valid is None else valid
        values = np.where(np.isfinite(values), values, 0)
        scores = self.scores(values)
        best = np.sort(scores, axis=0)
        size = (np.abs(self.weights)[:, :, None, None] * np.abs(values)).sum(1).max(0)
        slack = TOLERANCE * (size + np.abs(self.bias).max())
        slack = slack + 2 * error * np.abs(self.weights).sum(1).max()
        classes = np.where(valid, scores.argmax(0) + 1, 0).astype(np.uint8)
        return Answer(classes, ~valid | (best[2] - best[1] > slack), said)

    def right(self, plain: bool = True, **more: Any) -> None:
        """Add an answer to the case; see `answer`."""
        self.case.answers.append(self.answer(**more))
        self.case.plain = plain

    def _place(self) -> None:
        """Draw where the image lies."""
        self.crs: Any = self.pick((*CRSES, CRSES[0], None))
        size, corner = 10.0, (500_000.0, 5_600_000.0)
        if self.crs == "EPSG:4326":
            size, corner = 1e-4, (11.2, 50.4)
        if self.crs == "EPSG:3035":
            corner = (4_300_000.0, 3_000_000.0)
        self.transform: Affine | None = Affine(size, 0, corner[0], 0, -size, corner[1])
        if self.crs is None and self.chance(0.5):
            self.transform = None

    def utm(self) -> None:
        """Put the image into UTM zone 32."""
        self.crs, self.transform = CRSES[0], Affine(10, 0, 500_000, 0, -10, 5_600_000)

    def _name(self) -> None:
        """Draw names that need no care: none on a side, or the same on both."""
        known = self.pick((S2_NAMES, COMMON))[: self.count]
        kind = self.pick(("none", "image", "model", "both", "numbers"))
        if kind in ("image", "both"):
            self.names = known
        if kind in ("model", "both"):
            self.model_names = known
        if kind == "numbers":
            self.names = [f"Band {i}" for i in range(1, self.count + 1)]

    def formats(self, among: Sequence[str] = tuple(FORMATS)) -> list[str]:
        """Return the formats that hold the image."""
        out = []
        for name in among:
            dtypes, counts = HOLDS.get(name, (None, None))
            if counts is not None and self.count not in counts:
                continue
            if dtypes is None or str(self.dtype) in dtypes:
                out.append(name)
        return out

    def stored(self, values: Values | None = None) -> NDArray[Any]:
        """Return numbers as files hold them."""
        values = self.values if values is None else values
        if self.dtype.kind in "iu":
            values = np.rint(values)
        return values.astype(self.dtype)

    def write(
        self,
        array: NDArray[Any] | None = None,
        name: str = "scene",
        among: Sequence[str] = GEOTIFFS,
        **more: Any,
    ) -> Path:
        """Write the image in a format that holds it."""
        array = self.stored() if array is None else array
        kind = self.pick(self.formats(among))
        self.case.container = kind
        ending, profile = FORMATS[kind]
        if kind in LOSSY:
            array = self._smooth(array)
        path = self.case.root / f"{name}{ending}"
        settings = {"descriptions": self.names} | profile | more
        if kind in NO_PLACE:
            self.crs, self.transform = None, None
        place = {"crs": self.crs, "transform": self.transform}
        write_raster(path, array, **place, **settings)
        return path

    def _smooth(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return numbers that are equal in blocks of JPEG, and keep them as those of the image."""
        grid = np.ix_(np.arange(self.height) // 16 * 16, np.arange(self.width) // 16 * 16)
        array = np.stack([band[grid] for band in array])
        self.values = self.model_values = array.astype(np.float64)
        return array

    def finish(self, image: Any = None) -> Case:
        """Write the model, and say what is to be mapped."""
        low, high = self.model_values.min((1, 2)), self.model_values.max((1, 2))
        mean, std = self.model_values.mean((1, 2)), self.model_values.std((1, 2))
        case = self.case
        case.model = write_model(
            case.root / "model.swath",
            self.count,
            self.model_dtype,
            names=self.model_names,
            network=(self.weights, self.bias),
            card=self.card,
            fill=mean,
            mean=mean,
            std=std,
            min=low,
            max=high,
        )
        case.image, case.crs, case.transform = image, self.crs, self.transform
        if self.may_have_colors:
            case.plain, case.about = False, f"{case.about}|by the colors"
        return case

    @property
    def may_have_colors(self) -> bool:
        """Whether GDAL calls the bands red, green and blue, and the model other names."""
        known = self.model_names is not None and self.names is None
        return known and self.count == 3 and self.dtype.name in ("uint8", "uint16", "int16")

    def wedge(self) -> NDArray[np.bool_]:
        """Draw the pixels (rows, columns) beyond a slanted edge."""
        rows, cols = np.indices((self.height, self.width))
        out: NDArray[np.bool_] = rows + cols * self.rng.uniform(0.3, 2) < self.height * 0.45
        return out

    def holes(self, share: float = 0.03) -> NDArray[np.bool_]:
        """Draw single pixels (rows, columns)."""
        out: NDArray[np.bool_] = self.rng.random((self.height, self.width)) < share
        return out
