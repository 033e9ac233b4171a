"""Selection, comparison and null on planted scores, from files to the answer.

One method finds traits, two others know nothing.
"""

import runpy
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from vitproto.core.hdf5_file import open_new, write_attributes, write_strings
from vitproto.core.project import PROJECT
from vitproto.data.image_list import write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.traits.answer import Place, find_answer
from vitproto.report.traits.ap_table import read_rows
from vitproto.report.traits.chosen_settings import rank_settings
from vitproto.report.traits.comparison_table import tabulate_comparisons
from vitproto.report.traits.group_table import read_groups
from vitproto.report.traits.map_table import tabulate_configurations
from vitproto.report.traits.method_comparison import compare_in_layer
from vitproto.report.traits.statistics import (
    Statistics,
    StatisticsFiles,
    read_statistics,
)
from vitproto.report.traits.trait_groups import find_group
from vitproto.study.family import ScoredFamily
from vitproto.traits.ceiling_scores import open_ceiling_scores
from vitproto.traits.chance import expected_ap
from vitproto.traits.pooled_file import PooledLayer, create_pooled
from vitproto.traits.resampled_ap import draw_counts
from vitproto.traits.resampled_rows import SEED, read_resampled_images
from vitproto.traits.trait_probes import TraitProbeSettings

N_CLASSES, N_PER_CLASS, K = 24, 12, 8
N_RESAMPLES = 100
TRAITS = [f"has_{part}::{value}" for part in "abc" for value in ("x", "y")]
TRAITS.append("has_rare::x")
METHODS = ("good", "noisea", "noiseb")
RUNS = ("k8-seed0", "k8-seed1", "k8-seed2")


def _stage(name):
    return runpy.run_path(str(PROJECT / "scripts" / f"{name}.py"))[name]


class Study:
    """All files of a study with three methods in one layer."""

    def __init__(self, folder):
        rng = np.random.default_rng(1)
        class_N = np.repeat(np.arange(N_CLASSES), N_PER_CLASS)
        self.ids = list(map(str, range(len(class_N))))
        self.is_test_N = np.arange(len(class_N)) % 2 == 1
        has_CT = rng.random((N_CLASSES, len(TRAITS))) < 0.35
        has_CT[:, -1] = np.arange(N_CLASSES) % 8 == 0
        shape = len(class_N), len(TRAITS)
        self.known_NT = rng.random(shape) < 0.9
        self.class_N = class_N
        self.splits, self.traits = folder / "splits.csv", folder / "traits.npz"
        images = {
            "image_id": self.ids,
            "split": np.where(self.is_test_N, "test", "train"),
            "class_name": [f"species {c}" for c in class_N],
        }
        write_splits(pd.DataFrame(images), self.splits)
        # Certainty 3; not visible where unknown; a third of the rest is only guessed.
        guessed_NT = rng.random(shape) < 1 / 3
        certainty_NT = np.where(self.known_NT, np.where(guessed_NT, 2, 3), 1)
        answers_NT = certainty_NT + 8 * (has_CT[class_N] & self.known_NT)
        self.labels_NT = self.known_NT & has_CT[class_N] & ~guessed_NT
        self.answers_NT = answers_NT.astype(np.uint8)
        labels = TraitLabels(
            *(self.ids, TRAITS, self.labels_NT, self.known_NT, self.answers_NT)
        )
        labels.save(self.traits)
        self.folder, self.rng, self.scores = folder, rng, {}
        for method in METHODS:
            self._run_family(method)
        self.files = {
            name: tuple(folder / method / name for method in METHODS)
            for name in ("ap.csv", "chosen_scores.h5", "null.csv")
        }
        self.ceiling = folder / "ceiling.csv", folder / "ceiling_scores.h5"
        self._fit_probes()
        names = "rows", "pairs", "single", "rules", "groups", "ceilings"
        self.tables = [folder / f"{name}.csv" for name in names]
        _stage("compare_methods")(
            *(self.files["ap.csv"], self.files["chosen_scores.h5"], *self.ceiling),
            *(self.splits, self.traits, *self.tables),
            n_resamples=N_RESAMPLES,
        )
        self.ap = read_rows(self.files["ap.csv"], None)

    def _run_family(self, method):
        folder = self.folder / method
        folder.mkdir()
        family = ScoredFamily("corpus", "tiny", 3, method, "toy")
        with open_new(folder / "scores.h5") as file:
            write_attributes(file, {**asdict(family), "n_images": len(self.ids)})
            write_attributes(file, {"activations": "{}", "code": "abc"})
            write_strings(file, "image_ids", self.ids)
            for run in RUNS:
                scores_NK = self.rng.normal(size=(len(self.ids), K))
                if method == "good":
                    # Images of a class are not independent. (In pure noise they are:
                    # what knows a class knows something about its traits.)
                    noise_CK = self.rng.normal(size=(N_CLASSES, K))
                    scores_NK += noise_CK[self.class_N]
                    scores_NK[:, : len(TRAITS)] += 2.5 * self.labels_NT
                scores_NK = np.maximum(scores_NK, 0).astype(np.float32)
                file[f"{run}/scores_NK"] = self.scores[method, run] = scores_NK
                write_attributes(file[f"{run}/scores_NK"], {"checkpoint_sha256": run})
        same = {"n_train": ("all",), "selection_seeds": (0,), "study": "small"}
        same |= {"runs": RUNS, "family": family}
        read = folder / "scores.h5", self.splits, self.traits
        chosen = folder / "ap.csv", folder / "chosen_scores.h5"
        _stage("select_prototypes")(*read, *chosen, **same)
        _stage("permute_labels")(*read, folder / "null.csv", n_permutations=40, **same)

    def _fit_probes(self):
        layer, pooled = PooledLayer("toy", "tiny", 3), self.folder / "pooled.h5"
        with create_pooled(pooled, layer, self.ids, 9, "abc") as tables:
            for table in tables:
                x_ND = self.rng.normal(size=(len(self.ids), 9))
                x_ND[:, : len(TRAITS)] += self.labels_NT
                table[:] = x_ND
        _stage("probe_traits")(
            *(pooled, self.splits, self.traits, *self.ceiling),
            n_train=(16, "all"),
            selection_seeds=(0, 1),
            study="small",
            layer=layer,
            settings=TraitProbeSettings((1.0, 100.0), n_folds=3),
        )

    @property
    def statistics(self) -> Statistics:
        rows, pairs, _, rules, _, ceilings = self.tables
        files = (rows,), (pairs,), self.files["null.csv"], (), (ceilings,), (rules,)
        return read_statistics(StatisticsFiles(*files), "small")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study"))


