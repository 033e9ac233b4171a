"""What the answer claims, also on data on which it must not claim it."""

import numpy as np
import pandas as pd
import pytest
from ap_rows import ap_rows
from statistics_rows import statistics_of

from vitproto.report.traits.answer import (
    Place,
    find_answer,
    mark_controls,
    read_answer,
)
from vitproto.report.traits.comparison_table import (
    compare_with_best,
    tabulate_comparisons,
)
from vitproto.report.traits.label_rules import RuleEffects
from vitproto.report.traits.map_markdown import MAX_ROWS, write_map_table
from vitproto.report.traits.map_table import tabulate_configurations
from vitproto.report.traits.map_text import Images

TRAITS = ["wing::blue", "wing::red", "eye::buff"]
HERE = Place("tiny", 3)
RULE = (3, 4), (1,)
"""Certainties that count as present, and as unknown."""


def _run(ap, **run):
    return ap_rows(TRAITS, [[ap] * 3, [ap] * 3], **run)


def _answer(*runs, ceiling=None, **planted):
    ap = pd.concat(runs, ignore_index=True)
    statistics = statistics_of(ap, **planted)
    table = tabulate_configurations(ap, statistics, ceiling)
    comparisons = tabulate_comparisons(statistics.pairs, "birds")
    return find_answer(table, comparisons, HERE), table, comparisons


def test_a_method_that_beats_all_others_is_said_to():
    runs = _run(0.5, method="kmeans"), _run(0.3), _run(0.4, method="pca")
    answer, _, _ = _answer(*runs)
    assert answer.sentences == [
        "With 8 prototypes (tiny, layer 3), chosen on 100 training images of birds, "
        "kmeans is better than both other methods: mAP 0.500 [0.490, 0.510] on the "
        "test images.",
        "Prototypes chosen on permuted labels reach a mean mAP of 0.120, where a "
        "random ranking has 0.120; all 3 mAPs are above 95 % of the permutations, as "
        "those of scores that only recognise a class can be.",
    ]
    assert answer.matrix.rows == [
        ["kmeans", "0.500 [0.490, 0.510] *"],
        ["pca", "0.400 [0.390, 0.410]"],
        ["random", "0.300 [0.290, 0.310]"],
    ]
    assert "drawn by class (20)" in answer.legend
    assert "Holm's correction for the 3 comparisons" in answer.legend


def test_nobody_wins_on_an_interval_that_is_not_corrected():
    # 0.03 is below 0.05, but there are three comparisons.
    runs = _run(0.5, method="kmeans"), _run(0.3), _run(0.4, method="pca")
    answer, _, comparisons = _answer(*runs, p=0.03)
    assert "no method wins: kmeans has the highest mAP" in answer.sentences[0]
    assert "no other is told apart from it" in answer.sentences[0]
    assert [row[1][-1] for row in answer.matrix.rows] == ["*", "*", "*"]
    np.testing.assert_allclose(comparisons["p_holm"], [0.09, 0.09, 0.09])
    assert (comparisons["winner"] == "").all()


def test_a_method_that_beats_some_names_those_it_is_not_told_apart_from():
    runs = _run(0.5, method="kmeans"), _run(0.3), _run(0.4, method="pca")

    def close(a, b):
        return 0.5 if (a, b) == ("kmeans", "pca") else 0.001

    answer, _, comparisons = _answer(*runs, p=close)
    assert answer.sentences[0].endswith(
        "no method wins alone: kmeans has the highest mAP, 0.500 [0.490, 0.510], and "
        "is better than 1 of the 2 others, but pca is not told apart from it."
    )
    assert comparisons["winner"].tolist() == ["", "kmeans", "pca"]


def test_mAPs_that_permuted_labels_reach_are_not_above_chance():
    runs = _run(0.5, method="kmeans"), _run(0.13)
    answer, table, _ = _answer(*runs, null_high=0.14)
    assert "1 of 2 mAPs is not above 95 %" in answer.sentences[1]
    assert answer.matrix.rows[1] == ["random", "0.130 [0.120, 0.140] †"]
    assert table["above_chance"].tolist() == [True, False]


