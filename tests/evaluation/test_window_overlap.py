import numpy as np
import pytest

from swath.evaluation.window_overlap import measure_overlap
from swath.inference.output import OutputSpec


def test_areas_that_hold_no_two_windows_are_an_error():
    def overall(raw):
        return np.concatenate([raw - raw.mean(), raw.mean() - raw], axis=1)

    image = np.random.default_rng(0).normal(size=(1, 64, 96)).astype(np.float32)
    assert measure_overlap(overall, OutputSpec(2), [image], 64, "global").seam > 0
    with pytest.raises(ValueError, match="64 x 96"):
        measure_overlap(overall, OutputSpec(2), [image[..., :95]], 64, "global")
