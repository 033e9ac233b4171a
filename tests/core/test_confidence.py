import numpy as np

from vitproto.core.confidence import holm


def test_holm_multiplies_by_what_is_left_and_never_falls():
    p_N = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; the last may not be smaller.
    np.testing.assert_allclose(holm(p_N), [0.03, 0.06, np.nan, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)
