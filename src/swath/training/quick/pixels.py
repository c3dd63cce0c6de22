"""Features of labeled pixels: which windows are read, and which labels belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.data.dataset import Dataset, Manifest, Sample
from swath.geo.scale import zoom_for
from swath.geo.tiling import Window, iter_blocks
from swath.inference.tiled import read_scaled
from swath.legend import IGNORE
from swath.models.hypercolumn import Hypercolumn, gather_features
from swath.models.network import Network
from swath.training.quick.heads import LabeledPixels

BLOCK = 512
"""Side of the windows that are read, in pixels of the image, without what is around them."""

CONTEXT = 96
"""Pixels read around a window, so that features at its edge are those of the whole image."""

MAX_BLOCKS = 64
"""Windows that are read at most, those with labels first."""

MAX_LABELED = 100_000
"""Labeled pixels that are kept at most, the same number of each window."""

MAX_OTHERS = 40_000
"""Pixels from everywhere that are kept at most."""

GAP = 8
"""Labels with fewer pixels than this between them belong together."""

GROUP_SIDE = 128
"""Side of the squares into which groups that are larger than twice this are cut."""

POINT_SIDE = 3
"""Rows and columns of a label that counts as a point, at most."""

POINT_BLOCK = 64
"""Side of the squares in which points belong together: near points lie in one field."""

_MAX_PASSES = 512


@dataclass(frozen=True)
class PixelTable(LabeledPixels):
    """Labeled pixels, and pixels from everywhere in the images.

    Attributes:
        others: features of pixels from everywhere, float32 (m, features).
    """

    others: Tensor

    def columns(self, chosen: Sequence[int]) -> PixelTable:
        """Return the table with some of the features."""
        index = torch.tensor(chosen)
        return PixelTable(self.features[:, index], self.labels, self.groups, self.others[:, index])


def read_pixels(
    dataset: Dataset,
    network: Network,
    seed: int,
    advance: Callable[[float], None],
    context: int = CONTEXT,
) -> PixelTable:
    """Read the labeled pixels of the training split, and some from everywhere in its images.

    Args:
        dataset: the data.
        network: describes pixels; its head is not used.
        seed: of the choice where there are more pixels than are kept.
        advance: is called with the share of the work that was done.
        context: pixels read around a window.
    """
    rng = np.random.default_rng(seed)
    chosen = _choose_blocks(dataset, rng)
    each = -(-MAX_LABELED // len(chosen)), -(-MAX_OTHERS // len(chosen))
    parts, groups = [], 0
    for block in chosen:
        part = _read_block(dataset, network, block, rng, each, context)
        parts.append((part[0], part[1], part[2] + groups, part[3]))
        groups += int(part[2].max()) + 1 if len(part[2]) else 0
        advance(1 / len(chosen))
    return PixelTable(*(torch.cat(column) for column in zip(*parts, strict=True)))


class _Block(NamedTuple):
    """A window to read of an image, and the area around it whose pixels may be read with it."""

    image: int
    area: Window
    window: Window


def training_areas(dataset: Dataset) -> list[tuple[int, Window]]:
    """Return numbers of images and windows of them that training may read.

    An image all of whose samples are of the training split is read as a whole, so that features and
    groups of labels do not end at its blocks.
    """
    by_image: dict[int, list[Sample]] = defaultdict(list)
    for sample in dataset.manifest.samples:
        by_image[sample.image].append(sample)
    out = []
    for image, samples in sorted(by_image.items()):
        of_training = [sample.window for sample in samples if sample.split == "train"]
        whole = len(of_training) == len(samples)
        out += [(image, w) for w in ([dataset.images[image].grid.window] if whole else of_training)]
    return out


def _choose_blocks(dataset: Dataset, rng: np.random.Generator) -> list[_Block]:
    """Choose windows in a random order: those with labels first, and some without.

    Windows without labels tell the shares of the classes, too.
    """
    labeled: list[_Block] = []
    bare: list[_Block] = []
    areas = training_areas(dataset)
    for i in rng.permutation(len(areas)):
        image, area = areas[i]
        windows = [
            Window(w.row + area.row, w.col + area.col, w.height, w.width)
            for _, w in iter_blocks(area.height, area.width, BLOCK)
        ]
        for k in rng.permutation(len(windows)):
            known = bool((dataset.images[image].read_labels(windows[k]) != IGNORE).any())
            (labeled if known else bare).append(_Block(image, area, windows[k]))
            if len(labeled) == MAX_BLOCKS:
                break
    kept = labeled[: MAX_BLOCKS - min(len(bare), MAX_BLOCKS // 4)]
    return kept + bare[: MAX_BLOCKS - len(kept)]


def _read_block(
    dataset: Dataset,
    network: Network,
    block: _Block,
    rng: np.random.Generator,
    each: tuple[int, int],
    context: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features, labels and groups of a window's labeled pixels, and features of others."""
    image, window = dataset.images[block.image], block.window
    zoom = zoom_for(image.grid.gsd, dataset.manifest.gsd)
    read = around(window, block.area, context)
    pixels = read_scaled(image, read, zoom, fill_of(dataset))
    labels = np.full((read.height, read.width), IGNORE, np.uint8)
    inside = window.relative_to(read)
    labels[inside.slices] = image.read_labels(window)
    core = np.zeros(labels.shape, bool)
    core[inside.slices] = True
    if zoom != 1:
        rows, cols = (
            np.minimum(((np.arange(n) + 0.5) / float(zoom)).astype(np.intp), m - 1)
            for n, m in zip(pixels.valid.shape, labels.shape, strict=True)
        )
        labels, core = labels[np.ix_(rows, cols)], core[np.ix_(rows, cols)]
    known = (labels != IGNORE) & pixels.valid & core
    maps = feature_maps(network, pixels.values)
    at = _some(known, each[0], rng)
    others = _some(pixels.valid & core, each[1], rng)
    groups = group_labels(known)[at]
    return (
        gather_features(maps, *map(torch.from_numpy, at)),
        torch.from_numpy(labels[at].astype(np.int64)),
        torch.from_numpy(groups),
        gather_features(maps, *map(torch.from_numpy, others)),
    )


