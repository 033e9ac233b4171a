"""The charts of autoencoders show the numbers that they were given."""

import runpy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vitproto.core.hdf5_file import open_new, write_attributes
from vitproto.core.project import PROJECT
from vitproto.report.saes import front_chart
from vitproto.report.saes.frequencies import LatentFrequencies, read_frequencies
from vitproto.report.saes.frequency_chart import FULL, draw_frequencies, histogram
from vitproto.report.saes.front import on_front
from vitproto.report.saes.training import read_training
from vitproto.report.saes.training_chart import draw_curves, smooth
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.study.family import Family
from vitproto.study.run import Run

LOG_HEADER = (
    "encoder,layer,method,run,step,n_patches,learning_rate,sparsity,loss,mse,"
    "sparsity_loss,aux_loss,l0,n_dead,gradient_norm,held_out_nmse\n"
)


def draw_front(table):
    """The chart of a table whose methods are all that the study has."""
    methods = tuple(sorted(table["method"].unique()))
    return front_chart.draw_front(table, StudyMethods(methods, (), ()).styles())


def stage(name):
    return runpy.run_path(str(PROJECT / f"scripts/{name}.py"))[name]


def sweep(methods=("relu", "topk"), sizes=(64, 512), layers=(3,)):
    """Metrics of a sweep, in which topk with a sparsity of 8 is a bad choice."""
    rows = [
        {
            "encoder": "tiny",
            "layer": layer,
            "method": method,
            "n_prototypes": size,
            "learning_rate": 0.001,
            "sparsity": float(l0),
            "seed": 0,
            "l0": float(l0 + (method == "relu")),
            "nmse": (0.9 if l0 == 8 and method == "topk" else 4 / (l0 + 8)),
        }
        for method in methods
        for size in sizes
        for layer in layers
        for l0 in (4, 8, 32)
    ]
    return pd.DataFrame(rows)


# The front ------------------------------------------------------------------------


def test_the_front_holds_those_that_no_other_beats_worked_out_by_hand():
    l0_R = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 4.0])
    nmse_R = np.array([0.9, 0.5, 0.6, 0.5, 0.1, 0.1])
    expected = [True, True, False, False, True, True]
    assert on_front(l0_R, nmse_R).tolist() == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12
    ).map(lambda pairs: np.array(pairs, dtype=np.float64).T)
)
def test_the_front_falls_and_everything_else_is_beaten(pairs):
    l0_R, nmse_R = pairs
    front = on_front(l0_R, nmse_R)
    order = np.lexsort((nmse_R[front], l0_R[front]))
    assert (np.diff(nmse_R[front][order]) <= 0).all()
    for l0, nmse in pairs.T[~front]:
        no_worse = (l0_R[front] <= l0) & (nmse_R[front] <= nmse)
        assert no_worse.any()


def test_each_panel_shows_the_runs_and_the_front_of_each_method():
    axes = draw_front(sweep()).axes
    titles = [axis.get_title(loc="left") for axis in axes]
    assert titles == ["64 latents\ntiny, layer 3", "512 latents\ntiny, layer 3"]
    constant, relu_front, relu, topk_front, topk = axes[0].lines
    assert set(constant.get_ydata()) == {1.0}
    assert relu.get_xdata().tolist() == [5, 9, 33]
    assert topk.get_xdata().tolist() == [4, 8, 32]
    np.testing.assert_allclose(topk.get_ydata(), [1 / 3, 0.9, 0.1])
    assert relu_front.get_xdata().tolist() == [5, 9, 33]
    # With a sparsity of 8, topk is worse than with 4.
    assert topk_front.get_xdata().tolist() == [4, 32]
    np.testing.assert_allclose(topk_front.get_ydata(), [1 / 3, 0.1])
    assert relu.get_marker() != topk.get_marker()
    assert tuple(relu.get_markerfacecolor()) != tuple(topk.get_markerfacecolor())
    low, high = axes[0].get_ylim()
    assert low < 0.1 < 1 < high


def test_an_autoencoder_without_active_latents_has_its_place():
    metrics = sweep(sizes=(64,))
    metrics.loc[0, ["l0", "nmse"]] = [0.0, 1.1]
    figure = draw_front(metrics)
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    assert low < 0 < 33 < high


