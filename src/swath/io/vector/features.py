"""The features of a layer, each with its class, in any CRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from swath.errors import DataError
from swath.geo.crs import is_undefined, lies_on_earth
from swath.io.vector.crs import crs_code, crs_name
from swath.io.vector.reprojection import reproject, unwrap, widen
from swath.types import Finding, PathLike


@dataclass(frozen=True)
class LayerOptions:
    """How a vector layer becomes labels.

    Attributes:
        field: class column; None to find it, `ONE_CLASS` for none.
        layer: name of the layer, None for the only one.
        crs: CRS of the layer, instead of the file's.
        priority: column by which overlaps are decided: the highest value wins; None for the last.
        all_touched: whether polygons get all pixels that they touch.
        width: of points and lines in meters, None for one pixel.
        background: class of what no feature covers, None for no label.
        extent: polygon layer within which the background lies, None for the whole image.
    """

    field: str | None = None
    layer: str | None = None
    crs: str | None = None
    priority: str | None = None
    all_touched: bool = False
    width: float | None = None
    background: str | None = None
    extent: PathLike | None = None


@dataclass(frozen=True)
class Features:
    """The features of one layer, in the order in which they are drawn.

    Attributes:
        path: the file.
        crs: its CRS as WKT, None where it has none.
        geometries: shapely geometries (n,).
        values: the class of each (n,): all text, or all integers.
        field: the column that the classes are from; empty where all are of one class.
        layer: name of the layer.
        fids: feature ids (n,); empty for positions.
        options: how they become labels; None for a layer that is no label (regions, points).
        known: classes of all layers that are numbered together; empty for those of `values`.
        extent: layer within which the background lies.
        findings: on what was mended, joined or left out.
    """

    path: str
    crs: str | None
    geometries: NDArray[Any]
    values: NDArray[Any]
    field: str
    layer: str = ""
    fids: NDArray[np.int64] | None = None
    options: LayerOptions | None = None
    known: tuple[Any, ...] = ()
    extent: Features | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def textual(self) -> bool:
        """Whether classes are given as text."""
        return self.values.dtype.kind not in "iu"

    @property
    def how(self) -> LayerOptions:
        """How they become labels."""
        return self.options or LayerOptions()

    @cached_property
    def classes(self) -> tuple[list[Any], NDArray[np.int64]]:
        """Distinct values in ascending order, and the position in them of each feature (n,)."""
        distinct, at = np.unique(self.values, return_inverse=True)
        return distinct.tolist(), at.astype(np.int64)

    @property
    def numbered(self) -> list[Any]:
        """Distinct values of all layers that are numbered together, in ascending order."""
        return sorted(self.known) if self.known else self.classes[0]

    def ids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the feature ids of positions (n,)."""
        return positions if self.fids is None else self.fids[positions]

    def to_crs(self, crs: str | None) -> NDArray[Any]:
        """Return the geometries in another CRS (WKT).

        Raises:
            DataError: only one of both sides has a CRS, or none leads to the other.
        """
        return self.to_crs_indexed(crs)[0]

    def to_crs_indexed(self, crs: str | None) -> tuple[NDArray[Any], shapely.STRtree]:
        """Return the geometries in another CRS (WKT) and their spatial index.

        Both are computed once a CRS, since thousands of images may share a layer. Points and lines
        are as wide as the options say.

        Raises:
            DataError: see `to_crs`.
        """
        if crs not in self._by_crs:
            geometries = self._transformed(crs)
            if self.how.width is not None:
                geometries = widen(geometries, crs, self.how.width, self.path)
            self._by_crs[crs] = geometries, shapely.STRtree(geometries)
        return self._by_crs[crs]

    @cached_property
    def _by_crs(self) -> dict[str | None, tuple[NDArray[Any], shapely.STRtree]]:
        return {}

    def _transformed(self, crs: str | None) -> NDArray[Any]:
        no_crs = crs is None and (self.crs is None or is_undefined(self.crs))
        if no_crs or not len(self.geometries):
            return self.geometries
        if crs is None or self.crs is None:
            raise self._crs_missing(crs)
        if pyproj.CRS(self.crs) == pyproj.CRS(crs):
            known = pyproj.CRS(crs).is_geographic
            return unwrap(self.geometries) if known else self.geometries
        return reproject(self.geometries, self.crs, crs, self._transformer(self.crs, crs))

    def _transformer(self, source: str, target: str) -> pyproj.Transformer:
        try:
            if is_undefined(source):
                raise ProjError("undefined")
            return pyproj.Transformer.from_crs(source, target, always_xy=True)
        except ProjError as error:
            message = (
                f"The layer's CRS, {crs_name(source)}, cannot be transformed to that of the "
                f"image, {crs_name(target)}"
            )
            fix = self._crs_fix(target)
            raise DataError(message, code="crs-no-transform", file=self.path, fix=fix) from error

    def _crs_missing(self, crs: str | None) -> DataError:
        if crs is None:
            message = f"The layer has a CRS, {crs_name(self.crs)}, and the image has none"
            fix = "Give the image its CRS and transform (`rio edit-info --crs EPSG:CODE IMAGE`)"
        else:
            message = f"The image has a CRS, {crs_name(crs)}, and the layer has none"
            fix = self._crs_fix(crs)
        return DataError(message, code="crs-missing", file=self.path, fix=fix)

    def _crs_fix(self, crs: str) -> str:
        if not lies_on_earth(crs):
            mend = "`rio edit-info --crs EPSG:CODE IMAGE`"
            return f"Give the layer in the CRS of the image, or the image the right CRS ({mend})"
        if self.options is None:
            return "Save the layer with the CRS that it is in"
        return f"Name the CRS that the labels are in, such as --labels-crs {crs_code(crs)}"