def test_too_few_classes_give_no_interval_and_no_winner():
    runs = _run(0.5, method="kmeans"), _run(0.3)
    answer, _, _ = _answer(*runs, reach=np.nan, p=np.nan, n_groups=6)
    assert answer.sentences[0].endswith(
        "kmeans has the highest mAP, 0.500, but the 6 classes of test images are too "
        "few to tell methods apart."
    )
    few = "There are no intervals: 6 classes of test images are too few (at least 10)."
    assert answer.legend == few
    assert answer.matrix.rows[0] == ["kmeans", "0.500"]


def test_one_method_alone_wins_nothing():
    answer, _, _ = _answer(_run(0.5))
    assert (
        "random, the only method with that many, reaches mAP 0.500"
        in (answer.sentences[0])
    )
    assert answer.sentences[1].endswith(
        "the mAP of the matrix is above 95 % of the permutations."
    )
    answer, _, _ = _answer(_run(0.13), null_high=0.14)
    assert (
        "no method finds traits: random, the only method, has the mAP, 0.130 [0.120, "
        "0.140] on the test images, which is not above 95 % of the permutations of the "
        "labels."
    ) in answer.sentences[0]
    assert answer.sentences[1].endswith(
        "the mAP of the matrix is not above 95 % of the permutations (†)."
    )


def test_nobody_wins_among_methods_that_find_nothing():
    answer, _, _ = _answer(_run(0.13, method="kmeans"), _run(0.05), null_high=0.14)
    assert "better" not in answer.sentences[0]
    assert (
        "no method finds traits: kmeans has the highest mAP, 0.130 [0.120, 0.140] on "
        "the test images, which is not above 95 % of the permutations of the labels."
    ) in answer.sentences[0]


def test_a_highest_map_that_is_not_above_its_permutations_does_not_win():
    """Each method has permutations of its own: another may be above its own."""
    ap = pd.concat([_run(0.4, method="kmeans"), _run(0.3)], ignore_index=True)
    statistics = statistics_of(ap)
    own = statistics.null["method"] == "kmeans"
    statistics.null.loc[own, "null_high"] = 0.5
    table = tabulate_configurations(ap, statistics, None)
    comparisons = tabulate_comparisons(statistics.pairs, "birds")
    first, second, *_ = find_answer(table, comparisons, HERE).sentences
    assert "no method finds traits" not in first
    assert "no method wins: kmeans has the highest mAP, 0.400" in first
    assert first.endswith(
        "but it is not above 95 % of its permutations of the labels, as random is "
        "above theirs."
    )
    assert second.endswith(
        "1 of 2 mAPs is not above 95 % of the permutations (†). Scores that only "
        "recognise a class can be above them, too."
    )


def test_an_map_that_equals_the_permutations_but_for_rounding_is_not_above_them():
    for apart, mark in ((-1e-12, " †"), (1e-12, " †"), (1e-6, "")):
        answer, _, _ = _answer(_run(0.3), null_high=0.3 - apart)
        assert (" †" if "†" in answer.matrix.rows[0][1] else "") == mark


def test_a_method_that_was_fitted_once_is_compared_as_that_fit():
    """PCA is the same with any seed, so it has no other fit."""
    once = ap_rows(TRAITS, [[0.4] * 3], method="kmeans")
    pca = ap_rows(TRAITS, [[0.2] * 3], method="pca")
    answer, table, _ = _answer(once, pca, _run(0.3))
    assert table["n_fits"].tolist() == [1, 1, 2]
    # What it says first is about these fits too.
    assert "kmeans, as fitted here, is better than both other" in answer.sentences[0]
    assert answer.sentences[1] == (
        "kmeans was fitted once, so comparisons with it are about this fit: another "
        "seed may turn the order."
    )
    assert "kmeans has a single fit, and its intervals leave out" in answer.legend
    answer, _, _ = _answer(once, _run(0.3))
    other = ap_rows(TRAITS, [[0.3] * 3], method="gaussian")
    answer, _, _ = _answer(once, other)
    assert answer.sentences[1].startswith("Each method was fitted once, so these fits")
    answer, _, _ = _answer(once, other, _run(0.2))
    assert answer.sentences[1].startswith("gaussian and kmeans were fitted once, so")
    # Several fits of some numbers of prototypes, and one of another.
    few = ap_rows(TRAITS, [[0.2] * 3], method="kmeans", n_prototypes=4)
    answer, _, _ = _answer(_run(0.4, method="kmeans"), few, _run(0.3))
    assert "kmeans (with 4 prototypes) has a single fit" in answer.legend
    assert "as fitted here" not in answer.sentences[0]
    for answer, _, _ in (_answer(pca, _run(0.3)), _answer(_run(0.3))):
        assert "fitted once" not in " ".join(answer.sentences)
        assert "single fit" not in answer.legend


