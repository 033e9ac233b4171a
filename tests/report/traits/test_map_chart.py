import itertools

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from vitproto.report.shared.drawing import GREY, legible, save_chart
from vitproto.report.shared.method_styles import MARKERS, StudyMethods
from vitproto.report.traits import map_chart
from vitproto.report.traits.answer import Place
from vitproto.report.traits.map_chart import tick_labels

PLACE = Place("tiny", 3)


def draw_chart(table):
    """The chart of a table whose methods are all that the study has."""
    methods = tuple(sorted(table["method"].unique()))
    return map_chart.draw_chart(table, PLACE, StudyMethods(methods, (), ()).styles())


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
            "ceiling": 0.5 + 0.001 * n,
            "is_chosen": True,
            "n_settings": 1,
        }
        for method in methods
        for k in counts
        for n in n_train
    ]
    return pd.DataFrame(rows)


def _lines(axis):
    """The data of each method, by marker, of chance and of the probe."""
    marked = [line for line in axis.lines if line.get_marker() in list(MARKERS)]
    bare = [line for line in axis.lines if line.get_marker() == "None"]
    (chance,) = [line for line in bare if line.get_linestyle() == "--"]
    (probe,) = [line for line in bare if line.get_linestyle() == ":"]
    return marked, chance, probe


def test_the_left_panel_goes_by_images_and_the_right_one_by_prototypes():
    left, right = draw_chart(_table(("a", "b"))).axes
    titles = [axis.get_title(loc="left") for axis in (left, right)]
    assert titles == ["64 prototypes", "chosen on 200 training images"]
    marked, chance, probe = _lines(left)
    assert [line.get_xdata().tolist() for line in marked] == [[16, 64, 200]] * 2
    np.testing.assert_allclose(
        marked[0].get_ydata().astype(float), [0.244, 0.292, 0.428]
    )
    assert list(chance.get_ydata()) == [0.09, 0.09]
    np.testing.assert_allclose(probe.get_ydata(), [0.516, 0.564, 0.7])
    marked, chance, probe = _lines(right)
    assert [line.get_xdata().tolist() for line in marked] == [[8, 64]] * 2
    np.testing.assert_allclose(marked[0].get_ydata().astype(float), [0.316, 0.428])
    assert list(chance.get_ydata()) == [0.09, 0.09]
    np.testing.assert_allclose(probe.get_ydata(), [0.7, 0.7])
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] == 0
    assert left.get_ylim()[1] > 0.7
    for axis in (left, right):
        colors = {text.get_text(): text.get_color() for text in axis.texts}
        assert colors == {
            "chance": legible(GREY),
            "supervised probe": legible(GREY),
            "● a": legible(_lines(axis)[0][0].get_color()),
            "■ b": legible(_lines(axis)[0][1].get_color()),
        }


def test_whiskers_reach_to_the_ends_of_the_interval():
    (axis,) = draw_chart(_table(counts=(8,))).axes
    (whiskers,) = axis.collections
    ends = [segment[:, 1].tolist() for segment in whiskers.get_segments()]
    np.testing.assert_allclose(ends[0], [0.112, 0.152])
    assert axis.get_ylim()[1] > ends[-1][1]


def test_the_left_panel_has_the_largest_number_that_two_methods_have():
    table = pd.concat([_table(("a", "b"), (8, 64)), _table(("c",), (8, 32, 128))])
    left, right = draw_chart(table).axes
    assert left.get_title(loc="left") == "64 prototypes"
    assert [text.get_text() for text in left.texts][2:] == ["● a", "■ b"]
    # The right panel has all, each with the numbers that it has.
    assert [line.get_xdata().tolist() for line in _lines(right)[0]] == [
        *([8, 64], [8, 64], [8, 32, 128])
    ]


def test_other_layers_and_encoders_are_left_to_their_own_charts():
    other = [_table(("z",)).assign(encoder="large"), _table(("z",)).assign(layer=11)]
    left, _ = draw_chart(pd.concat([*other, _table(("a",))])).axes
    assert [text.get_text() for text in left.texts] == [
        *("chance", "supervised probe", "● a")
    ]


def test_without_a_probe_there_is_no_line_of_it():
    left, right = draw_chart(_table().assign(ceiling=np.nan)).axes
    for axis in (left, right):
        assert "supervised probe" not in [text.get_text() for text in axis.texts]
        assert len(_lines(axis)[2].get_xdata()) == 0
    assert left.get_ylim()[1] < 0.5


def test_labels_of_12_methods_that_are_equally_good_do_not_overlap():
    methods = [f"method{i}" for i in range(12)]
    table = _table(methods, counts=(8, 16, 32, 64, 128))
    figure = draw_chart(table)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axis in figure.axes:
        assert len(axis.texts) == 14
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in axis.texts]
        boxes.sort(key=lambda box: box.y0)
        for lower, upper in itertools.pairwise(boxes):
            assert lower.y1 <= upper.y0
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
        assert not boxes[-1].overlaps(
            axis._left_title.get_window_extent(canvas.get_renderer())
        )
    marked, *_ = _lines(figure.axes[0])
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_marker()) for line in marked
    }
    assert len(looks) == 12


def test_only_the_chosen_setting_is_drawn_and_the_chart_says_so():
    chosen = _table(counts=(8,)).assign(n_settings=2)
    other = chosen.assign(is_chosen=False, map=0.9)
    figure = draw_chart(pd.concat([other, chosen]))
    marked, *_ = _lines(figure.axes[0])
    assert len(marked) == 1
    assert max(marked[0].get_ydata()) < 0.9
    assert "Of several settings of a method" in figure.get_supxlabel()
    assert "several settings" not in draw_chart(_table()).get_supxlabel()


def test_text_can_be_read_where_the_chart_is_shown():
    figure = draw_chart(_table(("a", "b")))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # READMEs show it 830 px wide, at 96 px per inch.
    scale = 830 / 96 / figure.get_figwidth()
    texts = [text for axis in figure.axes for text in axis.findobj(Text)]
    shown = [text.get_fontsize() for text in texts if text.get_text()]
    assert min(shown) * scale >= 7


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
