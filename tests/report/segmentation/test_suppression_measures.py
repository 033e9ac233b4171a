"""From counts to tables: planted answers, and a row that is computed again slowly."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hdf5_files import edited
from recorded import LAYER, write_shards
from scipy.stats import t as student
from segmentation_planted import (
    BIRD,
    BOAT,
    CAR,
    CFG,
    DEAD,
    FOG,
    GHOST,
    GROUND,
    TREE,
    UNKNOWN,
    planted_scene,
)

from vitproto.activations.stream import Activations
from vitproto.core.unfinished import Unfinished
from vitproto.report.segmentation.suppression_measures import (
    MeasuredClass,
    MeasuredSae,
    measure,
    tabulate_classes,
)
from vitproto.report.segmentation.suppression_rows import CONTROLS, EDITS, OWN
from vitproto.report.segmentation.suppression_table import (
    STEPS,
    Layer,
    compare_with_controls,
    find_lengths,
    summarise,
)
from vitproto.segmentation.suppression import intervals
from vitproto.segmentation.suppression.counts_file import read_counts
from vitproto.segmentation.suppression.edited_logits import AtProbeLayer
from vitproto.segmentation.suppression.effects import ClassEffects, EditEffects
from vitproto.segmentation.suppression.kept_classes import KeptClasses
from vitproto.segmentation.suppression.recorded_counts import record_counts
from vitproto.segmentation.suppression.suppress import suppress
from vitproto.segmentation.suppression.terms import ChosenClass, Place

CURVE = replace(CFG, doses=(0.0, -0.5, -1.0))


def write_counts(folder, scene, cfg=CFG, **place):
    """The file of counts of a scene."""
    folder.mkdir(exist_ok=True)
    cpu = torch.device("cpu")
    acts = Activations.open(write_shards(folder, scene.x_NPD), LAYER)
    found = suppress(
        *(acts, scene.labels, scene.autoencoder, scene.activity, scene.chosen),
        *(scene.directions_CD, AtProbeLayer(scene.probe), cpu, cfg),
        KeptClasses(Unfinished(folder / "found.h5", {})),
    )
    named = {
        **{"encoder": "tiny", "probe_layer": 2, "layer": 2},
        **{"method": "topk", "run": "k24-seed0"},
    } | place
    path = folder / "counts.h5"
    record_counts(path, found, scene.labels, named, {"doses": cfg.doses}, cfg)
    return path


def rows_of(folder, scene, cfg=CFG):
    return tabulate_classes(*measure([write_counts(folder, scene, cfg)]))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return rows_of(tmp_path_factory.mktemp("rows"), planted_scene())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """An SAE whose latents are the classes', and a control whose are not."""
    folder = tmp_path_factory.mktemp("two")
    scene = planted_scene()
    wrong = scene.with_latents(
        **{one.name: (8 + i,) for i, one in enumerate(scene.chosen[:4])}
    )
    paths = [
        write_counts(folder / "trained", scene, CURVE),
        write_counts(folder / "untrained", wrong, CURVE, method="untrained"),
    ]
    return paths, measure(paths)


@pytest.fixture
def few(monkeypatch):
    """Intervals over the five classes of a scene."""
    monkeypatch.setattr(intervals, "LEAST_CLASSES", 2)


def at(rows, label, edit, dose=-2.0):
    (index,) = rows.index[
        (rows["label"] == label) & (rows["edit"] == edit) & (rows["dose"] == dose)
    ]
    return rows.loc[index]


@pytest.mark.parametrize("dose", [0.0, -2.0])
@pytest.mark.parametrize("label", [TREE, CAR, BIRD])
def test_suppressing_the_latent_of_a_class_removes_it_and_leaves_the_others(
    rows, label, dose
):
    own = at(rows, label, OWN, dose)
    assert own["iou_before"] > 0.5
    assert own["loss"] > 0.9
    assert own["collateral"] < 0.05
    assert own["changed_class"] > 0.95
    assert own["changed_others"] < 0.02
    assert own["specificity_low"] > 0.5
    for control in CONTROLS:
        row = at(rows, label, control, dose)
        assert row["edit_norm"] == own["edit_norm"]
        assert row["margin_low"] > 0.1
        assert row["margin"] == pytest.approx(own["specificity"] - row["specificity"])
    assert at(rows, label, "class_direction", dose)["loss"] >= own["loss"] - 1e-9


