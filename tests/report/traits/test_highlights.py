"""The page of a study shows the traits that deserve their headings, each once."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.pages.highlights import N_HIGHLIGHTS, pick_highlights

LOOKS = StudyMethods(
    ("topk", "kmeans", "untrained", "gaussian"), ("topk", "untrained"), ("untrained",)
)
TRAITS = list("abcdefg")
SIZES = dict.fromkeys(LOOKS.methods, 64)


def table(**columns):
    return pd.DataFrame(columns, index=TRAITS, dtype=float)


AP = table(
    topk=[0.9, 0.1, 0.5, 0.3, 0.40, 0.42, np.nan],
    kmeans=[0.8, 0.2, 0.4, 0.3, 0.40, 0.41, np.nan],
    untrained=[0.7, 0.2, 0.1, 0.5, 0.40, 0.41, np.nan],
    gaussian=[0.2, 0.1, 0.1, 0.2, 0.10, 0.10, np.nan],
)
CHANCE = pd.Series(0.1, TRAITS)
CEILING = pd.Series([0.95, 0.3, 0.6, 0.6, 0.9, 0.5, 0.9], TRAITS)


COMMON = pd.Series(True, TRAITS)


def pick(ap=AP, ceiling=CEILING, sizes=SIZES, looks=LOOKS, common=COMMON):
    return pick_highlights(ap, CHANCE, ceiling, common, sizes, looks)


def test_traits_that_few_classes_show_are_picked_only_if_there_are_no_others():
    common = pd.Series([False, False, True, True, True, True, True], TRAITS)
    assert [one.trait for one in pick(common=common)[:2]] == ["c", "d"]
    assert pick(common=~COMMON) == pick()


def test_extremes_by_hand():
    assert [tuple(one) for one in pick()] == [
        ("Found best by topk", "a", ("topk",)),
        ("Found worst by topk", "b", ("topk",)),
        (
            "Gains most by training: topk over untrained [control]",
            *("c", ("topk", "untrained")),
        ),
        (
            "Better found by a control: untrained [control] over topk",
            *("d", ("untrained", "topk")),
        ),
        # The best of e is 0.4, though the probe reaches 0.9; g has no prototype.
        ("Farthest below the supervised probe", "e", ("topk",)),
    ]


def test_without_controls_and_probe_one_in_the_middle_is_left():
    looks = StudyMethods(("topk", "kmeans"), ("topk",), ())
    picks = pick(AP[["topk", "kmeans"]], pd.Series(dtype=float), looks=looks)
    # Above chance: 0.8, 0, 0.4, 0.2, 0.3, 0.32; the median is 0.31.
    assert [(one.heading, one.trait) for one in picks] == [
        ("Found best by topk", "a"),
        ("Found worst by topk", "b"),
        ("In the middle for topk", "e"),
    ]


def test_methods_with_other_numbers_of_prototypes_are_not_compared():
    picks = pick(sizes=SIZES | {"topk": 128})
    assert not [one for one in picks if "over" in one.heading]


def test_a_control_that_comes_first_is_not_beaten_by_controls():
    picks = pick(AP[["untrained", "topk", "kmeans", "gaussian"]])
    headings = [one.heading for one in picks]
    assert headings[0] == "Found best by untrained [control]"
    assert not [heading for heading in headings if "Better found" in heading]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_headings_hold_for_the_numbers_they_are_about(seed, share):
    rng = np.random.default_rng(seed)
    ap = table(**{m: rng.random(len(TRAITS)).round(1) for m in LOOKS.methods})
    ap = ap.mask(pd.DataFrame(rng.random(ap.shape) < share, ap.index, ap.columns))
    ceiling = pd.Series(rng.random(len(TRAITS)), TRAITS)
    picks = pick(ap, ceiling)
    assert len({one.trait for one in picks}) == len(picks) <= N_HIGHLIGHTS
    for one in picks:
        shown = ap.loc[one.trait, list(one.methods)]
        assert shown.notna().all()
        if "over" in one.heading:
            assert shown.iloc[0] > shown.iloc[1]
        if "below" in one.heading:
            assert ceiling[one.trait] > ap.loc[one.trait].max() == shown.iloc[0]
    if picks and picks[0].heading.startswith("Found best"):
        assert ap.loc[picks[0].trait, "topk"] == ap["topk"].max()