# Training -------------------------------------------------------------------------


def write_log(path, runs, layer=3, method="topk"):
    """Two steps of each run; of its first latents, so many are dead."""
    lines = [
        f"tiny,{layer},{method},{run},{step},{64 * step + 64},0.0005,0,{loss},"
        f"{loss / 2},0,0,9,{n_dead},1,\n"
        for run, loss, n_dead in runs
        for step in (0, 10)
    ]
    path.write_text(LOG_HEADER + "".join(lines))
    return path


def legend_of(axis):
    """Its title, and its lines."""
    legend = axis.get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    return legend.get_title().get_text(), texts


def test_curves_show_what_was_logged_and_dead_latents_as_a_share(tmp_path):
    runs = [
        ("k64-lr0.001-sparsity8-seed0", 0.5, 16),
        ("k64-lr0.001-sparsity16-seed0", 0.25, 64),
    ]
    training = read_training(
        [
            write_log(tmp_path / "topk.csv", runs),
            write_log(tmp_path / "untrained.csv", []),
        ]
    )
    assert set(training["run_sparsity"]) == {8, 16}
    figure = draw_curves(training)
    assert len(figure.axes) == 5  # one family: the other one is not trained
    loss, mse, l0, dead, legend = figure.axes
    # Each autoencoder has its steps, pale, and their running mean.
    assert [line.get_xdata().tolist() for line in loss.lines] == [[64, 704]] * 4
    shown = [line.get_ydata().tolist() for line in loss.lines]
    assert shown == [[0.5] * 2] * 2 + [[0.25] * 2] * 2
    assert mse.lines[0].get_ydata().tolist() == [0.25, 0.25]
    assert l0.lines[0].get_ydata().tolist() == [9, 9]
    assert [line.get_ydata()[0] for line in dead.lines[::2]] == [0.25, 1.0]
    colors = [tuple(line.get_color()) for line in loss.lines]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    expected = "topk\ntiny, layer 3", ["sparsity", "8", "16"]
    assert legend_of(legend) == expected


def test_lines_average_the_steps_around_each():
    # 5 % of 60 steps are 3: each with its two neighbours, the ends with one.
    noisy = pd.Series([0.0, 3.0] * 30)
    smoothed = smooth(noisy)
    assert smoothed.iloc[0] == 1.5
    np.testing.assert_allclose(smoothed.iloc[1:-1], [1.0, 2.0] * 29)
    assert smooth(noisy.head(10)).equals(noisy.head(10))  # too few to average


def test_rows_are_families_whatever_the_order_of_the_files(tmp_path):
    run = "k64-lr0.001-sparsity8-seed0"
    logs = [
        write_log(tmp_path / "a.csv", [(run, 0.3, 0)], layer=11),
        write_log(tmp_path / "b.csv", [(run, 0.2, 0)], method="topk"),
        write_log(tmp_path / "c.csv", [(run, 0.1, 0)], method="relu"),
    ]
    for order in (logs, logs[::-1]):
        axes = draw_curves(read_training(order)).axes
        assert [legend_of(axis)[0] for axis in axes[4::5]] == [
            *("relu\ntiny, layer 3", "topk\ntiny, layer 3", "topk\ntiny, layer 11")
        ]
        losses = [axis.lines[0].get_ydata()[0] for axis in axes[::5]]
        assert losses == [0.1, 0.2, 0.3]
        numbered = [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes[::5]]
        assert numbered == [False, False, True]


def test_rate_and_size_are_told_apart_without_colour(tmp_path):
    names = [f"k{k}-lr{lr}-sparsity8-seed0" for k in (64, 128) for lr in (0.001, 0.003)]
    log = write_log(tmp_path / "a.csv", [(name, 1.0, 0) for name in names])
    figure = draw_curves(read_training([log]))
    looks = {
        (line.get_linestyle(), line.get_linewidth())
        for line in figure.axes[0].lines[1::2]
    }
    assert len(looks) == 4
    _, texts = legend_of(figure.axes[-1])
    assert texts == [
        *("sparsity", "8", "learning rate", "0.001", "0.003", "latents", "64", "128")
    ]


