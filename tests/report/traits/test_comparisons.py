"""Layers, encoders and kinds of traits, with planted numbers."""

import numpy as np
import pandas as pd
import pytest
from ap_rows import ap_rows
from statistics_rows import groups_of, statistics_of

from vitproto.report.shared.markdown import write_section
from vitproto.report.shared.method_styles import MARKERS, StudyMethods
from vitproto.report.traits import layer_chart
from vitproto.report.traits.encoder_chart import draw_encoders
from vitproto.report.traits.encoder_table import (
    choose_layers,
    describe_encoders,
    tabulate_encoders,
)
from vitproto.report.traits.group_chart import draw_groups
from vitproto.report.traits.group_table import describe_groups, tabulate_groups
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_table import tabulate_configurations

TRAITS = ["has_wing_color::blue", "has_wing_color::red", "has_wing_shape::long"]


def draw_grouped(table):
    """The chart of kinds of traits of methods that are all that the study has."""
    methods = tuple(sorted(table["method"].unique()))
    return draw_groups(table, StudyMethods(methods, (), ()).styles())


def draw_layers(table):
    """The chart of a table whose methods are all that the study has."""
    methods = tuple(sorted(table["method"].unique()))
    return layer_chart.draw_layers(table, StudyMethods(methods, (), ()).styles())


def _run(ap, train_ap=0.75, **run):
    """A run with two seeds that find all traits 0.1 apart, around `ap`."""
    return ap_rows(TRAITS, [[ap - 0.05] * 3, [ap + 0.05] * 3], train_ap, **run)


def _table(*runs):
    ap = pd.concat(runs, ignore_index=True)
    return tabulate_configurations(ap, statistics_of(ap))


def _cells(section, caption):
    table = section.tables[caption]
    return [list(table.columns), *table.rows]


def _with_markers(axis):
    """The lines of the data, without whiskers and chance."""
    return [line for line in axis.lines if line.get_marker() in "os"]


LAYERS = (
    _run(0.3, layer=1),
    _run(0.6, layer=1, n_train=10),
    _run(0.5, layer=3),
    _run(0.6, layer=3, n_train=10),
    _run(0.4, layer=3, method="pca"),
    _run(0.4, layer=3, method="pca", n_train=10),
    _run(0.2, layer=2, encoder="other"),
    _run(0.2, layer=2, encoder="other", n_train=10),
)


def test_layers_are_compared_where_two_have_the_same_run():
    section = describe_layers(tabulate_layers(_table(*LAYERS)))
    assert _cells(section, "mAP by layer") == [
        ["Encoder", "Method", "Prototypes", "Layer 1", "Layer 3"],
        ["tiny", "random", "8", "0.300 [0.290, 0.310]", "0.500 [0.490, 0.510]"],
    ]
    assert "chosen on 100 training images" in section.paragraphs[0]
    assert "A random ranking has 0.120" in section.paragraphs[0]


def test_layers_show_the_setting_that_is_chosen_in_each():
    sae = {"method": "topk", "learning_rate": 0.001}
    layers = tabulate_layers(
        _table(
            _run(0.3, 0.8, layer=1, sparsity=8.0, **sae),
            _run(0.9, 0.7, layer=1, sparsity=16.0, **sae),
            _run(0.9, 0.7, layer=3, sparsity=8.0, **sae),
            _run(0.4, 0.8, layer=3, sparsity=16.0, **sae),
        )
    )
    shown = layers[["layer", "sparsity", "map"]].values.tolist()
    assert shown == [[1, 8, pytest.approx(0.3)], [3, 16, pytest.approx(0.4)]]


def test_without_two_layers_a_sentence_says_so():
    layers = tabulate_layers(_table(_run(0.3), _run(0.3, encoder="other", layer=1)))
    assert "so there is nothing to compare" in write_section(describe_layers(layers))
    (text,) = draw_layers(layers).texts
    assert text.get_text() == "No method was run in two layers of an encoder."


def test_the_layer_chart_shows_a_line_for_each_method():
    layers = tabulate_layers(_table(*LAYERS, _run(0.6, layer=1, method="pca")))
    (axis,) = draw_layers(layers).axes
    pca, random = _with_markers(axis)
    assert pca.get_xdata().tolist() == random.get_xdata().tolist() == [1, 3]
    np.testing.assert_allclose(pca.get_ydata().astype(float), [0.6, 0.4])
    np.testing.assert_allclose(random.get_ydata().astype(float), [0.3, 0.5])
    assert pca.get_marker() != random.get_marker()
    assert [text.get_text() for text in axis.texts] == ["chance", "● pca", "■ random"]


def test_each_encoder_stands_with_the_layer_that_is_best_on_training_images():
    table = _table(
        _run(0.9, 0.6, encoder="a", layer=1),
        _run(0.2, 0.7, encoder="a", layer=3),
        # Only one layer has it, so it has no say.
        _run(0.9, 1.0, encoder="a", layer=1, method="pca"),
        _run(0.4, encoder="b", layer=5),
        _run(0.5, encoder="b", layer=5, n_prototypes=16),
    )
    assert choose_layers(table) == {"a": 3, "b": 5}
    section = describe_encoders(tabulate_encoders(table))
    assert _cells(section, "mAP by encoder") == [
        ["Prototypes", "Method", "a, layer 3", "b, layer 5"],
        ["8", "random", "0.200 [0.190, 0.210]", "0.400 [0.390, 0.410]"],
    ]


