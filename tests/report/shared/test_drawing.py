import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    GLYPHS,
    category_styles,
    label_lines,
    make_panels,
    name_with_marker,
    save_chart,
    spread,
    write_around,
)
from vitproto.report.shared.method_styles import MARKERS

TABLE = pd.DataFrame({"x": [0, 1, 2], "y": [3, 1, 2]})


def _draw(table):
    figure = Figure()
    figure.subplots().errorbar(table["x"], table["y"], yerr=1)
    return figure


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_chart_carries_neither_date_nor_version(tmp_path, suffix):
    save_chart(_draw(TABLE), tmp_path / f"a.{suffix}")
    save_chart(_draw(TABLE), tmp_path / f"b.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    assert data == (tmp_path / f"b.{suffix}").read_bytes()
    assert b"atplotlib v" not in data
    assert b"dc:date" not in data
    assert b"Software" not in data


def test_labels_stand_beside_their_lines():
    axis = Figure().subplots()
    axis.set_ylim(0, 1)
    label_lines(axis, [(0.8, "a", "red"), (0.2, "b", "blue")])
    heights = {text.get_text(): text.get_position()[1] for text in axis.texts}
    assert (heights["a"], heights["b"]) == (0.8, 0.2)


def test_labels_show_the_marker_of_their_line():
    styles = category_styles(["a", "b"])
    names = [name_with_marker(name, style) for name, style in styles.items()]
    assert names == ["● a", "■ b"]
    assert len(GLYPHS) == len(MARKERS)


def test_no_two_of_91_categories_look_alike():
    styles = category_styles([str(i) for i in range(91)]).values()
    assert len({(style["color"], style["marker"]) for style in styles}) == 91


def test_labels_that_touch_are_moved_apart_around_their_middle():
    np.testing.assert_allclose(spread([0.5, 0.5, 2.0], 0.2), [0.4, 0.6, 2.0])
    np.testing.assert_allclose(spread([1.0, 0.0, 0.1], 0.5), [1.0, -0.2, 0.3])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_keep_their_order_and_their_distance(heights):
    placed = spread(heights, 0.065)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    gaps = np.diff([placed[i] for i in order])
    assert (gaps >= 0.065 - 1e-9).all()
    assert np.mean(placed) == pytest.approx(np.mean(heights))


def test_long_names_of_axes_stay_within_a_narrow_figure():
    figure, _ = make_panels(1, 1, (3.8, 3.2))
    below = (
        "layer: the block, counted from 0 (whiskers: 95 % interval over test images)"
    )
    write_around(figure, "birds: " + below, below + "\nLeft out: 2 panels", "mAP")
    figure.draw_without_rendering()
    for text in (figure._suptitle, figure._supxlabel):
        extent = text.get_window_extent()
        assert extent.x0 > 0
        assert extent.x1 < figure.bbox.width
    assert figure.get_supxlabel().endswith("\nLeft out: 2 panels")