def test_what_finds_traits_wins_and_noise_is_neither_above_chance_nor_told_apart(study):
    table = tabulate_configurations(study.ap, study.statistics)
    comparisons = tabulate_comparisons(study.statistics.pairs, "toy")
    assert table["above_chance"].tolist() == [True, False, False]
    assert comparisons["winner"].tolist() == ["good", "good", ""]
    answer = find_answer(table, comparisons, Place("tiny", 3))
    assert "good is better than both other methods" in answer.sentences[0]
    assert "2 of 3 mAPs are not above 95 %" in answer.sentences[1]
    # The null of noise is what noise reaches, and scores chance.
    noise = table[table["method"] != "good"]
    np.testing.assert_allclose(noise["null"], noise["chance"], atol=0.02)
    assert (noise["map"] < noise["null_high"]).all()
    assert (noise["optimism"] > 0).all()


def _slow_ap(study, method, weight_N):
    """AP of each seed and trait on weighted test images, by scikit-learn."""
    ap = study.ap[study.ap["method"] == method].set_index(["seed", "trait"])
    result_ST = np.full((3, len(TRAITS)), np.nan)
    for s, t in np.ndindex(result_ST.shape):
        prototype = ap.loc[(s, TRAITS[t]), "prototype"]
        seen_N = study.is_test_N & study.known_NT[:, t]
        if (weight_N[seen_N] * study.labels_NT[seen_N, t]).sum() > 0:
            result_ST[s, t] = average_precision_score(
                study.labels_NT[seen_N, t],
                study.scores[method, RUNS[s]][seen_N, prototype],
                sample_weight=weight_N[seen_N],
            )
    return result_ST


def _fit_variances(full_XST, resampled_RXST):
    """The variance of each method's mAP between fit seeds, beyond that of images."""
    map_XS, map_RXS = full_XST.mean(axis=2), np.nanmean(resampled_RXST, axis=3)
    apart_RXS = map_RXS - map_RXS.mean(axis=2, keepdims=True)
    by_images_X = apart_RXS.var(axis=0, ddof=1).sum(axis=1) / 2
    return np.maximum(map_XS.var(axis=1, ddof=1) - by_images_X, 0)