def test_the_way_to_the_ceiling_is_counted_from_chance():
    place = {"encoder": "tiny", "layer": 3, "n_train": 100, "pooling": "mean"}
    ceiling = pd.DataFrame([{**place, "ceiling": 0.6}])
    answer, table, _ = _answer(_run(0.36), ceiling=ceiling)
    assert table["ceiling_share"].tolist() == pytest.approx([0.5])
    assert answer.sentences[-1] == (
        "A linear probe on mean-pooled activations, trained on the labels of the same "
        "images, reaches 0.600 [0.590, "
        "0.610]: random gets 50% of the way there from a random ranking."
    )


@pytest.mark.parametrize(
    ("ap", "chance", "end"),
    [
        (
            0.65,
            0.12,
            "; the mAP of random is higher, by a difference that is not tested.",
        ),
        (0.10, 0.12, "; the mAP of random is below a random ranking's."),
        (0.65, 0.62, "[0.590, 0.610], which is not above a random ranking."),
    ],
)
def test_no_share_of_a_way_that_is_none(ap, chance, end):
    place = {"encoder": "tiny", "layer": 3, "n_train": 100, "pooling": "mean"}
    ceiling = pd.DataFrame([{**place, "ceiling": 0.6}])
    answer, _, _ = _answer(_run(ap, chance=chance), ceiling=ceiling)
    assert answer.sentences[-1].endswith(end)
    assert "%" not in answer.sentences[-1]


def test_an_interval_of_other_probes_is_refused():
    place = {"encoder": "tiny", "layer": 3, "n_train": 100, "pooling": "max"}
    ceiling = pd.DataFrame([{**place, "ceiling": 0.6}])
    with pytest.raises(ValueError, match="of other probes than ceiling.csv for .*max"):
        _answer(_run(0.36), ceiling=ceiling)


def test_only_the_first_encoder_and_layer_answers_with_the_most_training_images():
    runs = (
        _run(0.5),
        _run(0.9, layer=1),
        _run(0.9, n_train=10),
        _run(0.9, encoder="other"),
        _run(0.4, n_prototypes=4),
    )
    answer, _, _ = _answer(*runs)
    assert answer.matrix.columns.keys() == {"Method", "4 prototypes", "8 prototypes"}
    assert answer.matrix.rows == [
        ["random", "0.400 [0.390, 0.410]", "0.500 [0.490, 0.510]"]
    ]


def test_methods_are_compared_at_the_largest_number_that_two_share():
    runs = _run(0.5, method="kmeans"), _run(0.3), _run(0.9, n_prototypes=16)
    answer, _, _ = _answer(*runs)
    assert answer.sentences[0].startswith("With 8 prototypes")
    assert answer.matrix.rows == [
        ["random", "0.300 [0.290, 0.310]", "0.900 [0.890, 0.910]"],
        ["kmeans", "0.500 [0.490, 0.510] *", ""],
    ]


def test_the_answer_is_read_as_it_was_written(tmp_path):
    runs = _run(0.5, method="kmeans"), _run(0.3), _run(0.9, n_prototypes=16)
    answer, _, _ = _answer(*runs)
    path = tmp_path / "answer.md"
    path.write_text(answer.in_markdown(), encoding="utf-8")
    quoted = read_answer(path)
    assert quoted == (" ".join(answer.sentences), answer.matrix, answer.legend)
    path.write_text("nothing")
    with pytest.raises(ValueError, match="run tabulate_map again"):
        read_answer(path)


def test_a_comparison_reads_the_same_from_both_sides():
    _, _, comparisons = _answer(_run(0.5, method="kmeans"), _run(0.3))
    ours = compare_with_best(comparisons, "kmeans", ["random"]).loc["random"]
    theirs = compare_with_best(comparisons, "random", ["kmeans"]).loc["kmeans"]
    assert ours["difference"] == pytest.approx(0.2) == -theirs["difference"]
    assert (ours["low"], ours["high"]) == pytest.approx((0.19, 0.21))
    assert (theirs["low"], theirs["high"]) == pytest.approx((-0.21, -0.19))
    assert (ours["n_won"], theirs["n_won"]) == (2, 0)


