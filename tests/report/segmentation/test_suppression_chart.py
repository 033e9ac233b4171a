"""The charts of suppression show the numbers that they were given."""

import runpy
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from suppression_rows import (
    EXPECTED,
    around,
    files_of,
    latent_row,
    mean_row,
    plausible,
    row,
    write_sae,
)

from vitproto.core.project import PROJECT
from vitproto.report.segmentation.suppression_chart import draw_classes, draw_curves
from vitproto.report.segmentation.suppression_rows import (
    EDITS,
    is_judged,
    read_suppression,
)
from vitproto.report.shared.drawing import GLYPHS

plot_suppression = runpy.run_path(str(PROJECT / "scripts/plot_suppression.py"))[
    "plot_suppression"
]
DOSE = -2.0
TWO = replace(
    EXPECTED, sae_families=("tiny/layer10/topk,tiny/layer10/relu:k512-seed0",)
)


LENGTHS = [0.1, 0.2, 0.4]


def curves(**place):
    """Means over classes that grow with the length, by edit."""
    return [
        mean_row(
            edit,
            **{"length": length, "is_main": length == 0.2},
            **around("loss", length * (i + 1) / 3),
            **around("collateral", length * (i + 1) / 10),
            **place,
        )
        for length in LENGTHS
        for i, edit in enumerate(EDITS)
    ]


def two_saes(folder, means=None):
    one = write_sae(folder, "one", *plausible(0))
    two = write_sae(folder, "two", *plausible(1, strength=0.1), method="relu")
    return files_of(one, two, means=means or [*curves(), *curves(method="relu")])


@pytest.fixture
def found(tmp_path):
    return read_suppression(two_saes(tmp_path), ("relu",))


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_each_sae_has_a_column_with_loss_above_and_collateral_below(found):
    summary = found.summary
    figure = draw_curves(found)
    above, below = figure.axes[:2], figure.axes[2:]
    titles = [axis.get_title(loc="left") for axis in above]
    names = ["relu k512-seed0 [control]", "topk k512-seed0"]
    assert titles == [f"{name}\nlayer 10" for name in names]
    for axes, name in ((above, "loss"), (below, "collateral")):
        for axis, sae in zip(axes, found.saes, strict=True):
            for container, edit in zip(axis.containers, EDITS, strict=True):
                own = summary[(summary["sae"] == sae) & (summary["edit"] == edit)]
                line = container.lines[0]
                np.testing.assert_array_equal(line.get_ydata(), own[name])
                # A little apart from each other.
                np.testing.assert_allclose(
                    line.get_xdata(orig=False), LENGTHS, atol=0.004
                )
                (whiskers,) = container.lines[2]
                ends = np.array(whiskers.get_segments())[:, :, 1]
                expected = own[[f"{name}_low", f"{name}_high"]]
                np.testing.assert_allclose(ends, expected)
    dotted = [line for line in above[0].lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [0.2]
    assert above[0].get_ylim() == below[0].get_ylim()


def test_lines_are_told_apart_by_marker_and_name_and_only_the_latents_are_solid(found):
    axis = draw_curves(found).axes[0]
    labels = texts(axis)
    assert [label[2:] for label in labels] == list(EDITS.values())
    assert len({label[0] for label in labels} & set(GLYPHS)) == len(EDITS)
    lines = [container.lines[0] for container in axis.containers]
    assert len({line.get_marker() for line in lines}) == len(EDITS)
    assert len({line.get_color() for line in lines}) == len(EDITS)
    assert [line.get_linestyle() for line in lines] == ["-", *["--"] * 5]


def test_no_label_overlaps_another_or_leaves_the_chart(found):
    figure = draw_curves(found)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    for axis in figure.axes:
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in axis.texts]
        for i, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y0 >= 0
            assert box.y1 <= height
            # Half a pixel for rounding.
            assert not any(
                box.y0 + 0.5 < other.y1 and other.y0 + 0.5 < box.y1
                for other in boxes[:i]
            )


def test_each_class_has_a_point_for_each_edit(found):
    figure = draw_classes(found, DOSE)
    rows = found.rows[(found.rows["dose"] == DOSE) & is_judged(found.rows)]
    for axis, sae in zip(figure.axes, found.saes, strict=True):
        *_, latents = axis.lines
        own = rows[(rows["sae"] == sae) & (rows["edit"] == "latents")]
        np.testing.assert_array_equal(latents.get_xdata(), own["loss"])
        np.testing.assert_array_equal(latents.get_ydata(), own["collateral"])
        points = axis.lines[3:]
        assert len(points) == len(EDITS)
        assert len({line.get_marker() for line in points}) == len(EDITS)
        low, high = axis.get_xlim()
        assert low < rows["loss"].min() <= rows["loss"].max() < high
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*EDITS.values(), "equal loss"]


def test_a_missing_control_leaves_a_gap_not_an_error(tmp_path):
    rows = [
        row(1, "latents", DOSE, 0.3, latents="1"),
        row(1, "other_class", DOSE, note="no other class has active latents"),
    ]
    files = write_sae(tmp_path, "a", rows, [latent_row(1, 1)])
    found = read_suppression(files_of(files, means=[mean_row("latents")]), ())
    axis = draw_curves(found).axes[0]
    assert texts(axis) == ["● its latents"]
    assert len(draw_classes(found, DOSE).axes) == 1


def test_where_no_class_was_judged_the_charts_say_so(tmp_path):
    rows = [row(1, "latents", DOSE, note="not in the validation images")]
    files = write_sae(tmp_path, "a", rows, [latent_row(1, 1)])
    none = mean_row("latents", n_classes=0)
    found = read_suppression(files_of(files, means=[none]), ())
    for figure in (draw_curves(found), draw_classes(found, DOSE)):
        (text,) = figure.texts
        assert text.get_text().startswith("No class could be judged")


def test_the_stage_writes_the_same_bytes_whatever_the_order_of_saes(tmp_path):
    files = two_saes(tmp_path)
    written = set()
    lists = ("suppression", "class_latents", "changes")
    turned = {name: getattr(files, name)[::-1] for name in lists}
    reverse = replace(files, **turned)
    for i, order in enumerate([files, reverse]):
        names = [f"{i}{what}" for what in ("d.png", "d.svg", "c.png", "c.svg")]
        out = [tmp_path / name for name in names]
        plot_suppression(order, *out, dose=DOSE, expected=TWO)
        written.add(tuple(path.read_bytes() for path in out))
    assert len(written) == 1
    for data in written.pop():
        for trace in (b"atplotlib v", b"dc:date", b"Software"):
            assert trace not in data


def test_a_dose_that_was_not_measured_is_refused_before_anything_is_drawn(tmp_path):
    out = [tmp_path / name for name in ("d.png", "d.svg", "c.png", "c.svg")]
    with pytest.raises(ValueError, match="dose is -8"):
        plot_suppression(two_saes(tmp_path), *out, dose=-8.0, expected=TWO)
    assert not any(path.exists() for path in out)
