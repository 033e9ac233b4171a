"""Effects of suppression on a few classes, worked out by hand, and their wording."""

import json
import re
import runpy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suppression_rows import (
    EXPECTED,
    PLACE,
    around,
    change_row,
    latent_row,
    plausible,
    row,
    write_sae,
)

from vitproto.core.project import PROJECT
from vitproto.report.segmentation.suppression_links import PictureLink, find_pictures
from vitproto.report.segmentation.suppression_markdown import (
    describe_changes,
    describe_latents,
    show_classes,
    show_summary,
    write_suppression_table,
)
from vitproto.report.segmentation.suppression_rows import (
    Place,
    SuppressionFiles,
    check_complete,
    check_dose,
    read_suppression,
)
from vitproto.report.segmentation.suppression_table import (
    mean_over_classes,
    rank_saes,
    share_of_ceiling,
    summarise,
)
from vitproto.report.segmentation.suppression_text import (
    write_answer,
    write_answers,
    write_unjudged,
    write_verdict,
)

SAE = "topk k512-seed0, layer 10"
DOSE = -2.0


def files_of(*saes):
    """The files of some SAEs, each with what `write_sae` gives."""
    return SuppressionFiles(*zip(*saes, strict=True))


def stage(name):
    return runpy.run_path(str(PROJECT / f"scripts/{name}.py"))[name]


def against(label, own, **controls):
    """Rows of a class: its latents' specificity, and that of each control."""
    rows = [row(label, "latents", DOSE, own, latents=f"{label} 100")]
    for edit, specificity in controls.items():
        margin = around("margin", own - specificity)
        rows.append(row(label, edit, DOSE, specificity, **margin))
    return rows


def read(folder, rows, latents=None, changes=(), **place):
    latents = latents or [latent_row(label, label) for label in (1, 2, 3, 4)]
    files = write_sae(folder, "a", rows, latents, changes, **place)
    return read_suppression(files_of(files))


@pytest.fixture
def four_classes(tmp_path):
    """One win, one tie, one loss; a class that is not there."""
    rows = [
        *against(1, 0.4, random_latents=0.1, class_direction=0.5),
        *against(2, 0.2, random_latents=0.2, class_direction=0.5),
        *against(3, 0.0, random_latents=0.06, class_direction=0.2),
        row(4, "latents", DOSE, note="not in the validation images"),
    ]
    return read(tmp_path, rows)


def of(summary, edit):
    return summary[summary["edit"] == edit].iloc[0]


# The summary ----------------------------------------------------------------------


def test_means_and_win_rates_of_three_classes_worked_out_by_hand(four_classes):
    summary = summarise(four_classes)
    own, control = of(summary, "latents"), of(summary, "random_latents")
    assert (own["n_classes"], own["n_unjudged"]) == (3, 1)
    assert own["specificity"] == pytest.approx(0.2)
    # In each row the loss is 0.01 more than the specificity, which is the collateral.
    assert own["loss"] == pytest.approx(0.21)
    assert own["collateral"] == pytest.approx(0.01)
    assert own["edit_norm"] == pytest.approx(0.2)
    assert control["specificity"] == pytest.approx(0.12)
    # Margins 0.3, 0 and -0.06: a win, a tie that counts half, and a loss.
    assert control["margin"] == pytest.approx(0.08)
    assert control["win_rate"] == pytest.approx(1.5 / 3)
    assert control["n_compared"] == 3
    # Intervals reach 0.03 to both sides: two exclude 0.
    assert (control["n_above"], control["n_below"]) == (1, 1)
    ceiling = of(summary, "class_direction")
    assert ceiling["win_rate"] == 0
    assert (ceiling["n_above"], ceiling["n_below"]) == (0, 3)
    assert share_of_ceiling(four_classes, SAE, DOSE) == pytest.approx((0.2, 0.4))


