"""Heat lies where the encoder saw what drives a prototype, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.heat_map import heat_map
from vitproto.pictures.image_sheet import (
    GAP,
    SIDE,
    Shown,
    color_range,
    draw_strip,
    format_score,
    over_image,
    read_shown,
)

MODES = ["shortest", "squash", "longest"]


def prepared(size, resize_mode):
    return Preprocessing(size, size, resize_mode, "bicubic", (0.0,) * 3, (1.0,) * 3)


def test_the_heat_of_a_wide_image_by_hand():
    def heat(scores, mode):
        scores_P = np.array(scores, np.float32)
        return heat_map(scores_P, prepared(8, mode), (100, 50), (4, 2))

    out = np.nan
    # The window is the middle square: the first and last column are not seen.
    np.testing.assert_array_equal(
        heat([1, 2, 3, 4], "shortest"), [[out, 1, 2, out], [out, 3, 4, out]]
    )
    np.testing.assert_array_equal(
        heat([1, 2, 3, 4], "squash"), [[1, 1, 2, 2], [3, 3, 4, 4]]
    )
    # The first and last row of patches lie in padding, above and below the image.
    np.testing.assert_array_equal(
        heat(range(16), "longest"), [[4, 5, 6, 7], [8, 9, 10, 11]]
    )


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
    heat_HW = heat_map(scores_P, preprocessing, (width, height), (width, height))
    is_hot_HW = heat_HW > 200  # patches that are nearly all red
    is_red_HW = pixels_HWC[:, :, 1] == 0
    # A few pixels of a patch may reach over the edge of the square.
    assert (is_hot_HW & ~is_red_HW).sum() <= 0.25 * is_hot_HW.sum()
    # No red is far from heat, where the encoder saw it.
    is_cold_HW = heat_HW < 10
    assert (is_red_HW & is_cold_HW).sum() <= 0.2 * is_red_HW.sum()


def test_a_smaller_picture_of_the_image_carries_the_same_heat():
    scores_P = np.arange(16, dtype=np.float32)
    whole = heat_map(scores_P, prepared(32, "shortest"), (240, 160), (240, 160))
    small = heat_map(scores_P, prepared(32, "shortest"), (240, 160), (48, 32))
    np.testing.assert_array_equal(small, whole[2::5, 2::5])


def test_higher_scores_are_lighter_and_unseen_parts_are_palest():
    heat_HW = np.array([[0, 1, 2, 3, 4, np.nan]], np.float32)
    grey = Image.new("RGB", (6, 1), (128, 128, 128))
    light_W = np.asarray(over_image(grey, heat_HW, 0.0, 4.0).convert("L"))[0].astype(
        int
    )
    assert (np.diff(light_W) > 8).all()


def test_the_colour_scale_goes_from_0_to_the_highest_score_shown():
    assert color_range(np.array([[-3, 5], [1, 8]], np.float32)) == (0, 8)
    assert color_range(np.array([[-3, -5], [-1, -8]], np.float32)) == (-8, -1)


def test_a_strip_holds_each_image_above_its_heat_map():
    image = Image.new("RGB", (SIDE, SIDE // 2), (0, 120, 255))
    cold = np.zeros((SIDE // 2, SIDE), np.float32)
    hot = np.full((SIDE // 2, SIDE), 4, np.float32)
    strip = np.asarray(
        draw_strip([Shown(image, h, 4.0) for h in (cold, hot)], 0.0, 4.0)
    )
    middles = [GAP + SIDE // 2 + i * (SIDE + GAP) for i in range(2)]
    is_image_HW = (strip == (0, 120, 255)).all(axis=2)
    for middle, heat_HW in zip(middles, (cold, hot), strict=True):
        assert is_image_HW[:, middle].sum() == SIDE // 2
        below = np.flatnonzero(is_image_HW[:, middle])[-1] + GAP
        expected = np.asarray(over_image(image, heat_HW, 0.0, 4.0))[0, 0]
        assert (strip[below, middle] == expected).all()


def test_an_image_that_is_gone_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*gone\.jpg: put it back"):
        read_shown(tmp_path / "gone.jpg", np.ones(4, np.float32), prepared(8, "squash"))


@pytest.mark.parametrize(
    ("score", "text"),
    [(181.4, "181"), (4.249, "4.25"), (-0.03123, "−0.0312"), (12345.6, "12,346")],
)
def test_scores_are_written_with_three_digits(score, text):
    assert format_score(score) == text