def fill_of(dataset: Dataset) -> list[float]:
    """Return the value of invalid pixels, one a band."""
    return [band.mean for band in dataset.manifest.bands]


def around(window: Window, area: Window, margin: int) -> Window:
    """Return a window with a margin on each side, as far as an area goes."""
    row, col = max(area.row, window.row - margin), max(area.col, window.col - margin)
    stop = min(area.stop[0], window.stop[0] + margin), min(area.stop[1], window.stop[1] + margin)
    return Window(row, col, stop[0] - row, stop[1] - col)


@torch.inference_mode()
def feature_maps(network: Network, raw: NDArray[np.float32]) -> dict[int, Tensor]:
    """Return the features of raw pixels (bands, rows, columns) by stride; any rows and columns."""
    pad = [(0, -n % network.stride) for n in raw.shape[1:]]
    x = torch.from_numpy(np.pad(raw, [(0, 0), *pad], mode="edge"))[None]
    x = x.contiguous(memory_format=torch.channels_last)  # much faster with depthwise filters
    return body_of(network).maps((x - network.mean) / network.std)


def body_of(network: Network) -> Hypercolumn:
    """Return the part of the quick recipe's network that describes and scores scaled pixels."""
    return cast(Hypercolumn, network.body)


def rgb_bands(manifest: Manifest) -> tuple[int, int, int]:
    """Return the bands, from 0, that an encoder takes for red, green and blue."""
    names = [band.name.lower() for band in manifest.bands]
    last = len(names) - 1
    red, green, blue = (
        names.index(n) if n in names else min(i, last)
        for i, n in enumerate(("red", "green", "blue"))
    )
    return red, green, blue


def _some(
    mask: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of at most so many pixels of a mask."""
    flat = np.flatnonzero(mask)
    if len(flat) > most:
        flat = np.sort(rng.choice(flat, most, replace=False))
    rows, cols = np.divmod(flat, mask.shape[1])
    return rows, cols


def group_labels(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the groups of labels that are near to each other.

    Labels with less than `GAP` pixels between them are one group; groups larger than twice
    `GROUP_SIDE` are cut into squares. All points in a square of `POINT_BLOCK` are one group.

    Args:
        known: where pixels have a label (rows, columns).

    Returns:
        Numbers from 0 where a pixel has a label, else -1; int64 (rows, columns).
    """
    reach = GAP // 2
    near = _dilated(known, reach)
    ids = np.where(near, np.arange(1, known.size + 1).reshape(known.shape), 0)
    for _ in range(_MAX_PASSES):
        before = ids
        ids = np.where(near, _spread(_spread(ids, 0), 1), 0)
        if (ids == before).all():
            break
    ids = np.where(known, ids, 0)
    rows, cols = np.nonzero(ids)
    names = ids[rows, cols]
    _, index = np.unique(names, return_inverse=True)
    extent = np.zeros(index.max() + 1 if len(index) else 0, np.int64)
    for at in (rows, cols):
        low, high = np.full(len(extent), known.size), np.zeros(len(extent), np.int64)
        np.minimum.at(low, index, at)
        np.maximum.at(high, index, at)
        extent = np.maximum(extent, high - low + 1)
    cut = extent[index] > 2 * GROUP_SIDE
    square = np.where(cut, (rows // GROUP_SIDE) * known.shape[1] + cols // GROUP_SIDE + 1, 0)
    point = extent[index] <= POINT_SIDE
    block = (rows // POINT_BLOCK) * known.shape[1] + cols // POINT_BLOCK + 1
    index, square = np.where(point, len(extent), index), np.where(point, block, square)
    _, numbers = np.unique(np.stack([index, square]), axis=1, return_inverse=True)
    out = np.full(known.shape, -1, np.int64)
    out[rows, cols] = numbers.ravel()
    return out


def _dilated(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return where a pixel of the mask is within `reach` rows and columns."""
    for axis in (0, 1):
        padded = np.pad(mask, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)])
        views = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        mask = np.asarray(views.any(axis=-1))
    return mask


def _spread(ids: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Return the largest number of each pixel's run of numbers other than 0 on an axis."""
    if axis == 0:
        return _spread(ids.T, 1).T
    flat = ids.ravel()
    edge = np.ones(len(flat), bool)
    edge[1:] = (flat[1:] == 0) != (flat[:-1] == 0)
    edge[:: ids.shape[1]] = True
    starts = np.flatnonzero(edge)
    largest = np.maximum.reduceat(flat, starts)
    return np.repeat(largest, np.diff(np.append(starts, len(flat)))).reshape(ids.shape)
