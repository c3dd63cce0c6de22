from types import SimpleNamespace

import numpy as np
import pytest

from swath.geo.tiling import Tiling
from swath.mapping.estimate import _of_row, _tiles_with_data


def test_a_tile_takes_the_time_to_the_next_one_of_a_row() -> None:
    # Started 4 s, tiles 1 s each, the last one kept in 0.5 s: the first is seen after the second.
    timed = _of_row(0.0, [5.0, 6.0, 6.5], 0.0)
    assert (timed.tile, timed.first) == (1.0, 3.5)


@pytest.mark.parametrize("ends", [[3.0], [2.5, 3.0]])
def test_short_rows_take_what_was_measured(ends: list[float]) -> None:
    timed = _of_row(0.0, ends, 0.0)
    assert timed.first + len(ends) * timed.tile == 3.0


@pytest.mark.parametrize(
    ("width", "data", "tiles"),
    [
        (64, slice(0, 64), [0]),
        (128, slice(0, 128), [0, 1]),
        (640, slice(0, 640), [3, 4, 5]),
        (640, slice(320, 512), [5, 6, 7]),
        (640, slice(0, 0), [3, 4, 5]),
    ],
)
def test_tiles_with_data_are_timed(width: int, data: slice, tiles: list[int]) -> None:
    valid = np.zeros((64, width), bool)
    valid[:, data] = True
    tiling = Tiling(64, width, (64, 64), 0, 32)
    image = SimpleNamespace(read=lambda w: SimpleNamespace(valid=valid[w.slices]))
    assert list(_tiles_with_data(SimpleNamespace(tiling=tiling), image)) == tiles