def test_the_latents_have_no_margin_over_themselves(four_classes):
    own = of(summarise(four_classes), "latents")
    told = ["margin", "margin_low", "margin_high", "win_rate", "n_compared", "n_above"]
    assert own[told].isna().all()


def test_a_margin_below_its_rounding_is_a_tie(tmp_path):
    rows = against(1, 0.3, random_latents=0.3 - 1e-12)
    assert of(summarise(read(tmp_path, rows)), "random_latents")["win_rate"] == 0.5


def test_a_class_with_nothing_to_lose_or_without_edit_is_not_judged(tmp_path):
    never = {"iou_before": 0.0, "iou_after": 0.0, "note": "the probe never predicts it"}
    dead = {"edit_norm": 0.0, "note": "its latents are never active"}
    rows = [
        *against(1, 0.4, random_latents=0.1),
        row(2, "latents", DOSE, -0.01, latents="2", **never),
        row(3, "latents", DOSE, 0.0, latents="3", **dead),
        row(4, "latents", DOSE, 0.0, latents="4", iou_before=0.0),
    ]
    found = read(tmp_path, rows)
    assert of(summarise(found), "latents")["n_classes"] == 1
    assert write_unjudged(found, SAE, DOSE) == (
        f"{SAE}: 3 of 4 classes could not be judged and are left out of all means and "
        "win rates. The probe never predicts it: 2 building. Its latents are never "
        "active: 3 sky. Its IoU is 0 before any edit: 4 floor."
    )


def test_the_interval_of_a_mean_is_that_of_a_bootstrap_with_one_draw_fewer():
    value_C = np.array([0.1, 0.5, 0.3, 0.9, 0.2, 0.4])
    mean = mean_over_classes(value_C)
    rng = np.random.default_rng(99)
    means_R = rng.choice(value_C, (200_000, 5)).mean(axis=1)
    expected = np.percentile(means_R, [2.5, 97.5])
    np.testing.assert_allclose([mean.low, mean.high], expected, atol=0.02)
    assert mean.value == pytest.approx(0.4)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_an_interval_lies_within_the_values(values):
    mean = mean_over_classes(np.array(values))
    assert min(values) - 1e-9 <= mean.low <= mean.high <= max(values) + 1e-9


def test_the_interval_of_a_single_class_is_unknown_and_of_none_there_is_nothing():
    assert mean_over_classes(np.array([0.5]))[:3] == (0.5, -np.inf, np.inf)
    assert np.isnan(mean_over_classes(np.array([]))[:3]).all()


def test_saes_are_compared_on_the_classes_that_all_judge(tmp_path):
    one = write_sae(
        tmp_path,
        "a",
        [*against(1, 0.5), *against(2, 0.3), *against(3, 0.9)],
        [latent_row(1, 1)],
    )
    two = write_sae(
        tmp_path,
        "b",
        [*against(1, 0.2), *against(2, 0.1), row(3, "latents", DOSE, note="no")],
        [latent_row(1, 1)],
        method="relu",
    )
    found = read_suppression(files_of(two, one))
    best, other = rank_saes(found, DOSE)
    assert (best.sae, best.below.n_classes) == (SAE, 2)
    assert best.specificity == pytest.approx(0.4)
    # Differences 0.3 and 0.2: each of the draws of one class is above 0.
    assert other.below.value == pytest.approx(0.25)
    assert other.below.low == pytest.approx(0.2)
    assert other.is_worse


# Words ----------------------------------------------------------------------------


CONTROLS = ("random_latents", "random_directions", "other_class")


def many(folder, margins, own=(0.30, 0.32, 0.34, 0.36), ceiling=0.66, **place):
    """Four classes whose latents lead each control by these margins, about."""
    rows = []
    for label, specificity in enumerate(own, 1):
        wiggle = 0.004 * label - 0.01
        controls = {
            edit: specificity - margin - wiggle * (1 + 50 * (margin == 0))
            for edit, margin in zip(CONTROLS, margins, strict=True)
        }
        rows += against(label, specificity, **controls, class_direction=ceiling)
    return read(folder, rows, **place)


