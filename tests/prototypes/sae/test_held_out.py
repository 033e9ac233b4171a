"""No image is both learnt from and measured on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitproto.prototypes.sae.held_out import held_out_images, training_images


def test_every_fourth_image_of_ten_is_held_out():
    assert held_out_images(10, 4).tolist() == [3, 7]
    assert training_images(10, 4).tolist() == [0, 1, 2, 4, 5, 6, 8, 9]


@given(st.integers(2, 60), st.integers(0, 200))
def test_each_image_is_either_learnt_from_or_measured_on(every, more):
    n_images = every + more
    held_out_N = held_out_images(n_images, every)
    training_N = training_images(n_images, every)
    assert len(held_out_N) == n_images // every
    both_N = np.concatenate([held_out_N, training_N])
    np.testing.assert_array_equal(np.sort(both_N), np.arange(n_images))
    assert (np.diff(training_N) > 0).all()


@pytest.mark.parametrize("images", [held_out_images, training_images])
def test_a_data_set_too_small_to_hold_an_image_back_is_refused(images):
    with pytest.raises(ValueError, match="one image of 50 .* has 49: lower held_out"):
        images(49, 50)