def _slow_interval(full_XST, resampled_RXST, signs, usual, n_classes=N_CLASSES):
    """t interval of a signed sum of methods' mAPs: images by class, and fit seeds.

    The variance between fit seeds is that of the method, or the usual one if larger.
    """
    map_R = np.nanmean(np.tensordot(resampled_RXST, signs, (1, 0)).mean(axis=1), axis=1)
    variances = _fit_variances(full_XST, resampled_RXST)
    parts = [(map_R.var(ddof=1), n_classes - 1)]
    parts += [(max(variance, usual) / 3, 2) for variance in variances]
    variance = sum(v for v, _ in parts)
    df = variance**2 / sum(v**2 / d for v, d in parts)
    value = np.tensordot(full_XST, signs, (0, 0)).mean()
    reach = stats.t.ppf(0.975, df) * variance**0.5
    p = 2 * stats.t.sf(abs(value) / variance**0.5, df)
    return value, value - reach, value + reach, p


@pytest.fixture(scope="module")
def slow(study):
    """AP of all methods, each seed and trait, and in each resample."""
    counts_RG = draw_counts(N_CLASSES, N_RESAMPLES, np.random.default_rng(SEED))
    # Classes are numbered in the order of their names.
    names = sorted(f"species {c}" for c in range(N_CLASSES))
    place_N = np.array([names.index(f"species {c}") for c in study.class_N])
    methods = METHODS
    full_XST = np.stack([_slow_ap(study, m, np.ones(len(place_N))) for m in methods])
    resampled_RXST = np.stack(
        [
            np.stack([_slow_ap(study, m, counts_G[place_N] * 1.0) for m in methods])
            for counts_G in counts_RG
        ]
    )
    return methods, full_XST, resampled_RXST


def test_intervals_and_differences_follow_from_a_slow_loop_over_resamples(study, slow):
    methods, full_XST, resampled_RXST = slow
    rows = study.statistics.intervals.set_index("method")
    variances = _fit_variances(full_XST, resampled_RXST)
    usual = variances.mean()
    assert variances[:2].min() < usual  # else it would not be tested
    for x, method in enumerate(methods):
        expected = _slow_interval(
            full_XST[[x]], resampled_RXST[:, [x]], np.array([1.0]), usual
        )
        got = rows.loc[method, ["map", "map_low", "map_high"]].to_numpy(float)
        np.testing.assert_allclose(got, expected[:3], rtol=2e-5)
    pair = study.statistics.pairs.iloc[0]
    assert (pair["method_a"], pair["method_b"]) == methods[:2]
    expected = _slow_interval(
        full_XST[:2], resampled_RXST[:, :2], np.array([1.0, -1.0]), usual
    )
    got = pair[["difference", "low", "high", "p"]].to_numpy(float)
    np.testing.assert_allclose(got, expected, rtol=2e-5)


def test_intervals_of_kinds_and_attributes_follow_from_the_same_loop(study, slow):
    methods, full_XST, resampled_RXST = slow
    groups = read_groups(study.tables[4:5]).set_index(["method", "kind", "group"])
    assert len(groups) == 3 * (1 + len({find_group(name) for name in TRAITS}))
    n_without = 0
    for x, method in enumerate(methods):
        for key in groups.loc[method].index:
            own_T = [key[1] in ("", find_group(name)) for name in TRAITS]
            row = groups.loc[(method, *key)]
            shown_N = study.is_test_N & study.labels_NT[:, own_T].any(axis=1)
            n_classes = len(set(study.class_N[shown_N]))
            assert row["n_groups"] == n_classes
            assert row["n_traits"] == sum(own_T)
            got = row[["ap", "ap_low", "ap_high"]].to_numpy(float)
            full, resampled = full_XST[..., own_T], resampled_RXST[..., own_T]
            usual = _fit_variances(full, resampled).mean()
            expected = _slow_interval(
                full[[x]], resampled[:, [x]], np.array([1.0]), usual, n_classes
            )
            if n_classes < 5:
                n_without += 1
                assert np.isnan(got[1:]).all()
                assert got[0] == pytest.approx(expected[0], rel=2e-5)
            else:
                np.testing.assert_allclose(got, expected[:3], rtol=2e-5)
    assert n_without > 0
    # Noise is not told apart from chance, and what finds traits is.
    every = groups.xs("", level="group").reset_index("kind")
    is_above = every["difference_low"] > 0
    assert is_above.to_dict() == {"good": True, "noisea": False, "noiseb": False}
    difference = every["ap"] - every["chance"]
    np.testing.assert_allclose(every["difference"], difference, atol=1e-9)
    chance = study.ap.drop_duplicates("trait")["chance"].mean()
    np.testing.assert_allclose(every["chance"], chance, atol=1e-9)