def test_layers_that_share_nothing_are_chosen_by_what_each_has():
    table = _table(
        _run(0.9, 0.6, layer=1), _run(0.2, 0.7, layer=3, method="pca"), _run(0.2, 0.5)
    )
    assert choose_layers(table.query("method == 'pca' or layer == 1")) == {"tiny": 3}


def test_without_two_encoders_a_sentence_says_so():
    encoders = tabulate_encoders(_table(_run(0.3), _run(0.3, layer=1)))
    assert "so there is nothing to compare" in write_section(
        describe_encoders(encoders)
    )
    (text,) = draw_encoders(encoders).texts
    assert text.get_text() == "No method was run in two encoders."


def test_the_encoder_chart_puts_a_dot_for_each_encoder_in_the_row_of_its_method():
    encoders = tabulate_encoders(
        _table(
            *(_run(0.3, encoder=name, method="pca") for name in "ab"),
            *(_run(0.5, encoder=name, method="random") for name in "ab"),
        )
    )
    figure = draw_encoders(encoders)
    (axis,) = figure.axes
    a, b = _with_markers(axis)
    np.testing.assert_allclose(a.get_xdata().astype(float), [0.3, 0.5])
    np.testing.assert_allclose(a.get_ydata().astype(float), [-0.2, 0.8])
    np.testing.assert_allclose(b.get_ydata().astype(float), [0.2, 1.2])
    assert [text.get_text() for text in axis.get_yticklabels()] == ["pca", "random"]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["a, layer 3", "b, layer 3", "chance"]


def _by_group(blue, red, long, **run):
    """Two seeds, 0.2 apart in wings that are blue."""
    values = [[blue - 0.1, red, long], [blue + 0.1, red, long]]
    return ap_rows(TRAITS, values, **run)


GROUPS = (
    _by_group(0.5, 0.3, 0.7, method="kmeans"),
    _by_group(0.4, 0.2, 0.1, method="random"),
    _by_group(0.9, 0.9, 0.9, method="random", n_prototypes=16),
    _by_group(0.9, 0.9, 0.9, method="random", encoder="other"),
)


def _grouped(*runs, **planted):
    ap = pd.concat(runs, ignore_index=True)
    return tabulate_groups(groups_of(ap, **planted), _table(ap))


def test_kinds_and_attributes_are_shown_where_most_methods_are():
    groups = _grouped(*GROUPS)
    assert set(groups["encoder"]) == {"tiny"}
    assert set(groups["n_prototypes"]) == {8}
    section = describe_groups(groups)
    assert _cells(section, "Kinds of traits: tiny, layer 3, 8 prototypes") == [
        ["Kind", "Traits", "Chance", "kmeans", "random"],
        ["colour", "2", "0.120", "0.400 [0.390, 0.410]", "0.300 [0.290, 0.310]"],
        ["shape", "1", "0.120", "0.700 [0.690, 0.710]", "0.100 [0.090, 0.110]"],
    ]
    attributes = _cells(section, "Attributes: tiny, layer 3, 8 prototypes")
    assert attributes[1][:3] == ["has_wing_color", "2", "0.120"]
    of_shape = ["0.700 [0.690, 0.710]", "0.100 [0.090, 0.110]"]
    assert attributes[2] == ["has_wing_shape", "1", "0.120", *of_shape]


def test_the_text_says_where_there_are_no_intervals():
    (text,) = describe_groups(_grouped(*GROUPS)).paragraphs
    assert "95 % intervals over the test images" in text
    assert "There are none" not in text
    groups = _grouped(*GROUPS)
    groups.loc[0, "ap_low"] = np.nan
    (text,) = describe_groups(groups).paragraphs
    assert "There are none for traits that fewer than 5 classes show." in text
    section = describe_groups(_grouped(*GROUPS, reach=np.nan))
    assert "There are no intervals: the classes of test images" in section.paragraphs[0]
    kinds = _cells(section, "Kinds of traits: tiny, layer 3, 8 prototypes")
    assert kinds[1] == ["colour", "2", "0.120", "0.400", "0.300"]


def test_kinds_of_other_results_are_refused():
    table = _table(*GROUPS)
    groups = groups_of(pd.concat(GROUPS, ignore_index=True))
    with pytest.raises(ValueError, match="do not add up to the mAP of .*random"):
        tabulate_groups(groups.assign(ap=groups["ap"] * 0.99), table)
    with pytest.raises(ValueError, match="do not add up to the mAP of .*kmeans"):
        tabulate_groups(groups[groups["method"] != "kmeans"], table)


def test_one_method_alone_is_shown_with_most_prototypes():
    groups = _grouped(
        _by_group(0.5, 0.3, 0.7), _by_group(0.6, 0.3, 0.7, n_prototypes=16)
    )
    assert set(groups["n_prototypes"]) == {16}


def test_the_group_chart_shows_a_panel_for_each_kind_beside_its_chance():
    figure = draw_grouped(_grouped(*GROUPS))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["colour: 2 traits", "shape: 1 trait"]
    chance, *lines = figure.axes[0].lines
    assert list(chance.get_xdata()) == pytest.approx([0.12, 0.12])
    dots = [line for line in lines if line.get_marker() in list(MARKERS)]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx([0.4, 0.3])
    assert dots[0].get_color() != dots[1].get_color()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["kmeans", "random"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