def test_a_win_against_all_controls_is_told(tmp_path):
    found = many(tmp_path, (0.2, 0.3, 0.1))
    summary = summarise(found)
    answer, verdict = write_answers(found, summary, DOSE)
    assert answer == (
        f"Yes: the latents of {SAE} matter more to their class than equally long edits "
        "in other directions."
    )
    assert verdict.startswith(
        f"With the latents of {SAE} set to −2 times their largest observed value, they "
        "matter more to their class than equally long edits with random latents "
        "(margin 0.200, 95 % interval 0."
    )
    assert (
        "They take 0.340 of IoU from their class and 0.010 from the mean of the "
        "others, on average over 4 classes: a specificity of 0.330 (95 % interval"
    ) in verdict
    assert verdict.endswith("specificity of 0.660: the latents reach 50.0 % of it.")


def test_where_nobody_wins_that_is_said_plainly(tmp_path):
    found = many(tmp_path, (0, 0, 0), own=(0.1, -0.1, 0.05, -0.05), ceiling=0.4)
    answer, verdict = write_answers(found, summarise(found), DOSE)
    assert answer.startswith(f"Not clearly: the latents of {SAE} do not matter more")
    assert "nobody wins: they cannot be told apart from equally long edits" in verdict
    assert "which is not clearly above 0." in verdict
    assert verdict.endswith("the latents reach none of it.")


def test_a_loss_is_told_and_a_mixed_result_in_all_its_parts(tmp_path):
    found = many(tmp_path, (0.2, 0, -0.2))
    _, verdict = write_answers(found, summarise(found), DOSE)
    win, close, loss = (
        verdict.index(words)
        for words in (
            "they matter more to their class than equally long edits with random lat",
            "; they cannot be told apart from those with random directions (margin",
            "; they matter less to their class than those with latents of another",
        )
    )
    assert win < close < loss
    assert "nobody wins" not in verdict


def test_latents_that_harm_the_others_more_are_called_so(tmp_path):
    found = many(tmp_path, (-0.1, -0.2, -0.3), own=(-0.2, -0.3, -0.2, -0.3), ceiling=-1)
    _, verdict = write_answers(found, summarise(found), DOSE)
    assert "they matter less to their class than equally long edits with" in verdict
    assert "they harm the others more than their class." in verdict
    assert verdict.endswith(
        "at this length not even the ceiling is specific to the class."
    )


def test_latents_as_specific_as_the_ceiling_reach_it(tmp_path):
    found = many(tmp_path, (0.2, 0.3, 0.1), ceiling=0.1)
    assert write_answers(found, summarise(found), DOSE)[1].endswith("reach all of it.")


def test_where_everything_is_missing_nothing_is_made_up(tmp_path):
    rows = [
        row(1, "latents", DOSE, note="not in the validation images"),
        row(2, "latents", DOSE, note="no training patch of purity ≥ 0.9"),
    ]
    latents = [latent_row(1, 5), latent_row(2, "", note="no training patch")]
    found = read(tmp_path, rows, latents)
    summary = summarise(found)
    text = write_suppression_table(found, summary, DOSE, {}, [])
    assert "No conclusion: no class could be compared with edits in other" in text
    assert "largest observed value, no class could be judged." in text
    assert "2 of 2 classes could not be judged" in text
    assert "nan" not in text.lower()
    (cells,) = show_summary(summary, DOSE).rows
    assert cells == [SAE, "its latents", "0", *["–"] * 7]


def test_a_single_class_has_no_interval_and_so_wins_nothing(tmp_path):
    rows = against(1, 0.4, random_latents=0.1, class_direction=0.5)
    found = read(tmp_path, rows, [latent_row(1, 1)])
    answer, verdict = write_answers(found, summarise(found), DOSE)
    assert answer.startswith("Not clearly")
    assert (
        "(margin 0.300, 95 % interval unknown, for there is only one class)" in verdict
    )
    assert "in the only class that could be judged: a specificity of 0.400. " in verdict


