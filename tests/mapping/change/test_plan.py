"""The plan of a change, and the maps that are opened by it."""

import numpy as np

from swath.errors import DataError
from swath.io.map_reader import MapFile
from swath.mapping.change.dated_map import DatedMap, DateReader
from swath.mapping.change.plan import ChangePlan, ChangeRequest, open_dates
from tests.errors import fails
from tests.mapping.change.made import write_date


def test_a_map_is_closed_if_the_next_one_cannot_be_opened(tmp_path, monkeypatch):
    old = write_date(tmp_path / "old.tif", np.ones((16, 16)))
    dates = [DatedMap(path=str(path), indices={1: 0}) for path in (old, tmp_path / "none.tif")]
    asked = ChangeRequest(dates=dates, classes=(), files={}, at_least=None, shift=0)
    with MapFile(old) as file:
        grid = vars(file.grid)
    plan = ChangePlan(asked=asked, side=128, shares=(), **grid)
    closed, close = [], DateReader.close
    monkeypatch.setattr(DateReader, "close", lambda self: closed.append(close(self)))
    with fails("no-such-file", DataError, tmp_path / "none.tif"):
        open_dates(plan)
    assert len(closed) == 1