def test_what_cannot_be_measured_is_empty_and_a_note_says_why(rows):
    for label, note in (
        (GHOST, "not in the validation images"),
        (UNKNOWN, "no training patch of purity ≥ 0.9"),
    ):
        of_class = rows[rows["label"] == label]
        assert of_class["edit"].tolist() == [OWN, OWN]
        assert of_class["dose"].tolist() == [0, -2]
        assert set(of_class["note"]) == {note}
        assert of_class["loss"].isna().all()
    boat = rows[rows["label"] == BOAT]
    assert set(boat["note"]) == {"fewer than 10 images show it: no interval"}
    assert boat["loss"].notna().all()
    assert boat["loss_low"].isna().all()
    fog = rows[rows["label"] == FOG]
    assert fog["note"].str.contains("the probe never predicts it").all()
    check_notes(rows)


def check_notes(rows):
    """No cell is empty without a word, but for those that no row of its kind has."""
    told = rows.drop(columns=["note", "latents"])
    margins = ["margin", "margin_low", "margin_high"]
    told.loc[told["edit"] == OWN, margins] = 0
    is_silent = told.isna().any(axis=1) & (rows["note"] == "")
    assert not is_silent.any(), rows[is_silent]


def test_dead_latents_change_nothing_and_the_table_says_so(tmp_path):
    scene = planted_scene().with_latents(car=(DEAD,), bird=(DEAD, 0))
    rows = rows_of(tmp_path, scene)
    car = rows[rows["label"] == CAR]
    assert car["note"].str.startswith("its latents are never active").all()
    for name in ("edit_norm", "loss", "collateral", "changed_class"):
        assert (car[name] == 0).all()
    bird = rows[rows["label"] == BIRD]
    assert bird["note"].str.startswith(f"never active of its latents: {DEAD}").all()
    check_notes(rows)


def test_a_class_that_is_alone_has_no_control_by_others_and_no_collateral(tmp_path):
    scene = planted_scene()
    only_trees = np.where(scene.labels.labels_NP == TREE, TREE, 0).astype(np.uint16)
    masks = np.where(scene.labels.masks_MHW == TREE, TREE, 0).astype(np.uint16)
    scene = replace(
        scene,
        labels=replace(scene.labels, labels_NP=only_trees, masks_MHW=masks),
        chosen=[one for one in scene.chosen if one.label == TREE],
    )
    rows = rows_of(tmp_path, scene)
    assert rows["note"].str.contains("no other class has latents to edit").all()
    assert rows["collateral"].isna().all()
    without = rows[rows["edit"] == "other_class"]
    assert without["note"].str.endswith("no other class has active latents").all()
    assert (without["n_draws"] == 0).all()
    check_notes(rows)


def test_files_of_other_classes_or_images_are_refused(tmp_path, two):
    path = tmp_path / "counts.h5"
    path.write_bytes(two[0][1].read_bytes())
    with edited(path) as file:
        file["image_ids"][0] = b"other"
    with pytest.raises(ValueError, match="are of other classes or images"):
        measure([two[0][0], path])


# Means over classes ---------------------------------------------------------------


def losses_again(path, label, kind, o):
    """The loss of a class and of the other judged ones, by loops over images.

    Reads the file, and shares no code with what is tested.
    """
    counts = read_counts(path)
    edited = counts.read_class(label)
    e = kind * len(counts.doses_O) + o
    found = {}
    for c in range(len(counts.class_names)):
        true = sum(int(n) for n in counts.true_MC[:, c])
        predicted = sum(int(n) for n in counts.predicted_MC[:, c])
        hit = sum(int(n) for n in counts.hit_MC[:, c])
        before = hit / (true + predicted - hit) if true else 0.0
        for x in range(edited.start_E[e], edited.start_E[e + 1]):
            if edited.class_X[x] == c:
                predicted += int(edited.predicted_X[x])
                hit += int(edited.hit_X[x])
        if before >= 0.05 and c + 1 in (GROUND, TREE, CAR, BIRD, BOAT):
            after = hit / (true + predicted - hit)
            found[c + 1] = (before - after) / max(before, after)
    return found.pop(label), np.mean(list(found.values()))


