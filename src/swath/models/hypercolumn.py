"""The network of the quick recipe: shallow features of a frozen encoder, and a small head.

A pixel is described by its bands and by the first feature maps of the encoder, interpolated to full
resolution ("hypercolumn", Hariharan et al. 2015, "Hypercolumns for object segmentation and
fine-grained localization"). The head has one hidden layer. Its first layer is applied to each map
before interpolation, which gives the same numbers, as both are linear.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from swath.types import PixelFeatures

PARTS: dict[PixelFeatures, tuple[str, ...]] = {
    "bands": ("bands",),
    "local": ("bands", "local"),
    "encoder": ("bands", "encoder"),
    "encoder-local": ("bands", "local", "encoder"),
    "model": ("bands", "model", "scores"),
    "encoder-model": ("bands", "encoder", "model", "scores"),
    "encoder-local-model": ("bands", "local", "encoder", "model", "scores"),
}
"""What `PixelFeatures` consist of, in the order of the channels of a map."""

HYPERCOLUMN = "hypercolumn"
"""Name of this network in the place of a decoder."""

HIDDEN = 64
"""Units of the head's hidden layer."""

STAGES = 3
"""Feature maps of the encoder: strides 2, 4 and 8. Deeper ones describe a place too coarsely."""

CONTEXT = (3, 7)
"""Sides, in cells of the last map, of the squares over which it is averaged as well."""

LOCAL = (3, 7)
"""Sides in pixels of the squares of which `local` takes mean and deviation of each band."""


