import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.data.statistics import BandMoments


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.sampled_from([0.0, 1e3, 1e6]),
)
def test_chunks_give_what_numpy_gives_of_all(seed, sizes, offset):
    rng = np.random.default_rng(seed)
    values = rng.normal(offset, [[1.0], [50.0], [0.1]], (3, sum(sizes) + 2))
    moments = BandMoments(3)
    for chunk in np.split(values, np.cumsum(sizes), axis=1):
        moments.add(chunk)
    assert moments.count == values.shape[1]
    np.testing.assert_allclose(moments.mean, values.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(moments.std, values.std(axis=1), rtol=1e-6)
    assert (moments.low == values.min(axis=1)).all()
    assert (moments.high == values.max(axis=1)).all()


def test_whole_numbers_do_not_overflow():
    moments = BandMoments(1)
    moments.add(np.full((1, 100_000), 60_000, np.uint16))
    moments.add(np.full((1, 100_000), 40_000, np.uint16))
    assert (moments.mean[0], moments.std[0]) == (50_000, 10_000)


def test_a_constant_band_may_divide():
    moments = BandMoments(2)
    moments.add(np.array([[3.0, 3.0], [1.0, 2.0]]))
    assert moments.std.tolist() == [1.0, 0.5]


def test_nothing_leaves_it_as_it_was():
    moments = BandMoments(2)
    moments.add(np.empty((2, 0)))
    assert moments.count == 0
    assert np.isinf(moments.low).all()
    moments.add(np.array([[4.0], [5.0]]))
    moments.add(np.empty((2, 0)))
    assert moments.mean.tolist() == [4, 5]
