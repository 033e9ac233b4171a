"""Heat lies where the encoder saw what drives a prototype, and nowhere else."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.overlay import (
    COLORS,
    color_range,
    draw_heat,
    format_score,
    lay_over,
)
from vitproto.pictures.strip import SCALE

MODES = ["shortest", "squash", "longest"]


def prepared(size, resize_mode):
    return Preprocessing(size, size, resize_mode, "bicubic", (0.0,) * 3, (1.0,) * 3)


def heat_of(scores_P, preprocessing, image_size, low, high):
    """The colour step of the patch over each pixel of an image; -1 where there is none.

    The overlay is laid over the image as a browser does.
    """
    overlay = lay_over(scores_P, preprocessing, image_size, low, high)
    data = base64.b64decode(overlay.source.removeprefix("data:image/png;base64,"))
    steps = np.pad(np.asarray(Image.open(io.BytesIO(data))).astype(int), 1)
    steps[[0, -1]] = steps[:, [0, -1]] = -1
    cells = []
    for length, start, share, n in (
        (image_size[0], overlay.left, overlay.width, steps.shape[1] - 2),
        (image_size[1], overlay.top, overlay.height, steps.shape[0] - 2),
    ):
        centre = 100 * (np.arange(length) + 0.5) / length
        place = np.floor((centre - start) / share * n).astype(int)
        cells.append(np.clip(place, -1, n) + 1)
    return steps[cells[1][:, None], cells[0][None, :]]


def test_the_heat_of_a_wide_image_by_hand():
    def heat(scores, mode):
        scores_P = np.array(scores, np.float32)
        return heat_of(scores_P, prepared(8, mode), (4, 2), 0.0, 15.0)

    # The window is the middle square: the first and last column are not seen.
    np.testing.assert_array_equal(
        heat([1, 2, 3, 4], "shortest"), [[-1, 1, 2, -1], [-1, 3, 4, -1]]
    )
    np.testing.assert_array_equal(
        heat([1, 2, 3, 4], "squash"), [[1, 1, 2, 2], [3, 3, 4, 4]]
    )
    # The first and last row of patches lie in padding, above and below the image.
    np.testing.assert_array_equal(
        heat(range(16), "longest"), [[4, 5, 6, 7], [8, 9, 10, 11]]
    )


def test_colours_go_in_either_direction_and_low_scores_leave_the_image_to_be_seen():
    scores_P = np.array([0, -1, -2, -3], np.float32)
    steps = heat_of(scores_P, prepared(8, "squash"), (2, 2), 0.0, -3.0)
    np.testing.assert_array_equal(steps, [[0, 5], [10, 15]])
    equal = heat_of(np.full(4, 7, np.float32), prepared(8, "squash"), (2, 2), 7.0, 7.0)
    np.testing.assert_array_equal(equal, 0)
    source = draw_heat(scores_P, (2, 2), 0.0, -3.0)
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    alpha_HW = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[:, :, 3]
    assert alpha_HW.tolist() == [[0, 72], [144, 217]]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(60, 150),
    height=st.integers(60, 150),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    resize_mode=st.sampled_from(MODES),
)
def test_the_hottest_patch_lies_on_the_red_square_that_the_encoder_saw(
    width, height, x, y, resize_mode
):
    """Redness of what the encoder sees, drawn back over the image, is where red is."""
    side = 24
    left, top = round(x * (width - side)), round(y * (height - side))
    pixels_HWC = np.full((height, width, 3), 255, np.uint8)
    pixels_HWC[top : top + side, left : left + side] = (255, 0, 0)
    preprocessing = prepared(64, resize_mode)
    window = np.asarray(preprocessing.apply(Image.fromarray(pixels_HWC)), np.float32)
    redness_HW = window[:, :, 0] - window[:, :, 1]
    scores_P = redness_HW.reshape(8, 8, 8, 8).mean(axis=(1, 3)).flatten()
    heat_HW = heat_of(scores_P, preprocessing, (width, height), 0.0, 255.0)
    is_hot_HW = heat_HW >= 12  # patches that are nearly all red: 204 of 255 and more
    is_red_HW = pixels_HWC[:, :, 1] == 0
    # A few pixels of a patch may reach over the edge of the square.
    assert (is_hot_HW & ~is_red_HW).sum() <= 0.25 * is_hot_HW.sum()
    # No red is far from heat, where the encoder saw it.
    is_cold_HW = heat_HW == 0
    assert (is_red_HW & is_cold_HW).sum() <= 0.2 * is_red_HW.sum()


def test_the_scale_on_pages_has_the_colours_of_heat_maps():
    assert [to_hex(COLORS(step / 8)) for step in range(9)] == list(SCALE)


def test_the_colour_scale_goes_from_0_to_the_highest_score_shown():
    assert color_range(np.array([[-3, 5], [1, 8]], np.float32)) == (0, 8)
    assert color_range(np.array([[-3, -5], [-1, -8]], np.float32)) == (-8, -1)


@pytest.mark.parametrize(
    ("score", "text"),
    [(181.4, "181"), (4.249, "4.25"), (-0.03123, "−0.0312"), (12345.6, "12,346")],
)
def test_scores_are_written_with_three_digits(score, text):
    assert format_score(score) == text