def test_of_several_saes_the_best_is_named_or_nobody(tmp_path):
    close = [0.31, 0.31, 0.35, 0.35]
    for own, expected in (
        ((0.1, 0.12, 0.11, 0.13), f"{SAE} wins: specificity 0.330, 0.215 more than"),
        (close, "nobody wins: "),
    ):
        one = many(tmp_path / "one", (0.2, 0.3, 0.1))
        two = many(tmp_path / "two", (0, 0, 0), own=own, method="relu")
        assert list(one.places) != list(two.places)
        files = [
            [
                tmp_path / name / f"a.{what}.csv"
                for what in ("suppression", "class_latents", "changes")
            ]
            for name in ("one", "two")
        ]
        found = read_suppression(files_of(*files))
        summary = summarise(found)
        *_, told = write_answers(found, summary, DOSE)
        assert expected in told
        assert "Their edits may differ in length" in told
        assert write_answer(found, summary, DOSE) == (
            f"For 1 of 2 SAEs: the latents of {SAE} matter more to their class than "
            "equally long edits in other directions."
        )


def test_edits_longer_than_activations_come_with_a_warning(tmp_path):
    for norm, expected in (
        (0.2, "All edits are 20.0 % as long as the activations, on average."),
        (
            2.2,
            "2.2 times as long as the activations, on average: activations edited th",
        ),
    ):
        own = row(1, "latents", DOSE, 0.2, latents="1", edit_norm=norm)
        found = read(tmp_path, [own], [latent_row(1, 1)])
        assert expected in write_verdict(SAE, found, summarise(found), DOSE)


def test_an_edit_that_sets_to_zero_is_called_so(tmp_path):
    rows = [row(1, "latents", 0.0, 0.2, latents="1")]
    found = read(tmp_path, rows, [latent_row(1, 1)])
    verdict = write_verdict(SAE, found, summarise(found), 0.0)
    assert verdict.startswith(f"With the latents of {SAE} set to zero, there is no")


# Tables ---------------------------------------------------------------------------


def test_the_table_of_classes_shows_what_was_measured(tmp_path):
    rows = [
        *against(1, 0.4, random_latents=0.1),
        row(2, "latents", DOSE, 0.1, latents="9", note="shown by one image"),
        row(2, "random_latents", DOSE, note="no other latent is active"),
        row(3, "latents", DOSE, note="not in the validation images"),
    ]
    latents = [
        *(latent_row(1, 100, 1, ap=0.5), latent_row(1, 1, 0, ap=0.8)),
        latent_row(2, 9, alignment=-0.125),
        latent_row(4, "", note="no training patch"),
    ]
    changes = [
        *(change_row(1, 2, 0.5), change_row(1, 3, 0.25), change_row(1, 77, 0.15)),
        change_row(1, 4, 0.1),
    ]
    table = show_classes(read(tmp_path, rows, latents, changes), SAE, DOSE)
    first, second, third, fourth = table.rows
    assert first == [
        *("1", "wall", "1 100", "0.80 0.50", "0.25 0.25"),
        *("0.800 → 0.390", "0.500 → 0.490", "41.0", "2.0"),
        "building 50 %, sky 25 %, label 77 15 %",
        *("0.400 (0.370 to 0.430)", "0.300 (0.270 to 0.330)", ""),
    ]
    assert second[4] == "−0.12"
    assert second[-2:] == ["–", "shown by one image; no other latent is active"]
    assert third == ["3", "sky", *["–"] * 10, "not in the validation images"]
    # It stands in the latents alone: not silently dropped.
    assert fourth == ["4", "floor", *["–"] * 10, "not measured at this dose"]