class Base(Protocol):
    """A network that is adapted; see `swath.models.network.Network`."""

    spec: Any
    stride: int

    @property
    def feature_map(self) -> tuple[int, int]:
        """Channels and stride of the last feature map."""

    def describe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last feature map and the scores of scaled pixels."""


class Hypercolumn(nn.Module):
    """Class scores by shallow features.

    Input is float32 (batch, bands, rows, columns), scaled; rows and columns are multiples of
    `stride`. Output is (batch, classes, rows, columns).

    With a base, the scores of a model that is adapted are features, and are added to the scores,
    weighted by `answer` (a name in model files): where the rest of the head is zero, its classes
    are those of the base.

    Args:
        encoder: timm name of the encoder.
        bands: number of bands.
        classes: number of classes.
        features: what describes a pixel.
        rgb: the three bands, from 0, that the encoder takes for red, green and blue.
        base: the network that is adapted, where features are of it; it takes the same input.
        smoothing: odd side of the squares over which its scores are averaged, twice, before they
            are added; 0 for none.
    """

    def __init__(
        self,
        encoder: str,
        bands: int,
        classes: int,
        features: PixelFeatures,
        rgb: Sequence[int],
        base: Base | None = None,
        smoothing: int = 0,
    ) -> None:
        super().__init__()
        self.rgb = list(rgb)
        self.is_rgb = self.rgb == [0, 1, 2] and bands == 3
        parts = PARTS[features]
        self.local = "local" in parts
        found = [("bands", 1, bands)]
        if self.local:
            found.append(("local", 1, 2 * len(LOCAL) * bands))
        self.encoder: Any = None
        if "encoder" in parts:
            self.encoder = get_encoder(f"tu-{encoder}", in_channels=3, depth=STAGES, weights=None)
            _drop_unused_blocks(self.encoder.model)
            maps = {2 ** (i + 1): n for i, n in enumerate(self.encoder.out_channels[1:])}
            maps[2**STAGES] *= 1 + len(CONTEXT)
            found += [("encoder", stride, n) for stride, n in maps.items() if n]
        self.base = base if "scores" in parts else None
        self.smoothing = smoothing
        if self.base is not None:
            width, self._base_stride = self.base.feature_map
            found += [("model", self._base_stride, width), ("scores", 1, self.base.spec.channels)]
            self.answer = nn.Conv2d(self.base.spec.channels, classes, 1, bias=False)
        self.parts = sorted(found, key=lambda part: part[1])
        """Name, stride of the map, and number of features of what describes a pixel, in order."""
        self.channels = {s: sum(n for _, t, n in found if t == s) for _, s, _ in self.parts}
        """Number of features by the stride of their map."""
        self.stride = max(max(self.channels), 1 if self.base is None else self.base.stride)
        self.first = nn.ModuleDict(
            {str(s): nn.Conv2d(n, HIDDEN, 1, bias=s == 1) for s, n in self.channels.items()}
        )
        self.last = nn.Conv2d(HIDDEN, classes, 1)

    def layer(self, stride: int) -> nn.Conv2d:
        """Return the part of the head's first layer that is applied to a map."""
        return cast(nn.Conv2d, self.first[str(stride)])

    def maps(self, x: Tensor) -> dict[int, Tensor]:
        """Return the features (batch, features, rows / stride, columns / stride) by stride."""
        pixels = [x]
        if self.local:
            for side in LOCAL:
                mean = box_mean(x, side)
                pixels += [mean, (box_mean(x * x, side) - mean * mean).clamp(min=0).sqrt()]
        found = {1: torch.cat(pixels, 1) if self.local else x}
        strided = {}
        if self.encoder is not None:
            stages = self.encoder(x if self.is_rgb else x[:, self.rgb])[1:]
            strided = {2 ** (i + 1): stage for i, stage in enumerate(stages)}
            deepest = strided[2**STAGES]
            strided[2**STAGES] = torch.cat([deepest, *(box_mean(deepest, k) for k in CONTEXT)], 1)
            found |= {s: strided[s] for s in self.channels if s in strided}
        if self.base is not None:
            last, scores = self.base.describe(x)
            for stride, part in (self._base_stride, last), (1, scores):
                found[stride] = torch.cat([found[stride], part], 1) if stride in found else part
        return found

    def head(self, maps: Mapping[int, Tensor]) -> Tensor:
        """Return the scores (batch, classes, rows, columns) of features; see `maps`."""
        scores: Tensor = self.last(self.hidden(maps))
        if self.base is not None:
            added = maps[1][:, -self.answer.in_channels :]
            if self.smoothing:
                added = box_mean(box_mean(added, self.smoothing), self.smoothing)
            scores = scores + self.answer(added)
        return scores

    def hidden(self, maps: Mapping[int, Tensor]) -> Tensor:
        """Return the hidden layer (batch, units, rows, columns) of features; see `maps`."""
        strides = sorted(self.channels, reverse=True)
        hidden = self.layer(strides[0])(maps[strides[0]])
        for stride, before in zip(strides[1:], strides, strict=False):
            hidden = _doubled(hidden, before // stride) + self.layer(stride)(maps[stride])
        return torch.relu(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of scaled pixels."""
        return self.head(self.maps(x))


def _drop_unused_blocks(model: Any) -> None:
    """Drop the blocks after the last feature map, which timm keeps in EfficientNets."""
    parts = str(model.feature_info.module_name()[-1]).split(".")
    if len(parts) == 2 and parts[0] == "blocks" and parts[1].isdigit():
        model.blocks = model.blocks[: int(parts[1]) + 1]


def box_mean(x: Tensor, side: int) -> Tensor:
    """Average over squares of an odd side around each cell; edges repeat."""
    pad = side // 2
    rows = F.avg_pool2d(F.pad(x, (0, 0, pad, pad), mode="replicate"), (side, 1), 1)
    return F.avg_pool2d(F.pad(rows, (pad, pad, 0, 0), mode="replicate"), (1, side), 1)


def gather_features(maps: Mapping[int, Tensor], rows: Tensor, cols: Tensor) -> Tensor:
    """Return the features of pixels, as the head sees them.

    Args:
        maps: of one window; see `Hypercolumn.maps`.
        rows: of the pixels, int64 (n,).
        cols: of the pixels, int64 (n,).

    Returns:
        Shape (n, features), float32, by stride.
    """
    found = []
    for stride, features in sorted(maps.items()):
        plane = features[0].float()
        row_cells, row_weights = _taps(rows, stride, plane.shape[1])
        col_cells, col_weights = _taps(cols, stride, plane.shape[2])
        out = torch.zeros(len(plane), len(rows))
        for row, row_weight in zip(row_cells, row_weights, strict=True):
            for col, col_weight in zip(col_cells, col_weights, strict=True):
                out += plane[:, row, col] * (row_weight * col_weight)
        found.append(out.T)
    return torch.cat(found, 1)


def _doubled(x: Tensor, times: int) -> Tensor:
    """Interpolate to twice the size, once or several times."""
    while times > 1:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        times //= 2
    return x


def _taps(pixels: Tensor, stride: int, cells: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the cells of a map, on one axis, that pixels are interpolated from, and weights."""
    if stride == 1:
        return [pixels], [torch.ones(len(pixels))]
    # Interpolating unit impulses gives the weights of cells for each pixel of the middle one.
    impulses = torch.eye(5)[:, None, :, None].expand(-1, -1, -1, 5)
    weights = _doubled(impulses, stride)[:, 0, 2 * stride : 3 * stride, 2 * stride]
    middle = pixels // stride
    found = [(middle + k, weights[k + 2, pixels % stride]) for k in (-1, 0, 1)]
    return [cell.clamp(0, cells - 1) for cell, _ in found], [weight for _, weight in found]