def test_a_row_of_the_table_is_what_a_slow_computation_finds(two, few):
    paths, saes = two
    lengths = find_lengths(saes)
    main = lengths[Layer("tiny", 2, 2)]
    summary = summarise(saes, lengths)
    is_row = (
        (summary["method"] == "topk")
        & (summary["edit"] == "random_directions")
        & (summary["at"] == "length")
        & summary["is_main"]
    )
    (row,) = (row for _, row in summary[is_row].iterrows())
    losses, collaterals, margins = [], [], []
    counts = read_counts(paths[0])
    for label in (GROUND, TREE, CAR, BIRD, BOAT):
        edited = counts.read_class(label)
        size_O = [part.mean() / counts.length_M.mean() for part in edited.length_OM]
        points = sorted(zip(size_O, range(len(size_O)), strict=True))
        read = {}
        for k, kind in enumerate(edited.kinds_K):
            curve = [(0.0, 0.0, 0.0)]
            curve += [
                (size, *losses_again(paths[0], label, k, o)) for size, o in points
            ]
            size, loss, collateral = zip(*curve, strict=True)
            read.setdefault(kind, []).append(
                (np.interp(main, size, loss), np.interp(main, size, collateral))
            )
        assert main <= size_O[-1]
        mean = {kind: np.mean(values, axis=0) for kind, values in read.items()}
        losses.append(mean["random_directions"][0])
        collaterals.append(mean["random_directions"][1])
        own, other = (
            loss - rest for loss, rest in (mean[OWN], mean["random_directions"])
        )
        margins.append(own - other)
    assert row["n_classes"] == row["n_compared"] == 5
    assert row["loss"] == pytest.approx(np.mean(losses), abs=1e-9)
    assert row["collateral"] == pytest.approx(np.mean(collaterals), abs=1e-9)
    assert row["margin"] == pytest.approx(np.mean(margins), abs=1e-9)
    assert row["win_rate"] == np.mean([margin > 0 for margin in margins])
    # The interval is no narrower than that of Student over the classes, with the
    # degrees of freedom of an excess kurtosis of 1.8.
    free = 2 / (2 / 4 + 1.8 / 5)
    half = student.ppf(0.975, free) * np.std(margins, ddof=1) / np.sqrt(5)
    assert row["margin_high"] - row["margin"] >= half * (1 - 1e-6)
    assert row["margin_high"] - row["margin"] <= 1.5 * half


def test_saes_are_compared_at_a_length_at_which_half_is_lost(two):
    _, saes = two
    lengths = find_lengths(saes)
    summary = summarise(saes, lengths)
    main = lengths[Layer("tiny", 2, 2)]
    assert set(
        summary.loc[summary["is_main"] & (summary["at"] == "length"), "length"]
    ) == {main}
    steps = summary[(summary["at"] == "length") & (summary["edit"] == OWN)]
    for _, of_sae in steps.groupby("method"):
        # The last is the longest edit that all classes reach, to two digits.
        *steps_to, reach = sorted(set(of_sae["length"]))
        assert set(steps_to) <= {main * step for step in STEPS}
        assert f"{reach:.2g}" == f"{reach:.12g}"
        assert of_sae["n_classes"].nunique() == 1
    half = summary[(summary["at"] == "half") & (summary["n_classes"] > 0)]
    np.testing.assert_allclose(half["loss"], 0.5)
    assert set(summary["edit"]) == set(EDITS)


def test_latents_of_the_classes_lead_those_of_the_control_and_itself_not_at_all(
    two, few
):
    _, saes = two
    lengths = find_lengths(saes)
    compared = compare_with_controls(saes, lengths, ["untrained"])
    compared = compared[compared["is_main"]]
    assert compared["method"].tolist() == ["topk", "topk"]
    row = compared[compared["at"] == "length"].iloc[0]
    assert (row["n_controls"], row["n_classes"]) == (1, 5)
    assert row["lead"] > 0.1
    again = [saes[0], replace(saes[0], place=saes[1].place)]
    same = compare_with_controls(again, lengths, ["untrained"])
    same = same[same["is_main"]].iloc[0]
    assert same[["lead", "lead_low", "lead_high", "p"]].tolist() == [0, 0, 0, 1]
    assert (same["n_more"], same["n_less"]) == (0, 0)


def test_only_untrained_saes_of_the_same_layer_and_size_are_controls(two):
    trained, control = two[1]
    lengths = find_lengths(two[1])
    for place in (
        control.place._replace(layer=1),
        control.place._replace(run="k48-seed0"),
        control.place._replace(method="relu"),
    ):
        other = replace(control, place=place)
        found = find_lengths([trained, other])
        rows = compare_with_controls([trained, other], found, ["untrained"])
        row = rows[(rows["method"] == "topk") & (rows["at"] == "length")].iloc[0]
        assert row["n_controls"] == 0
        assert np.isnan(row["lead"])
    # Two equal controls are as one.
    both = [trained, control, replace(control, place=control.place)]
    twice = compare_with_controls(both, lengths, ["untrained"])
    once = compare_with_controls([trained, control], lengths, ["untrained"])
    columns = ["lead", "lead_low", "lead_high", "n_classes"]
    pd.testing.assert_frame_equal(twice[columns], once[columns])


