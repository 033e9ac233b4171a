"""Layers, encoders and kinds of traits, with planted numbers."""

import numpy as np
import pandas as pd
import pytest
from ap_rows import ap_rows

from vitproto.report.shared.markdown import write_section
from vitproto.report.traits.encoder_chart import draw_encoders
from vitproto.report.traits.encoder_table import (
    choose_layers,
    describe_encoders,
    tabulate_encoders,
)
from vitproto.report.traits.group_chart import draw_groups
from vitproto.report.traits.group_table import describe_groups, tabulate_groups
from vitproto.report.traits.layer_chart import draw_layers
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_table import tabulate_configurations

TRAITS = ["has_wing_color::blue", "has_wing_color::red", "has_wing_shape::long"]


def _run(ap, train_ap=0.75, **run):
    """A run with two seeds that find all traits 0.1 apart, around `ap`."""
    return ap_rows(TRAITS, [[ap - 0.05] * 3, [ap + 0.05] * 3], train_ap, **run)


def _table(*runs):
    return tabulate_configurations(pd.concat(runs, ignore_index=True))


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
        ["tiny", "random", "8", "0.300 ± 0.071", "0.500 ± 0.071"],
    ]
    assert "chosen on 100 training images" in section.paragraphs[0]
    assert "Constant scores reach 0.100" in section.paragraphs[0]


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
        ["8", "random", "0.200 ± 0.071", "0.400 ± 0.071"],
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


def test_kinds_and_attributes_average_their_traits_where_most_methods_are():
    groups = tabulate_groups(pd.concat(GROUPS, ignore_index=True))
    assert set(groups["encoder"]) == {"tiny"}
    assert set(groups["n_prototypes"]) == {8}
    section = describe_groups(groups)
    assert _cells(section, "Kinds of traits: tiny, layer 3, 8 prototypes") == [
        ["Kind", "Traits", "Chance", "kmeans", "random"],
        ["colour", "2", "0.100", "0.400 (+0.300)", "0.300 (+0.200)"],
        ["shape", "1", "0.100", "0.700 (+0.600)", "0.100 (+0.000)"],
    ]
    attributes = _cells(section, "Attributes: tiny, layer 3, 8 prototypes")
    assert attributes[1][:3] == ["colour", "has_wing_color", "2"]
    assert attributes[2][1:] == [
        *("has_wing_shape", "1", "0.100", "0.700 (+0.600)", "0.100 (+0.000)")
    ]
    colour = groups.query("kind == 'colour' and group == '' and method == 'kmeans'")
    # The mean of both colours is 0.1 apart between the seeds.
    np.testing.assert_allclose(colour["ap_sd"], 0.1 / 2**0.5)


def test_one_method_alone_is_shown_with_most_prototypes():
    runs = [_by_group(0.5, 0.3, 0.7), _by_group(0.6, 0.3, 0.7, n_prototypes=16)]
    groups = tabulate_groups(pd.concat(runs, ignore_index=True))
    assert set(groups["n_prototypes"]) == {16}


def test_traits_that_no_test_image_shows_count_nowhere():
    runs = pd.concat([_by_group(0.5, 0.3, 0.7)], ignore_index=True)
    never = runs["trait"] == TRAITS[1]
    runs.loc[never, ["test_ap", "prevalence"]] = [np.nan, 0]
    groups = tabulate_groups(runs)
    colour = groups.query("kind == 'colour' and group == ''").iloc[0]
    assert (colour["n_traits"], colour["ap"]) == (1, pytest.approx(0.5))
    assert colour["chance"] == pytest.approx(0.1)


def test_the_group_chart_shows_a_panel_for_each_kind_beside_its_chance():
    groups = tabulate_groups(pd.concat(GROUPS, ignore_index=True))
    figure = draw_groups(groups)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["colour: 2 traits", "shape: 1 trait"]
    chance, dots, *_ = figure.axes[0].lines
    assert list(chance.get_xdata()) == pytest.approx([0.1, 0.1])
    np.testing.assert_allclose(dots.get_xdata().astype(float), [0.4, 0.3])
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["kmeans", "random"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