def test_latents_without_measures_and_classes_without_changes_have_dashes(tmp_path):
    rows = [row(1, "latents", DOSE, 0.1, latents="3 4")]
    latents = [latent_row(1, 3, ap="", alignment="")]
    found = read(tmp_path, rows, latents)
    assert describe_latents(found, SAE, 1, "3 4") == ("– –", "– –")
    assert describe_changes(found, SAE, 1, DOSE) == "–"
    changes = [change_row(1, 2, 0.996), change_row(1, 3, 0.004)]
    found = read(tmp_path, rows, latents, changes)
    assert describe_changes(found, SAE, 1, DOSE) == "label 2 100 %"


def test_notes_and_numbers_of_a_whole_study_hold_no_nan(tmp_path):
    rows, latents, changes = plausible()
    found = read(tmp_path, rows, latents, changes)
    links = [
        PictureLink(Place(**PLACE), 1, "wall", "p/00001.png", "", 9),
        PictureLink(Place(**PLACE), 7, "lamp", "", "not in the validation images", 0),
    ]
    text = write_suppression_table(
        found, summarise(found), DOSE, {"doses": "d.png"}, links
    )
    assert "nan" not in text.lower()
    assert "inf" not in text
    assert "Charts: [doses](d.png)." in text
    assert (
        "Pictures: [1 wall](p/00001.png), 7 lamp (not in the validation images)."
    ) in text
    assert "3 of 8 classes could not be judged" in text
    for label in range(1, 9):
        assert re.search(rf"^\| +{label} \|", text, re.M)


# Files ----------------------------------------------------------------------------


def two_saes(folder):
    one = write_sae(folder, "one", *plausible(0))
    two = write_sae(folder, "two", *plausible(1, strength=0.1), layer=9)
    return one, two


def test_the_stage_writes_the_same_bytes_whatever_the_order_of_saes(tmp_path):
    one, two = two_saes(tmp_path)
    runs = ("tiny/layer10/topk,tiny/layer9/topk:k512-seed0",)
    both = replace(EXPECTED, runs=runs)
    written = set()
    for i, order in enumerate([(one, two), (two, one)]):
        table, csv = tmp_path / f"{i}.md", tmp_path / f"{i}.csv"
        stage("tabulate_suppression")(
            files_of(*order),
            *(tmp_path / "dose.png", tmp_path / "class.png", ()),
            *(table, csv),
            dose=DOSE,
            expected=both,
        )
        written.add((table.read_bytes(), csv.read_bytes()))
    ((text, csv),) = written
    assert b"[dose and response](dose.png)" in text
    read_back = pd.read_csv(tmp_path / "0.csv")
    # Two SAEs, five edits, four doses; the lower layer first, the weakest dose first.
    assert len(read_back) == 2 * 5 * 4
    assert read_back["layer"].iloc[0] == 9
    assert read_back["sae"].iloc[0] == "topk k512-seed0, layer 9, probe of layer 10"
    assert read_back["dose"].head(4).tolist() == [0, -1, -2, -4]
    assert csv.decode().startswith(
        "sae,encoder,probe_layer,layer,method,run,edit,dose,n_classes,n_unjudged,"
    )


def test_a_dose_that_was_not_measured_is_refused(tmp_path):
    found = read(tmp_path, against(1, 0.4))
    with pytest.raises(ValueError, match="dose is -3, but .* the doses -2: take"):
        check_dose(found, -3.0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "10,10,topk,k512-seed0,1,wall,latents",
            "10,10,topk,k512-seed0,1,wall,all",
            "line 2: the edit is none of latents, random_",
        ),
        (
            ",random_latents,",
            ",latents,",
            "line 3: this class, edit and dose are on an earlier",
        ),
        ("specificity,", "precision,", "lacks the columns specificity"),
        ("k512-seed0", "k512-seed1", "holds rows of 2 SAEs, expected one"),
        ("0.8,", "most,", "a.suppression.csv: "),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, expected):
    rows = against(1, 0.4, random_latents=0.1)
    files = write_sae(tmp_path, "a", rows, [latent_row(1, 1)])
    text = files[0].read_text()
    assert old in text
    files[0].write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_suppression(files_of(files))