def test_classes_out_of_reach_are_counted(two):
    _, saes = two
    longest = [max(effects.length_O) for effects in saes[0].judged.values()]
    middle = float(np.median(longest))
    far = dict.fromkeys(find_lengths(saes), middle)
    summary = summarise(saes[:1], far)
    own = summary[(summary["edit"] == OWN) & (summary["length"] == middle)].iloc[0]
    assert own["n_unreached"] == sum(length < middle for length in longest) == 2
    assert own["n_classes"] + own["n_unreached"] == len(longest)


# Curves that are given ------------------------------------------------------------


def sae_of(curves, method="topk", seed=0, control=None, noise=0.0):
    """An SAE with a curve for each class: losses by length; others lose nothing.

    Args:
        curves: for each class, the loss at each length.
        method, seed: name it.
        control: the loss with random latents, the same for all classes and lengths.
        noise: the standard deviation of what is added to the losses of each class.
    """
    rng = np.random.default_rng(seed)
    classes = {}
    for label, curve in enumerate(curves, start=1):
        length_O, loss_O = (np.array(part, float) for part in zip(*curve, strict=True))
        loss_O = loss_O + noise * rng.standard_normal()
        none_OM = np.zeros((len(loss_O), 3), np.float32)
        edits = {
            edit: EditEffects(
                *(loss[None], np.zeros((1, len(loss))), none_OM, none_OM),
                *[loss] * 6,
            )
            for edit, loss in (
                (OWN, loss_O),
                ("random_latents", np.full(len(loss_O), control)),
            )
            if edit == OWN or control is not None
        }
        effects = ClassEffects(
            *(length_O, 0.8, 0.8, 0.8, 0.8, edits),
            **{"n_images": 20, "n_effective": 20.0, "n_others": 11},
            **{"is_predicted": True, "is_alone": False},
        )
        chosen = ChosenClass(label, f"class {label}", (label,), ())
        classes[label] = MeasuredClass(chosen, (), effects)
    place = Place("tiny", 2, 2, method, f"k24-seed{seed}")
    names = tuple(f"class {label}" for label in classes)
    return MeasuredSae(place, (0.0, -1.0), names, ("a", "b", "c"), classes)


def halved_at(*lengths, longest=1.0):
    """Curves that rise evenly to a loss of half, at a length or never, and stay."""
    return [
        [(length, 0.5), (longest, 0.5)] if length < longest else [(longest, 0.2)]
        for length in lengths
    ]


NEVER = np.inf
PLANTED = Layer("tiny", 2, 2)


def own_rows(saes):
    lengths = find_lengths(saes)
    summary = summarise(saes, lengths)
    is_own = (summary["edit"] == OWN) & (summary["at"] == "length")
    return lengths[PLANTED], summary[is_own & summary["is_main"]]


def test_classes_that_never_lose_half_count_when_the_length_is_chosen():
    # Of the classes that reach half, half have done so by 0.12, but of all only 3.
    sae = sae_of(halved_at(0.1, 0.11, 0.12, 0.131, 0.4, 0.5, *[NEVER] * 2))
    main, rows = own_rows([sae])
    # Rounded up: at 0.13 only three of eight have lost half.
    assert main == 0.14
    assert rows["n_half"].tolist() == [4]


def test_where_half_never_lose_half_the_longest_common_length_is_taken():
    mostly = sae_of(halved_at(0.1, 0.2, 0.3, *[NEVER] * 5, longest=0.878))
    main, rows = own_rows([mostly])
    assert main == 0.87
    assert rows["n_half"].tolist() == [3]
    # One SAE of three is no half of them.
    quick = sae_of(halved_at(*[0.1] * 8), "relu")
    also = replace(mostly, place=mostly.place._replace(method="gated"))
    main, rows = own_rows([mostly, quick, also])
    assert main == 0.87
    assert rows["n_half"].tolist() == [3, 8, 3]


@pytest.mark.parametrize("seed", range(20))
def test_at_the_chosen_length_half_of_the_classes_are_half_gone_with_half_of_the_saes(
    seed,
):
    rng = np.random.default_rng(seed)
    saes = []
    for method in ("topk", "relu", "gated", "untrained")[: 1 + seed % 4]:
        halves = rng.lognormal(-2, 1, 11)
        halves[rng.random(11) < 0.3] = NEVER
        saes.append(sae_of(halved_at(*halves), method))
    main, rows = own_rows(saes)
    is_half = 2 * rows["n_half"] >= rows["n_classes"]
    assert 2 * is_half.sum() >= len(saes) or main == 1.0


