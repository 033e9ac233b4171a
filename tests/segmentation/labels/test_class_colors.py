import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitproto.segmentation.labels.class_colors import (
    FIRST,
    HATCH,
    UNLABELLED,
    class_colors,
    paint,
    to_oklab,
)


def distances(color_C3):
    """Between each two colours, as eyes judge it."""
    lab_C3 = to_oklab(color_C3)
    return np.sqrt(np.square(lab_C3[:, None] - lab_C3).sum(axis=2))


def test_white_and_black_and_red_have_the_published_coordinates():
    color_M3 = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    # Red as computed from the matrices in Ottosson's text, to three decimals.
    expected = [[1, 0, 0], [0, 0, 0], [0.628, 0.225, 0.126]]
    np.testing.assert_allclose(to_oklab(color_M3), expected, atol=5e-4)


def test_150_classes_have_colours_that_can_be_told_apart():
    distance_CC = distances(class_colors(150))
    np.fill_diagonal(distance_CC, np.inf)
    # A step that is just visible side by side is 0.02.
    assert distance_CC.min() > 0.05


def test_no_class_looks_like_what_is_unlabelled_or_like_paper():
    greys = np.array([*UNLABELLED, (255, 255, 255), (0, 0, 0)], np.uint8)
    both = np.concatenate([class_colors(150), greys])
    assert distances(both)[:150, 150:].min() > 0.06


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_class_keeps_its_colour_when_there_are_more(a, b):
    fewer, more = sorted((a, b))
    assert (class_colors(more)[:fewer] == class_colors(fewer)).all()


def test_each_colour_is_given_once_and_then_there_is_none_left():
    with pytest.raises(ValueError, match="there are .* colours for 100000 classes"):
        class_colors(100_000)
    colors = class_colors(300)
    assert len({tuple(color) for color in colors.tolist()}) == 300
    assert [tuple(color) for color in colors[: len(FIRST)].tolist()] == list(FIRST)


def test_a_mask_is_painted_pixel_by_pixel_and_hatched_where_nobody_labelled():
    label_HW = np.array([[1, 2, 2], [0, 0, 9]], np.uint16).repeat(8, 0).repeat(8, 1)
    painted = np.asarray(paint(label_HW))
    colors = class_colors(9)
    assert (painted[:8, :8] == colors[0]).all()
    assert (painted[:8, 8:] == colors[1]).all()
    assert (painted[8:, 16:] == colors[8]).all()
    hatched = painted[8:, :16]
    assert {tuple(color) for color in hatched.reshape(-1, 3).tolist()} == set(
        UNLABELLED
    )
    # Stripes run from the upper right to the lower left.
    np.testing.assert_array_equal(hatched[0, HATCH:], hatched[HATCH, :-HATCH])


def test_a_mask_without_any_label_is_hatched_throughout():
    painted = np.asarray(paint(np.zeros((9, 9), np.uint16)))
    assert {tuple(color) for color in painted.reshape(-1, 3).tolist()} == set(
        UNLABELLED
    )