def test_what_is_missing_without_a_note_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 2: nothing was measured, and no note"):
        read(tmp_path, [row(1, "latents")])
    with pytest.raises(ValueError, match="line 2: the class has no latent, and no"):
        read(tmp_path, against(1, 0.4), [latent_row(1, "")])


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    (a, a_latents, a_changes), (b, b_latents, b_changes) = two_saes(tmp_path)
    with pytest.raises(ValueError, match="2 files of suppression, 1 of class latents"):
        read_suppression(SuppressionFiles((a, b), (a_latents,), (a_changes, b_changes)))
    with pytest.raises(ValueError, match="are of different SAEs"):
        read_suppression(files_of((a, a_latents, b_changes), (b, b_latents, a_changes)))
    with pytest.raises(ValueError, match="files of suppression hold topk k512-seed0"):
        read_suppression(files_of(*[(a, a_latents, a_changes)] * 2))
    with pytest.raises(ValueError, match="call label 1 'wall' and 'door'"):
        read(tmp_path, against(1, 0.4), [latent_row(1, 1, name="door")])


def test_pictures_are_found_by_what_they_say_of_themselves(tmp_path):
    folder = tmp_path / "of wall?"
    folder.mkdir()
    one = {"label": 1, "class_name": "wall", "picture": "00001.png", "note": ""}
    none = {"label": 7, "class_name": "lamp", "picture": "", "note": "not there"}
    told = PLACE | {"classes": [none | {"width": 0}, one | {"width": 99}]}
    (folder / "pictures.json").write_text(json.dumps(told))
    place = Place(**PLACE)
    page = tmp_path / "page" / "index.html"
    wall, lamp = find_pictures([folder], page, [place])
    assert wall == (place, 1, "wall", "../of%20wall%3F/00001.png", "", 99)
    assert (lamp.href, lamp.note) == ("", "not there")
    with pytest.raises(ValueError, match="shows topk k512-seed0 in layer 10, but no"):
        find_pictures([folder], page, [place._replace(layer=3)])
    with pytest.raises(ValueError, match="holds no pictures.json"):
        find_pictures([tmp_path], page, [place])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": ("tiny/layer10/topk:k8-seed0",)}, "topk k8-seed0, and holds tiny/la"),
        ({"probe_layer": 9}, "evaluated with a probe of layer 10, expected layer 9"),
        ({"doses": (0.0, -1.0, -2.0)}, "holds class_direction at dose -4 and 4 more"),
        ({"doses": (0.0, -1.0, -2.0, -4.0, -8.0)}, "lacks class_direction at dose -8"),
    ],
)
def test_other_saes_or_doses_than_the_study_has_are_refused(tmp_path, change, message):
    files = write_sae(tmp_path, "a", *plausible())
    found = read_suppression(files_of(files))
    check_complete(found, EXPECTED)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_complete(found, replace(EXPECTED, **change))


def test_a_row_or_a_class_that_is_missing_is_named(tmp_path):
    rows, latents, changes = plausible()
    lacking = [
        one
        for one in rows
        if (one["label"], one["edit"], one["dose"]) != (2, "other_class", -1.0)
    ]
    assert len(lacking) == len(rows) - 1
    for kept, message in (
        (lacking, "label 2 of topk k512-seed0, layer 10 lacks other_class at dose -1:"),
        ([one for one in rows if one["label"] != 7], "label 7 of .* lacks latents at"),
    ):
        files = write_sae(tmp_path, "a", kept, latents, changes)
        found = read_suppression(files_of(files))
        with pytest.raises(ValueError, match=message):
            check_complete(found, EXPECTED)
