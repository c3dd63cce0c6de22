"""Pictures of pixels."""

import numpy as np

from swath.geo.tiling import Pixels
from swath.io.render import to_rgb, to_rgb_alike


def test_pictures_of_one_place_are_stretched_together():
    dark = np.linspace(0, 1000, 300).reshape(3, 10, 10)
    valid = np.ones((10, 10), bool)
    valid[0] = False
    images = [(Pixels(dark * scale, valid), ["red", "green", "blue"]) for scale in (1.0, 3.0)]
    old, new = to_rgb_alike(images)
    assert (to_rgb(*images[0]) == to_rgb(*images[1])).all()
    assert (new[1:-1] > old[1:-1]).all() and (old[0] == 255).all()
    eight = Pixels(dark.astype(np.uint8), valid)
    same = to_rgb_alike([(eight, ["a", "b", "c"]), images[0]])[0]
    assert (same[1:] == dark.astype(np.uint8).transpose(1, 2, 0)[1:]).all()
    nothing = Pixels(dark, np.zeros((10, 10), bool))
    assert (to_rgb(nothing, ["a"]) == 255).all()