def test_the_interval_of_probes_follows_from_a_slow_loop(study):
    """On 16 images some traits have no probe, and there are two selection seeds."""
    rows = pd.read_csv(study.ceiling[0]).set_index(["pooling", "n_train"])
    rows = rows.loc[("mean", 16)].set_index(["selection_seed", "trait"])
    assert 0 < rows["regularisation"].isna().sum() < len(rows)
    layer = PooledLayer("toy", "tiny", 3)
    with open_ceiling_scores(study.ceiling[1], layer) as opened:
        scores_MST = np.stack([opened.read("mean", 16, s) for s in (0, 1)], axis=1)
    labels_MT = study.labels_NT[study.is_test_N]
    known_MT = study.known_NT[study.is_test_N]
    names = sorted(f"species {c}" for c in range(N_CLASSES))
    group_M = [names.index(f"species {c}") for c in study.class_N[study.is_test_N]]
    counts_RG = draw_counts(N_CLASSES, N_RESAMPLES, np.random.default_rng(SEED))
    ap_RST = np.full((1 + N_RESAMPLES, 2, len(TRAITS)), np.nan)
    for r, counts_G in enumerate([np.ones(N_CLASSES), *counts_RG]):
        weight_M = counts_G[group_M].astype(int)
        for s, t in np.ndindex(2, len(TRAITS)):
            own_M = known_MT[:, t] & (weight_M > 0)
            shows_M, n = labels_MT[own_M, t], weight_M[own_M]
            if not shows_M.any():
                continue
            if np.isnan(rows.loc[(s, TRAITS[t]), "regularisation"]):
                ap_RST[r, s, t] = expected_ap(
                    np.array([n.sum()]), np.array([n[shows_M].sum()])
                )[0]
            else:
                ap_RST[r, s, t] = average_precision_score(
                    shows_M, scores_MST[own_M, s, t], sample_weight=n
                )
    # Two selection seeds: one degree of freedom.
    map_R = np.nanmean(ap_RST[1:].mean(axis=1), axis=1)
    map_S, map_RS = ap_RST[0].mean(axis=1), np.nanmean(ap_RST[1:], axis=2)
    apart_RS = map_RS - map_RS.mean(axis=1)[:, None]
    by_images = apart_RS.var(axis=0, ddof=1).sum()
    parts = [
        (map_R.var(ddof=1), N_CLASSES - 1),
        (max(map_S.var(ddof=1) - by_images, 0) / 2, 1),
    ]
    variance = sum(v for v, _ in parts)
    df = variance**2 / sum(v**2 / d for v, d in parts)
    reach = stats.t.ppf(0.975, df) * variance**0.5
    row = study.statistics.ceilings.set_index(["pooling", "n_train"]).loc[("mean", 16)]
    got = row[["map", "map_low", "map_high"]].to_numpy(float)
    value = map_S.mean()
    np.testing.assert_allclose(got, [value, value - reach, value + reach], rtol=2e-5)


def test_single_traits_have_an_interval_if_enough_classes_show_them(study):
    single = pd.read_csv(study.tables[2])
    assert len(single) == 3 * len(TRAITS)
    n_classes = {
        name: len(set(study.class_N[study.is_test_N & study.labels_NT[:, t]]))
        for t, name in enumerate(TRAITS)
    }
    assert single["n_groups"].tolist() == [n_classes[name] for name in single["trait"]]
    has = single["low"].notna()
    assert has.tolist() == [n_classes[name] >= 5 for name in single["trait"]]
    assert (single["low"] <= single["ap"])[has].all()
    assert (single["high"] >= single["ap"])[has].all()


def test_other_label_rules_give_the_ap_of_the_same_prototypes_on_other_labels(study):
    rules = study.statistics.rules.set_index(["method", "rule"])
    # Nothing is certain, so by the rule `definitely present` no image shows a trait.
    assert set(rules.index.get_level_values("rule")) == {
        *("guesses too", "not visible is unknown", "guesses are unknown too")
    }
    unknown = rules.xs("not visible is unknown", level="rule")
    np.testing.assert_allclose(unknown["map"], unknown["configured_map"])
    shown_NT = study.answers_NT >= 8
    ap = study.ap[study.ap["method"] == "good"]
    expected = np.mean(
        [
            average_precision_score(
                shown_NT[study.is_test_N, TRAITS.index(row.trait)],
                study.scores["good", RUNS[row.seed]][study.is_test_N, row.prototype],
            )
            for row in ap.itertuples()
        ]
    )
    row = rules.loc[("good", "guesses too")]
    assert row["map"] == pytest.approx(expected, abs=1e-9)
    assert row["configured_map"] == pytest.approx(ap["test_ap"].mean(), abs=1e-9)
    assert row["n_traits"] == len(TRAITS)