def test_the_longest_legend_stays_within_its_row(tmp_path):
    runs = [
        (f"k{k}-lr{rate}-sparsity{sparsity}-seed0", 1.0, 0)
        for k in (16384, 32768)
        for rate in (0.0003, 0.001, 0.003)
        for sparsity in (0.0004, 0.0008, 0.0016)
    ]
    logs = [
        write_log(tmp_path / f"{layer}.csv", runs, layer=layer) for layer in (13, 23)
    ]
    figure = draw_curves(read_training(logs))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    upper, lower = (
        axis.get_legend().get_window_extent(canvas.get_renderer())
        for axis in figure.axes[4::5]
    )
    assert lower.y1 < upper.y0
    assert figure.bbox.x1 > upper.x1


def test_a_study_whose_autoencoders_are_not_trained_gets_a_chart_that_says_so(tmp_path):
    figure = draw_curves(read_training([write_log(tmp_path / "a.csv", [])]))
    assert "No autoencoder" in figure.texts[0].get_text()


def test_damaged_logs_are_refused(tmp_path):
    run = "k64-lr0.001-sparsity8-seed0"
    log = write_log(tmp_path / "a.csv", [(run, 1.0, 0)])
    expected = "2 rows of the logs of training repeat others, the first: .* step 0"
    with pytest.raises(ValueError, match=expected):
        read_training([log, log])
    unnamed = write_log(tmp_path / "b.csv", [("run3", 1.0, 0)])
    with pytest.raises(ValueError, match="'run3' names no run"):
        read_training([unnamed])
    (tmp_path / "c.csv").write_text("run,step\n")
    with pytest.raises(ValueError, match=r"c.csv lacks the columns encoder, layer"):
        read_training([tmp_path / "c.csv"])
    with pytest.raises(ValueError, match="no logs of training were named"):
        read_training([])


# Frequencies ----------------------------------------------------------------------


def test_a_histogram_of_frequencies_worked_out_by_hand():
    frequency_S = np.array([0, 0, 0.0001, 0.00011, 0.002, 0.02, 0.9, 1.0])
    dead, shares = histogram(frequency_S, -4)
    assert dead == 0.25
    # Edges at 10^-4, 10^-3.75 = 0.00018, …: four bins a decade.
    expected = np.zeros(16)
    expected[0], expected[5], expected[9], expected[15] = 2 / 8, 1 / 8, 1 / 8, 2 / 8
    np.testing.assert_allclose(shares, expected)


@given(st.integers(2, 10**6), st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_no_latent_is_lost_from_a_histogram(n_patches, counts):
    frequency_S = np.minimum(np.array(counts), n_patches) / n_patches
    dead, shares = histogram(frequency_S, -7)
    assert dead == pytest.approx((frequency_S == 0).mean())
    assert dead + shares.sum() == pytest.approx(1)


def frequencies(run, frequency_S, method="topk"):
    values = np.array(frequency_S, dtype=np.float64)
    return LatentFrequencies(Family("tiny", 3, method), Run.parse(run), 1000, values)


def test_rows_are_settings_and_average_their_seeds():
    autoencoders = [
        frequencies("k4-lr0.001-sparsity2-seed0", [0, 0, 0.5, 0.5]),
        frequencies("k4-lr0.001-sparsity2-seed1", [0.5, 0.5, 0.5, 0.5]),
        frequencies("k4-lr0.001-sparsity9-seed0", [0, 0.5, 0.5, 0.5]),
        frequencies("k4-sparsity9-seed0", [0.5, 0.5, 0.5, 0.5], method="untrained"),
    ]
    first, second = draw_frequencies(autoencoders).axes
    assert first.get_title(loc="left") == "topk\ntiny, layer 3"
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "4 · 0.001 · 2",
        "4 · 0.001 · 9",
    ]
    assert [label.get_text() for label in second.get_yticklabels()] == ["4 · – · 9"]
    # A quarter of the latents of both settings is dead, three quarters in one bin.
    assert [text.get_text() for text in first.texts[:2]] == ["25 %", "25 %"]
    at_left = [bar for bar in first.patches if bar.get_x() < -3]
    heights = [bar.get_height() for bar in at_left]
    assert heights == pytest.approx([FULL, 0.25 * FULL] * 2)  # frame and bar
    bars = [bar for bar in first.patches if bar.get_x() >= -3 and bar.get_height() > 0]
    assert [bar.get_height() for bar in bars] == pytest.approx([FULL, FULL])
    assert all(10 ** bar.get_x() <= 0.5 < 10 ** (bar.get_x() + 0.25) for bar in bars)
    assert [bar.get_y() for bar in bars] == [1, 0]
    assert [label.get_text() for label in first.get_xticklabels()] == [
        *("dead", "$10^{-3}$", "$10^{-2}$", "$10^{-1}$", "$10^{0}$")
    ]


