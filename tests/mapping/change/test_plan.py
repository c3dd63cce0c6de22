"""The maps that a change is made from are opened together."""

import numpy as np

from swath.errors import DataError
from swath.io.map_reader import MapFile
from swath.mapping.change.dated_map import DatedMap, DateReader
from swath.mapping.change.plan import open_dates
from tests.errors import fails
from tests.mapping.change.made import write_date


def test_a_map_is_closed_if_the_next_one_cannot_be_opened(tmp_path, monkeypatch):
    old, new = write_date(tmp_path / "old.tif", np.ones((16, 16))), tmp_path / "none.tif"
    with MapFile(old) as file:
        grid = file.grid
    closed, close = [], DateReader.close
    monkeypatch.setattr(DateReader, "close", lambda self: closed.append(close(self)))
    with fails("no-such-file", DataError, new):
        open_dates([DatedMap(path=str(path), indices={1: 0}) for path in (old, new)], grid)
    assert len(closed) == 1
