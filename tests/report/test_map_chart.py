import numpy as np
import pandas as pd

from vitproto.report.drawing import save_chart
from vitproto.report.map_chart import draw_chart, tick_labels


def _table(methods=("random",), counts=(8, 64), n_train=(16, 64, 200), sd=0.02):
    rows = [
        {
            "dataset": "birds",
            "encoder": "tiny",
            "layer": 3,
            "method": method,
            "n_prototypes": k,
            "n_train": n,
            "map": 0.1 + 0.001 * n + 0.002 * k,
            "map_sd": sd,
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
    marked = [line for line in axis.lines if line.get_marker() in "os"]
    dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
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


def test_whiskers_reach_one_standard_deviation_up_and_down():
    (axis,) = draw_chart(_table(counts=(8,))).axes
    (whiskers,) = axis.collections
    ends = [segment[:, 1].tolist() for segment in whiskers.get_segments()]
    np.testing.assert_allclose(ends[0], [0.112, 0.152])
    assert axis.get_ylim()[1] > ends[-1][1]


def test_panels_share_their_axes_and_say_what_they_show():
    axes = draw_chart(_table(methods=("gaussian", "random"))).axes
    titles = [axis.get_title(loc="left") for axis in axes]
    assert titles == ["gaussian\ntiny, layer 3", "random\ntiny, layer 3"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[0].get_ylim()[0] == 0


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
    figure = draw_chart(_table(methods=("a", "b", "c", "d", "e")))
    assert [axis.get_visible() for axis in figure.axes] == [True] * 5 + [False]


def test_a_single_run_without_spread_can_be_drawn(tmp_path):
    save_chart(
        draw_chart,
        _table(counts=(8,), n_train=(16,), sd=np.nan),
        tmp_path / "chart.svg",
    )
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
