"""The array API: `Model` maps arrays in memory, and starts the network for images of any size.

Predicting needs only the model file and an engine; torch is not imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, JobError, ModelError, UsageError
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels
from swath.inference.fixed_window import FixedWindow
from swath.inference.output import OutputSpec
from swath.inference.runtimes import Runtime, RuntimeSetup, TorchRuntime, choose_setup, open_runtime
from swath.inference.tiled import ArraySource, ScalableNetwork, TiledPredictor, classify
from swath.inference.tta import views_of
from swath.models.band_matching import match_bands
from swath.models.model_file import ModelFile
from swath.types import Gsd, PathLike, Tta

MAX_BF16_CHANGE = 0.005
"""Largest share of labels that bf16 may change in an imported network, where not asked for."""

_BAND_DIMENSIONS = {"band", "bands", "channel", "channels"}
_PLACE_DIMENSIONS = frozenset(
    "y x lat lon latitude longitude row col rows cols row_index column columns height width "
    "northing easting line sample".split()
)


class Model(ModelFile):
    """A trained model, ready to map.

    Args:
        path: the model file.
        engine: `auto`, `openvino` or `onnxruntime`.
        tta: test-time augmentation of all predictions: `none`, `scales`, `flips` or `full`.

    Raises:
        ModelError: the file is damaged, too new, or no model.
        JobError: no engine is installed.
        UsageError: there is no such augmentation, or not for this network.
    """

    def __init__(self, path: PathLike, engine: str = "auto", tta: Tta = "none") -> None:
        super().__init__(path)
        self.tta = tta
        self.views = views_of(tta, self.card.side is not None, self.path)
        self._engine = engine
        self._last: tuple[Any, TiledPredictor] | None = None

    @cached_property
    def predictor(self) -> TiledPredictor:
        """The network on the fastest engine, for images of any shape; started at first use."""
        return self.open(self.setup(self._engine))

    def setup(
        self, engine: str = "auto", precision: str = "auto", threads: int = 0
    ) -> RuntimeSetup:
        """Choose engine and arithmetic; see `choose_setup`.

        Imported networks run on the processor, and by default in float32 where bf16 changes more
        than `MAX_BF16_CHANGE` of their labels.

        Raises:
            JobError: the engine is not here, has no such precision, or is for trained networks.
        """
        imported = self.card.imported
        if imported is not None:
            if engine == "cuda":
                raise JobError(
                    "The network was imported from ONNX, and the engine cuda runs trained ones",
                    code="imported-network",
                    file=self.path,
                    fix="Leave --engine out",
                )
            engine = "cpu" if engine == "auto" else engine
            if precision == "auto" and (imported.bf16_changed or 0) > MAX_BF16_CHANGE:
                precision = "float32"
        return choose_setup(engine, precision, threads)

    def gsd_of(self, given: Gsd, own: float | None = None) -> float | None:
        """Return the ground sampling distance to map an image with, in meters; None for neither.

        Args:
            given: that of the user in meters, `none` to map the image as it is, or None.
            own: that of the image, in meters.

        Raises:
            UsageError: meters are given, and the model has no ground sampling distance.
        """
        if given is None or given == "none":
            return own if given is None else None
        if self.card.mapped_gsd is None:
            fault = "The model has no ground sampling distance to scale images to"
            code, fix = "model-gsd-unknown", "Leave --gsd out"
            raise UsageError(fault, code=code, file=self.path, fix=fix)
        return given

    def zoom(self, gsd: float | None) -> Fraction:
        """Return the scale at which images of a ground sampling distance, in meters, are mapped."""
        return zoom_for(gsd, self.card.mapped_gsd)

    def open(
        self,
        setup: RuntimeSetup,
        shape: tuple[int, int] | None = None,
        halo: int | None = None,
        zoom: Fraction = Fraction(1),
    ) -> TiledPredictor:
        """Start the network.

        Args:
            setup: engine and arithmetic.
            shape: rows and columns of all read windows, None for any.
            halo: pixels around a core, None for those that card, augmentation and scale need.
            zoom: scale at which images are shown to the network.

        Raises:
            ModelError: the engine refuses the network.
        """
        card, on_gpu, onnx = self.card, None, b""
        if setup.engine == "cuda":
            on_gpu = TorchRuntime(self.in_torch().to("cuda"), setup.precision)
        else:
            onnx = self.network(setup.precision)

        @cache  # one that takes any shape is for all scales
        def start(shape: tuple[int, int] | None) -> Runtime:
            return on_gpu or open_runtime(onnx, setup, shape)

        def start_at(zoom: Fraction) -> Runtime:
            if card.window is not None:
                return FixedWindow(start((card.window, card.window)), card.window)
            fixed = shape if setup.engine == "openvino" else None
            return start(fixed and (int(fixed[0] * zoom), int(fixed[1] * zoom)))

        classes, multilabel = len(card.legend.trained), card.heads == "per-class"
        network = ScalableNetwork(
            start_at,
            OutputSpec(classes, card.temperature, card.heights, multilabel, card.thresholds),
            [b.fill for b in card.bands],
            card.stride,
            card.halo,
            card.side,
            self.views,
            card.mapped_gsd,
            self.path,
        )
        try:
            predictor = network.at_zoom(zoom)
        except ModelError as error:
            raise ModelError(
                error.message, code=error.code, file=self.path, fix=error.fix
            ) from error
        return replace(
            predictor,
            halo=predictor.halo if halo is None else halo,
            gsd=predictor.gsd if shape is None and zoom == 1 else None,
        )

    def reopen(
        self, setup: RuntimeSetup, shape: tuple[int, int], halo: int, zoom: Fraction
    ) -> TiledPredictor:
        """Return the predictor of the last call if it was the same, else start one with `open`.

        To start a network takes longer than to map a small image. One thread at a time may use the
        predictor; it is kept until `close`.

        Raises:
            ModelError: see `open`.
        """
        key = setup, shape, halo, zoom
        if self._last is None or self._last[0] != key:
            self.close()
            self._last = key, self.open(setup, shape, halo, zoom)
        return self._last[1]

    def close(self) -> None:
        """Drop the predictor that `reopen` keeps."""
        self._last = None

    def predict(self, array: Any, gsd: float | None = None) -> Any:
        """Map an array in memory.

        Args:
            array: raw pixel values, NumPy (bands, rows, columns), or (rows, columns) for one band,
                masked or not; or an xarray DataArray, whose bands may be any dimension called
                `band`, else the one beside y and x, else the first, and are found by their names
                if it has any; or a Dataset of a variable each band. NaN and masked pixels have no
                data. Where the model takes latitude, its absolute degrees are the last band.
            gsd: ground sampling distance of the array in meters; where it and the model's are
                known, the array is scaled to the model's. None to map the pixels as they are.

        Returns:
            Class codes (rows, columns), uint8 or uint16, as NumPy or as a DataArray with the same
            coordinates; the legend's nodata where a pixel has no data.

        Raises:
            DataError: the array has other bands or dimensions, or no real numbers.
            UsageError: `gsd` is not a distance.
        """
        if gsd is not None and not 0 < gsd < math.inf:
            fault = f"The ground sampling distance {gsd} is not a distance"
            raise UsageError(fault, code="invalid-gsd", fix="Give meters, above 0, or None")
        if not hasattr(array, "dims"):
            return self._map(np.ma.asanyarray(array), gsd)
        if hasattr(array, "data_vars"):
            array = _joined(array)
        if array.ndim not in (2, 3):
            raise _not_one_image(array)
        named = _band_dimension(array.dims)
        if array.ndim == 3:
            array = self._in_order(array.transpose(named, ...), named)
        codes = self._map(np.ma.asanyarray(array.values), gsd)
        first = array.isel({named: 0}, drop=True) if array.ndim == 3 else array
        return first.copy(data=codes)

    def _in_order(self, array: Any, dimension: Any) -> Any:
        """Return a DataArray with the bands of the model, found by their names if it has them."""
        if dimension not in array.coords:
            return array
        wanted = [band.name for band in self.card.bands]
        own = [[str(name)] for name in array[dimension].values]
        try:
            places = match_bands(wanted, own, "array")
        except DataError as error:
            fix = f'Name its bands so, or drop the names: array.drop_vars("{dimension}")'
            raise DataError(error.message, code=error.code, fix=fix) from error
        return array if places is None else array.isel({dimension: places})

    def _map(self, values: NDArray[Any], gsd: float | None) -> NDArray[Any]:
        if values.ndim == 2:
            values = values[None]
        bands, legend = self.card.bands, self.card.legend
        if values.ndim != 3 or values.shape[0] != len(bands):
            wanted = f"({len(bands)}, rows, columns)"
            fault = f"The array has shape {values.shape}, and the model takes {wanted}"
            names = ", ".join(band.name for band in bands)
            fix = f"Give the bands {names} as the first dimension"
            if values.ndim == 3 and values.shape[2] == len(bands):
                fix = f"{fix} (array.transpose(2, 0, 1))"
            raise DataError(fault, code="band-count", fix=fix)
        if values.dtype.kind not in "iuf" or not values.size:
            fault = f"The array is of type {values.dtype} and shape {values.shape}"
            fix = "Give real numbers, at least one pixel"
            raise DataError(fault, code="array-type", fix=fix)
        valid = np.logical_not(np.ma.getmaskarray(values).any(axis=0))
        values = np.ma.getdata(values)
        if values.dtype.kind == "f":
            for band in values:
                valid &= np.isfinite(band)
        source = ArraySource(Pixels(values, valid))
        out = np.full(valid.shape, legend.nodata, legend.dtype)
        for window, indices in classify(source, self.predictor.for_gsd(gsd)):
            out[window.slices] = legend.decode(indices)
        return out


def _joined(dataset: Any) -> Any:
    """Return a Dataset as one DataArray: its only variable, or variables as bands.

    Raises:
        DataError: there are none, or several that may be the image.
    """
    by_rank = {
        rank: [name for name, v in dataset.data_vars.items() if v.ndim == rank] for rank in (2, 3)
    }
    if len(by_rank[3]) == 1 and not by_rank[2]:
        return dataset[by_rank[3][0]]
    flat = by_rank[2]
    if flat and not by_rank[3] and len({dataset[name].dims for name in flat}) == 1:
        return dataset[flat].to_array(dim="band")
    listed = ", ".join(f"{name} {v.dims}" for name, v in dataset.data_vars.items())
    message = f"The Dataset has no one image: its variables are {listed or 'none'}"
    fix = 'Give a variable (ds["reflectance"]), or bands as ds[["red", "nir"]].to_array(dim="band")'
    raise DataError(message, code="array-dimensions", fix=fix)


def _band_dimension(dims: Sequence[Any]) -> Any:
    """Return the dimension of bands: by name, else the only one beside y and x, else the first."""
    named = [d for d in dims if str(d).lower() in _BAND_DIMENSIONS]
    others = [d for d in dims if str(d).lower() not in _PLACE_DIMENSIONS]
    return named[0] if named else others[0] if len(others) == 1 else dims[0]


def _not_one_image(array: Any) -> DataError:
    shape = ", ".join(f"{d}: {n}" for d, n in zip(array.dims, array.shape, strict=True))
    message = f"The array has the dimensions ({shape}), and an image has bands, rows and columns"
    known = _BAND_DIMENSIONS | _PLACE_DIMENSIONS
    other = next((d for d in array.dims if str(d).lower() not in known), None)
    fix = 'Give it as .transpose("band", "y", "x")'
    if other is not None and array.ndim > 3:
        fix = f"Give one of {other}, such as array.isel({other}=0)"
    return DataError(message, code="array-dimensions", fix=fix)