def test_trained_and_untrained_are_compared_at_all_lengths_that_classes_reach():
    # The trained one is ahead with short edits, and behind with long ones.
    trained = sae_of([[(0.1, 0.4), (1.04, 0.6)]] * 12, noise=0.01)
    control = sae_of([[(0.1, 0.1), (1.3, 1.0)]] * 12, "untrained", noise=0.01)
    lengths = find_lengths([trained, control])
    compared = compare_with_controls([trained, control], lengths, ["untrained"])
    rows = compared[compared["at"] == "length"]
    main = lengths[PLANTED]
    assert rows["length"].tolist() == sorted(
        {1.0, *(main * step for step in STEPS if main * step < 1)}
    )
    assert rows.loc[rows["is_main"], "length"].tolist() == [main]
    assert rows["n_classes"].eq(12).all()
    assert rows["p"].notna().tolist() == rows["is_main"].tolist()
    assert rows["lead_low"].iloc[0] > 0
    assert rows["lead_high"].iloc[-1] < 0
    assert rows["lead"].iloc[-1] == pytest.approx(
        0.4 + 0.2 * 0.9 / 0.94 - (0.1 + 0.9 * 0.9 / 1.2), abs=0.02
    )


def test_p_values_are_corrected_over_all_saes_that_are_compared():
    def sae(method, seed, loss):
        return sae_of([[(0.5, loss)]] * 12, method, seed, control=0.1, noise=0.3)

    strong, weak, control = (
        *(sae("topk", 1, 0.6), sae("relu", 1, 0.3)),
        sae_of([[(0.5, 0.1)]] * 12, "untrained", 1),
    )
    lengths = {PLANTED: 0.5}

    def leads(*saes):
        rows = compare_with_controls([*saes, control], lengths, ["untrained"])
        return rows.loc[(rows["at"] == "length") & rows["is_main"], "p"].tolist()

    def margins(*saes):
        return summarise(saes, lengths).pipe(
            lambda rows: rows.loc[rows["margin_p"].notna(), "margin_p"].tolist()
        )

    for p_of in (leads, margins):
        (alone,), (other,) = p_of(strong), p_of(weak)
        assert alone < other
        first, second = p_of(strong, weak)
        assert first == pytest.approx(2 * alone)
        assert second == pytest.approx(max(other, 2 * alone))


def test_a_net_lead_leaves_out_what_random_directions_do_in_the_same_place():
    rng = np.random.default_rng(0)
    own_C, other_C = 0.5 + 0.1 * rng.random(12), 0.3 + 0.1 * rng.random(12)
    blind_C = rng.random((2, 12)) / 10
    saes = []
    for method, loss_C, place_C in zip(
        ("topk", "untrained"), (own_C, other_C), blind_C, strict=True
    ):
        sae = sae_of([[(0.5, loss)] for loss in loss_C], method)
        for label, loss in enumerate(place_C, start=1):
            each = sae.classes[label]
            own = each.effects.edits[OWN]
            each.effects.edits["random_directions"] = replace(
                own, loss_NO=np.full((1, 1), loss)
            )
        saes.append(sae)
    rows = compare_with_controls(saes, {PLANTED: 0.5}, ["untrained"])
    row = rows[rows["is_main"] & (rows["at"] == "length")].iloc[0]
    lead_C = own_C - other_C
    net_C = lead_C - (blind_C[0] - blind_C[1])
    for name, values_C in (("lead", lead_C), ("net_lead", net_C)):
        # Degrees of freedom of 12 values with an excess kurtosis of 1.8.
        low, high = student.interval(
            0.95,
            2 / (2 / 11 + 1.8 / 12),
            loc=values_C.mean(),
            scale=values_C.std(ddof=1) / 12**0.5,
        )
        assert row[name] == pytest.approx(values_C.mean())
        assert row[[f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(
            [low, high]
        )
    assert rows.loc[rows["at"] == "half", "net_lead"].isna().all()


def test_fewer_than_ten_classes_have_leads_and_margins_without_interval_and_p():
    saes = [
        sae_of([[(0.5, 0.6)]] * 9, control=0.1),
        sae_of([[(0.5, 0.1)]] * 9, "untrained", control=0.1),
    ]
    lengths = {PLANTED: 0.5}
    rows = compare_with_controls(saes, lengths, ["untrained"])
    row = rows[rows["is_main"]].iloc[0]
    assert (row["n_classes"], row["lead"]) == (9, 0.5)
    assert row[["lead_low", "lead_high", "p"]].isna().all()
    summary = summarise(saes, lengths)
    control = summary[(summary["edit"] == "random_latents") & summary["is_main"]]
    assert control["margin"].iloc[0] == 0.5
    assert control[["margin_low", "margin_p"]].isna().all(axis=None)
