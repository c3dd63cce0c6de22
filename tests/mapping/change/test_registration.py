"""Changes that a shift between two maps explains."""

import numpy as np
import pytest

from swath.legend import IGNORE
from swath.mapping.change.registration import drop_shifted, within
from tests.mapping.change.made import true_classes


def test_a_mask_grows_by_rows_and_columns():
    mask = np.zeros((30, 30), bool)
    mask[10, 12] = True
    for distance in (0, 1, 2, 3, 5, 8):
        grown = within(mask, distance)
        rows, cols = np.nonzero(grown)
        assert (rows.min(), rows.max()) == (max(0, 10 - distance), 10 + distance)
        assert (cols.min(), cols.max()) == (max(0, 12 - distance), 12 + distance)
        assert grown.sum() == (len(set(rows)) * len(set(cols)))


@pytest.mark.parametrize("by", [(1, 0), (0, -2), (2, 2), (-1, 2)])
def test_a_shifted_map_has_not_changed(by):
    old, _ = true_classes(256, seed=3)
    old = old.astype(np.uint8)
    new = np.roll(old, by, (0, 1))
    inside = np.zeros(old.shape, bool)
    inside[4:-4, 4:-4] = True  # at the edges `roll` brings in what lies at the other end
    assert ((old != new) & inside).any()
    assert not (drop_shifted(old, new, 2) & inside).any()


def test_a_wide_change_stays_whole_and_a_narrow_one_goes():
    old = np.zeros((60, 60), np.uint8)
    old[:, :20] = 1
    new = old.copy()
    new[10:30, 20:26] = 1  # six pixels more of class 1, along its border
    new[40:50, 20:22] = 1  # two
    kept = drop_shifted(old, new, 2)
    assert kept[10:30, 20:26].all() and kept.sum() == 20 * 6
    assert drop_shifted(old, new, 0).sum() == 20 * 6 + 10 * 2
    assert drop_shifted(old, new, 1).sum() == 20 * 6 + 10 * 2


def test_a_new_thing_of_one_pixel_is_no_shift():
    old = np.zeros((20, 20), np.uint8)
    new = old.copy()
    new[7, 7] = 1
    assert drop_shifted(old, new, 2).sum() == 1
    old[9, 9] = 1  # had it stood there before, it would be
    new[9, 9] = 0
    assert drop_shifted(old, new, 2).sum() == 0


def test_nodata_is_no_change_and_windows_do_not_show():
    old, new = (x.astype(np.uint8) for x in true_classes(200, seed=5, share=0.1))
    old[50:60, 50:90] = IGNORE
    whole = drop_shifted(old, new, 2)
    assert not whole[50:60, 50:90].any() and whole.any()
    for row in (0, 60, 130):
        part = slice(max(0, row - 4), row + 74)
        inner = slice(row - part.start, row - part.start + 70)
        found = drop_shifted(old[part], new[part], 2)[inner]
        assert (found == whole[row : row + 70]).all()
