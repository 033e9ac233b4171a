"""Each method looks the same in all charts, and unlike the others, to everybody."""

import itertools

import numpy as np
import pytest
from color_difference import VISION, delta_e2000, to_lab
from matplotlib.colors import to_rgb

from vitproto.core.project import PROJECT
from vitproto.report.shared.drawing import MIN_CONTRAST, contrast_on_white, legible
from vitproto.report.shared.method_styles import (
    CONTROL,
    HUES,
    MAX_EMPHASISED,
    StudyMethods,
)
from vitproto.study.read_study import read_study
from vitproto.study.run_table import expand_runs

APART = 15
"""ΔE2000 at which two lines of a chart are told apart at a glance."""


def methods_of(file):
    """The methods of a study that comes with the project."""
    study = read_study(PROJECT / "config" / file)
    runs = expand_runs(study["runs"], study["encoders"])
    saes = study["methods"]["saes"]
    controls = [name for name in saes if saes[name]["trains"] == "nothing"]
    return StudyMethods(
        tuple(dict.fromkeys(run.method for run in runs)), tuple(saes), tuple(controls)
    )


# Sharma, Wu and Dalal 2005, table 1: rows 1, 7, 13, 17 and 25.
@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_the_difference_of_colours_is_that_of_published_pairs(one, other, expected):
    assert delta_e2000(np.array(one), np.array(other)) == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize("vision", VISION)
def test_all_colours_of_methods_can_be_told_apart(vision):
    colors = [color for family in HUES.values() for color in family]
    labs = [to_lab(color, vision) for color in colors]
    lowest = min(delta_e2000(a, b) for a, b in itertools.combinations(labs, 2))
    assert lowest >= APART


@pytest.mark.parametrize("file", ["demo.yaml", "config.yaml"])
def test_at_most_six_methods_of_a_study_are_emphasised_and_controls_are_grey(file):
    study = methods_of(file)
    styles = study.styles()
    assert list(styles) == list(study.methods)
    own = {color for family in HUES.values() for color in family}
    emphasised = [m for m, style in styles.items() if style["color"] in own]
    assert len(emphasised) == MAX_EMPHASISED
    assert len({styles[method]["color"] for method in emphasised}) == MAX_EMPHASISED
    families = {study.family_of(method) for method in emphasised}
    assert families == {study.family_of(m) for m in study.methods} - {None}
    for method in ("untrained", "gaussian"):
        if method in styles:
            assert styles[method]["color"] == CONTROL
    looks = {
        (str(s["color"]), s["marker"], str(s["linestyle"])) for s in styles.values()
    }
    assert len(looks) == len(styles)


def test_members_of_a_family_share_a_hue_and_all_families_come_before_second_members():
    study = StudyMethods(
        ("topk", "relu", "kmeans", "random", "pca", "mine", "kmeansdistance"),
        ("relu", "topk"),
        (),
    )
    styles = study.styles()
    assert styles["topk"]["color"] == HUES["autoencoders"][0]
    assert styles["mine"]["color"] == HUES["imported"][0]
    assert styles["relu"]["color"] == HUES["autoencoders"][1]
    # The sixth colour went to relu, so this one is pale.
    assert styles["kmeansdistance"]["color"] not in HUES["clusterings"]
    assert styles["kmeansdistance"]["linestyle"] != styles["kmeans"]["linestyle"]


def test_labels_in_every_colour_can_be_read_on_white():
    study = StudyMethods(("a", "b", "c"), ("b", "c"), ())
    colors = [color for family in HUES.values() for color in family]
    colors += [CONTROL, *(style["color"] for style in study.styles().values())]
    for color in colors:
        assert contrast_on_white(np.array(legible(color))) >= MIN_CONTRAST
    assert contrast_on_white(np.zeros(3)) == pytest.approx(21)
    assert legible("#381600") == to_rgb("#381600")  # dark enough as it is