def test_other_label_rules_stand_with_what_they_change():
    runs = _run(0.5, method="kmeans"), _run(0.3)
    answer, table, comparisons = _answer(*runs)
    at = {"encoder": "tiny", "layer": 3, "n_prototypes": 8, "n_train": 100}
    rules = pd.DataFrame(
        [
            {**at, "method": method, "rule": rule, "n_traits": 3 - i}
            | {"map": base + change, "configured_map": base}
            | {"chance": 0.12 - i / 100, "configured_chance": 0.12}
            for method, base, sign in (("kmeans", 0.5, 1), ("random", 0.3, -1))
            for i, (rule, change) in enumerate(
                [("guesses too", sign * 0.02), ("none", 0)]
            )
        ]
    )
    effects, images = RuleEffects(*RULE, rules), Images(160, 100, 1.0)
    text = write_map_table(table, comparisons, effects, answer, HERE, images)
    lines = [line for line in text.splitlines() if "guesses too (3) | none (2)" in line]
    assert len(lines) == 1
    assert "| kmeans   |          +0.020 |    0.000 |" in text
    assert "| random   |          −0.020 |    0.000 |" in text
    assert "| (chance) |           0.000 |   −0.010 |" in text
    assert (
        "a trait is present if an annotator said so with the certainty probably or "
        "definitely, unknown if the certainty is not visible, else absent."
    ) in text
    assert "No rule reverses the order of the pair told apart." in text
    low = (rules["method"] == "kmeans") & (rules["rule"] == "none")
    rules.loc[low, "map"] = 0.2
    text = write_map_table(table, comparisons, effects, answer, HERE, images)
    assert (
        "Of the pair of methods told apart, the order is reversed for 1 by the rule "
        "“none”."
    ) in text
    undecided = tabulate_comparisons(
        statistics_of(pd.concat(runs, ignore_index=True), p=0.5).pairs, "birds"
    )
    text = write_map_table(table, undecided, effects, answer, HERE, images)
    assert "so no rule can reverse a verdict." in text


@pytest.mark.parametrize("n_others", [12, 40])
def test_the_table_of_a_large_study_has_at_most_80_rows(n_others):
    runs = [
        _run(0.3 + k / 1000, method=method, n_prototypes=k, n_train=n_train)
        for method in ["random", *(f"method{chr(97 + i)}" for i in range(n_others))]
        for k in (4, 8, 16, 32)
        for n_train in (10, 20, 40, 80, 160)
    ]
    answer, table, comparisons = _answer(*runs)
    rules = statistics_of(_run(0.3)).rules
    effects, images = RuleEffects(*RULE, rules), Images(160, 100, 1.0)
    text = write_map_table(table, comparisons, effects, answer, HERE, images)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert 40 <= len(rows) - 2 * 3 <= MAX_ROWS
    assert ("The 20 best of 41 methods." in text) == (n_others == 40)
    assert text.index(answer.sentences[0]) < text.index("|")
    assert "## Lead of methoda, with 32 prototypes chosen on 160 images" in text


def test_controls_carry_a_badge_in_sentences_and_tables(tmp_path):
    runs = _run(0.5, method="untrained"), _run(0.3), _run(0.4, method="pca")
    _, table, comparisons = _answer(*runs)
    rules = statistics_of(pd.concat(runs, ignore_index=True)).rules
    table, comparisons, rules = (
        mark_controls(rows, ["untrained"]) for rows in (table, comparisons, rules)
    )
    answer = find_answer(table, comparisons, HERE)
    assert "untrained [control]" in answer.sentences[0]
    assert [row[0] for row in answer.matrix.rows] == [
        "untrained [control]",
        "pca",
        "random",
    ]
    assert "[control] marks an autoencoder that nothing has trained." in answer.legend
    path = tmp_path / "answer.md"
    path.write_text(answer.in_markdown())
    assert read_answer(path).matrix.rows == answer.matrix.rows
    effects, images = RuleEffects(*RULE, rules), Images(6, 10, 1.0)
    shown = write_map_table(table, comparisons, effects, answer, HERE, images)
    assert "untrained [control]" in shown.split("## Lead of")[1]
    assert shown.count("untrained") == shown.count("untrained [control]")


def test_no_badge_is_explained_where_there_is_none():
    answer, table, _ = _answer(_run(0.5, method="kmeans"), _run(0.3))
    assert "[control]" not in answer.in_markdown()
    pd.testing.assert_frame_equal(mark_controls(table, []), table)
