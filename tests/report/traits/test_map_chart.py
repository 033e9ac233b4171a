import itertools

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vitproto.report.shared.drawing import GREY, legible, save_chart
from vitproto.report.shared.method_styles import MARKERS, StudyMethods
from vitproto.report.traits import map_chart
from vitproto.report.traits.map_chart import tick_labels


def draw_chart(table):
    """The chart of a table whose methods are all that the study has."""
    methods = tuple(sorted(table["method"].unique()))
    return map_chart.draw_chart(table, StudyMethods(methods, (), ()).styles())


def _table(methods=("random",), counts=(8, 64), n_train=(16, 64, 200), reach=0.02):
    rows = [
        {
            "dataset": "birds",
            "encoder": "tiny",
            "layer": 3,
            "method": method,
            "n_prototypes": k,
            "n_train": n,
            "map": 0.1 + 0.001 * n + 0.002 * k,
            "map_high": 0.1 + 0.001 * n + 0.002 * k + reach,
            "chance": 0.09,
            "is_chosen": True,
            "n_settings": 1,
        }
        for method in methods
        for k in counts
        for n in n_train
    ]
    return pd.DataFrame(rows)


def _lines(axis):
    """The data of each drawn line that has a marker, and of the one without."""
    marked = [line for line in axis.lines if line.get_marker() in list(MARKERS)]
    dashed = [line for line in axis.lines if line.get_marker() == "None"]
    assert all(line.get_linestyle() == "--" for line in dashed)
    return marked, dashed


def test_each_line_shows_its_numbers_and_chance_is_dashed():
    (axis,) = draw_chart(_table()).axes
    marked, dashed = _lines(axis)
    assert [line.get_xdata().tolist() for line in marked] == [[16, 64, 200]] * 2
    np.testing.assert_allclose(
        marked[0].get_ydata().astype(float), [0.132, 0.18, 0.316]
    )
    np.testing.assert_allclose(
        marked[1].get_ydata().astype(float), [0.244, 0.292, 0.428]
    )
    assert list(dashed[0].get_ydata()) == [0.09, 0.09]
    assert marked[0].get_marker() != marked[1].get_marker()
    assert tuple(marked[0].get_color()) != tuple(marked[1].get_color())
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["chance", "8", "64", "prototypes"]


def test_whiskers_reach_to_the_ends_of_the_interval():
    (axis,) = draw_chart(_table(counts=(8,))).axes
    (whiskers,) = axis.collections
    ends = [segment[:, 1].tolist() for segment in whiskers.get_segments()]
    np.testing.assert_allclose(ends[0], [0.112, 0.152])
    assert axis.get_ylim()[1] > ends[-1][1]


def test_methods_are_compared_at_equal_numbers_of_prototypes():
    axes = draw_chart(_table(methods=("gaussian", "random"))).axes
    titles = [axis.get_title(loc="left") for axis in axes]
    assert titles == ["8 prototypes\ntiny, layer 3", "64 prototypes\ntiny, layer 3"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[0].get_ylim()[0] == 0
    for axis, at_16 in zip(axes, (0.132, 0.244), strict=True):
        marked, _ = _lines(axis)
        assert [float(line.get_ydata()[0]) for line in marked] == [at_16] * 2
        colors = {text.get_text(): text.get_color() for text in axis.texts}
        assert colors == {
            "chance": legible(GREY),
            "● gaussian": legible(marked[0].get_color()),
            "■ random": legible(marked[1].get_color()),
        }
        assert marked[0].get_color() != marked[1].get_color()


def test_panels_go_by_encoder_layer_and_number_of_prototypes():
    both = _table(methods=("a", "b"), n_train=(16,))
    tables = [both.assign(encoder="z"), both.assign(layer=11), both]
    titles = [
        axis.get_title(loc="left").replace(" prototypes\n", " ")
        for axis in draw_chart(pd.concat(tables)).axes
    ]
    assert titles == [
        *("8 tiny, layer 3", "64 tiny, layer 3"),
        *("8 tiny, layer 11", "64 tiny, layer 11"),
        *("8 z, layer 3", "64 z, layer 3"),
    ]


def test_where_methods_are_compared_a_method_alone_is_left_out_and_counted():
    both = _table(methods=("a", "b"), counts=(8,))
    alone = _table(methods=("a",), counts=(64, 128))
    figure = draw_chart(pd.concat([both, alone]))
    (axis,) = figure.axes
    assert axis.get_title(loc="left").startswith("8 prototypes")
    below = figure.get_supxlabel()
    assert below.endswith("\nLeft out: 2 panels with a single method.")
    assert "Left out" not in draw_chart(both).get_supxlabel()


def test_methods_that_never_meet_get_a_panel_each_with_a_line_per_size():
    tables = [_table(methods=("a",)).assign(layer=1), _table(methods=("b",))]
    axes = draw_chart(pd.concat(tables)).axes
    titles = [axis.get_title(loc="left") for axis in axes]
    assert titles == ["a\ntiny, layer 1", "b\ntiny, layer 3"]
    for axis in axes:
        texts = [text.get_text() for text in axis.texts]
        assert texts == ["chance", "8", "64", "prototypes"]


def test_labels_of_12_methods_that_are_equally_good_do_not_overlap():
    methods = [f"method{i}" for i in range(12)]
    table = _table(methods, counts=(8, 16, 32, 64, 128))
    figure = draw_chart(table)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axis in figure.axes[:5]:
        assert len(axis.texts) == 13
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in axis.texts]
        boxes.sort(key=lambda box: box.y0)
        for lower, upper in itertools.pairwise(boxes):
            assert lower.y1 <= upper.y0
        assert not boxes[-1].overlaps(
            axis._left_title.get_window_extent(canvas.get_renderer())
        )
    marked, _ = _lines(figure.axes[0])
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_marker()) for line in marked
    }
    assert len(looks) == 12


def test_only_the_chosen_setting_is_drawn_and_the_chart_says_so():
    chosen = _table(counts=(8,)).assign(n_settings=2)
    other = chosen.assign(is_chosen=False, map=0.9)
    figure = draw_chart(pd.concat([other, chosen]))
    marked, _ = _lines(figure.axes[0])
    assert len(marked) == 1
    assert max(marked[0].get_ydata()) < 0.9
    assert "Of several settings of a method" in figure.get_supxlabel()
    assert "several settings" not in draw_chart(_table()).get_supxlabel()


def test_five_panels_leave_no_empty_axes_to_be_seen():
    figure = draw_chart(_table(methods=("a", "b"), counts=(1, 2, 4, 8, 16)))
    assert [axis.get_visible() for axis in figure.axes] == [True] * 5 + [False]


def test_a_single_run_without_spread_can_be_drawn(tmp_path):
    table = _table(counts=(8,), n_train=(16,), reach=np.nan)
    save_chart(draw_chart(table), tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text().count("<svg") == 1


def test_ticks_that_would_touch_are_written_one_line_down():
    assert tick_labels([16, 64, 256, 1024, 1200]) == [
        "16",
        "64",
        "256",
        "1024",
        "\n1200",
    ]
    assert tick_labels([10, 12, 14]) == ["10", "\n12", "14"]