def test_scores_of_another_selection_are_refused(study, tmp_path):
    moved = pd.read_csv(study.files["ap.csv"][0])
    moved.loc[0, "test_ap"] = moved.loc[0, "test_ap"] / 2
    moved.to_csv(tmp_path / "ap.csv", index=False)
    files = (tmp_path / "ap.csv", *study.files["ap.csv"][1:])
    with pytest.raises(ValueError, match=r"gives trait has_a::x an AP of .*, but the"):
        _stage("compare_methods")(
            *(files, study.files["chosen_scores.h5"], *study.ceiling),
            *(study.splits, study.traits),
            *(tmp_path / f"{i}.csv" for i in range(6)),
            n_resamples=N_RESAMPLES,
        )
    probes = pd.read_csv(study.ceiling[0])
    probes.loc[0, "test_ap"] = probes.loc[0, "test_ap"] / 2
    probes.to_csv(tmp_path / "ceiling.csv", index=False)
    with pytest.raises(ValueError, match="delete both and fit probes again"):
        _stage("compare_methods")(
            *(study.files["ap.csv"], study.files["chosen_scores.h5"]),
            *(tmp_path / "ceiling.csv", study.ceiling[1]),
            *(study.splits, study.traits),
            *(tmp_path / f"{i}.csv" for i in range(6)),
            n_resamples=N_RESAMPLES,
        )
    with pytest.raises(ValueError, match="1 methods in 1 layers and 2 files of scores"):
        _stage("compare_methods")(
            *(study.files["ap.csv"][:1], study.files["chosen_scores.h5"][:2]),
            *(*study.ceiling, study.splits, study.traits),
            *(tmp_path / f"{i}.csv" for i in range(6)),
            n_resamples=N_RESAMPLES,
        )


def test_the_setting_of_a_method_is_that_of_the_table_of_map(tmp_path):
    """A trait that no test image shows counts in the choice, in both places."""
    rng = np.random.default_rng(0)
    n_images, traits = 240, ["shown::x", "shown::y", "train only"]
    is_test_N = np.arange(n_images) % 2 == 1
    class_N = np.arange(n_images) // 12
    labels_NT = np.stack(
        [class_N % 3 == 0, class_N % 4 == 0, ~is_test_N & (class_N % 5 == 0)], axis=1
    )
    ids = [str(i) for i in range(n_images)]
    splits, labels = tmp_path / "splits.csv", tmp_path / "traits.npz"
    images = {
        "image_id": ids,
        "split": np.where(is_test_N, "test", "train"),
        "class_name": [f"species {c}" for c in class_N],
    }
    write_splits(pd.DataFrame(images), splits)
    TraitLabels(ids, traits, labels_NT, np.ones_like(labels_NT)).save(labels)
    # The first setting finds what test images show a little better, the second one the
    # trait that they do not show.
    runs = ("k3-lr0.1-sparsity2-seed0", "k3-lr0.2-sparsity2-seed0")
    family = ScoredFamily("corpus", "tiny", 3, "topk", "toy")
    with open_new(tmp_path / "scores.h5") as file:
        write_attributes(file, {**asdict(family), "n_images": n_images})
        write_attributes(file, {"activations": "{}", "code": "abc"})
        write_strings(file, "image_ids", ids)
        strengths = {runs[0]: (2.0, 2.0, 0.0), runs[1]: (1.8, 1.8, 9.0)}
        for run, strength in strengths.items():
            scores_NK = rng.normal(size=labels_NT.shape) + labels_NT * strength
            file[f"{run}/scores_NK"] = scores_NK.astype(np.float32)
            write_attributes(file[f"{run}/scores_NK"], {"checkpoint_sha256": run})
    ap, chosen = tmp_path / "ap.csv", tmp_path / "chosen_scores.h5"
    _stage("select_prototypes")(
        *(tmp_path / "scores.h5", splits, labels, ap, chosen),
        n_train=("all",),
        selection_seeds=(0,),
        study="small",
        runs=runs,
        family=family,
    )
    rows = read_rows((ap,), None)
    by_all = rank_settings(rows).set_index("learning_rate")["is_chosen"]
    shown = rows[rows["test_ap"].notna()]
    by_shown = rank_settings(shown).set_index("learning_rate")["is_chosen"]
    assert by_all.to_dict() == {0.1: False, 0.2: True}
    assert by_shown.to_dict() == {0.1: True, 0.2: False}
    compared = compare_in_layer(
        rows, (chosen,), read_resampled_images(splits, labels, N_RESAMPLES)
    )
    for table in (compared.traits, compared.groups):
        assert set(table["learning_rate"]) == {0.2}