def test_latents_that_are_all_dead_can_be_drawn():
    (axis,) = draw_frequencies(
        [frequencies("k4-lr0.001-sparsity2-seed0", [0, 0, 0, 0])]
    ).axes
    assert axis.texts[0].get_text() == "100 %"


def write_latents(path, method, runs):
    place = {"encoder": "tiny", "layer": 3, "method": method}
    with open_new(path) as file:
        write_attributes(file, {**place, "n_patches": 1000})
        for run in runs:
            file[f"{run}/frequency_S"] = np.array([0.0, 0.5])
    return path


def test_files_of_latents_are_read_in_one_order(tmp_path):
    topk = write_latents(
        tmp_path / "b.h5", "topk", ["k10-sparsity2-seed0", "k9-sparsity2-seed0"]
    )
    relu = write_latents(tmp_path / "a.h5", "relu", ["k9-sparsity2-seed0"])
    for order in ([topk, relu], [relu, topk]):
        autoencoders = read_frequencies(order)
        assert [(sae.family.method, sae.run.n_prototypes) for sae in autoencoders] == [
            *(("relu", 9), ("topk", 9), ("topk", 10))
        ]
    with pytest.raises(
        ValueError, match="hold tiny/layer3/relu k9-sparsity2-seed0 twice"
    ):
        read_frequencies([relu, relu])
    with open_new(tmp_path / "c.h5") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match=r"c\.h5 is damaged or not a file of evaluate"):
        read_frequencies([tmp_path / "c.h5"])
    with pytest.raises(ValueError, match="no file of latents was named"):
        read_frequencies([])


# Files ----------------------------------------------------------------------------


def test_every_chart_has_the_same_bytes_again_and_carries_no_date(tmp_path):
    run = "k64-lr0.001-sparsity8-seed0"
    log = write_log(tmp_path / "training.csv", [(run, 1.0, 0)])
    latents = write_latents(tmp_path / "latents.h5", "topk", [run])
    metrics = tmp_path / "sae_metrics.csv"
    metrics.write_text(
        "encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_patches,mse,"
        "nmse,explained_variance,l0,l1,n_dead,n_almost_dead,n_dense,"
        "mean_absolute_correlation,coherence,n_trained_patches,nmse_slope\n"
        "tiny,3,topk,64,0.001,8,0,40,0.5,0.5,0.5,8,9.5,2,0,18,0.125,0.5,640,-0.01\n"
    )
    charts = {
        "plot_sae_training": ((log,),),
        "plot_sae_front": ((metrics,),),
        "plot_sae_frequencies": ((latents,),),
    }
    for name, inputs in charts.items():
        written = []
        looks = {"looks": StudyMethods(("topk",), ("topk",), ())}
        more = looks if name == "plot_sae_front" else {}
        for i in range(2):
            png, svg = tmp_path / f"{name}{i}.png", tmp_path / f"{name}{i}.svg"
            more["sae_families"] = (f"tiny/layer3/topk:{run}",)
            stage(name)(*inputs, png, svg, **more)
            written.append(png.read_bytes() + svg.read_bytes())
        assert written[0] == written[1], name
        more["sae_families"] = ("tiny/layer3/topk:k9-seed0",)
        with pytest.raises(ValueError, match="lacks tiny/layer3/topk k9-seed0"):
            stage(name)(*inputs, png, svg, **more)
        assert svg.read_text().count("<svg") == 1
        for trace in (b"atplotlib v", b"dc:date", b"Software"):
            assert trace not in written[0], name
