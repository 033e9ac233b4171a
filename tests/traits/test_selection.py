import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vitproto.traits import selection
from vitproto.traits.average_precision import average_precision
from vitproto.traits.chance import chance_of
from vitproto.traits.selection import (
    NONE,
    best_prototypes,
    in_words,
    select_prototypes,
    to_table,
)
from vitproto.traits.subsets import nested_order, subset_sizes


def random_study(n=300, k=40, t=12, seed=0):
    """Scores with ties, traits of 1 % to 40 %, two images of three for training."""
    rng = np.random.default_rng(seed)
    scores_NK = np.round(rng.standard_normal((n, k), dtype=np.float32), 1)
    labels_NT = rng.random((n, t)) < np.geomspace(0.01, 0.4, t)
    return scores_NK, labels_NT, np.arange(n) % 3 < 2


def select(scores_NK, labels_NT, is_train_N, n_train, seeds):
    """Select with labels that are all known."""
    known_NT = np.ones_like(labels_NT)
    labels = (labels_NT, known_NT)
    return select_prototypes(scores_NK, *labels, is_train_N, n_train, seeds)


def slow_choice(scores_NK, labels_NT, rows, test, draw_T):
    """Prototype, train AP and test AP of each trait, by scikit-learn in loops."""
    chosen = []
    for t in range(labels_NT.shape[1]):
        train, tested = labels_NT[rows, t], labels_NT[test, t]
        if not train.any():
            chosen.append((NONE, np.nan, expected_ap_of(tested)))
            continue
        ap_K = [average_precision_score(train, column) for column in scores_NK[rows].T]
        equal_E = np.flatnonzero(np.isclose(ap_K, max(ap_K), rtol=0, atol=1e-9))
        best = equal_E[int(draw_T[t] * len(equal_E))]
        test_ap = np.nan
        if tested.any():
            test_ap = average_precision_score(tested, scores_NK[test, best])
        chosen.append((best, ap_K[best], test_ap))
    return map(np.array, zip(*chosen, strict=True))


def expected_ap_of(shows_N):
    """The expected AP of a random ranking, term by term over the ranks."""
    n, m = len(shows_N), shows_N.sum()
    if m == 0:
        return np.nan
    rank_R = np.arange(1, n + 1)
    return np.mean((1 + (rank_R - 1) * (m - 1) / (n - 1)) / rank_R)


def test_chooses_and_scores_as_loops_over_scikit_learn_do():
    scores_NK, labels_NT, is_train_N = random_study()
    selections = select(scores_NK, labels_NT, is_train_N, [16, "all", 64], [3, 4])
    train, test = np.flatnonzero(is_train_N), np.flatnonzero(~is_train_N)
    assert [(s.n_train, s.selection_seed) for s in selections] == [
        (16, 3),
        (16, 4),
        (64, 3),
        (64, 4),
        (200, 3),
    ]
    for chosen in selections:
        rows = train[nested_order(200, chosen.selection_seed)[: chosen.n_train]]
        prototype_T, train_ap_T, test_ap_T = slow_choice(
            *(scores_NK, labels_NT, rows, test),
            np.random.default_rng([chosen.selection_seed, chosen.n_train]).random(12),
        )
        np.testing.assert_array_equal(chosen.prototype_T, prototype_T)
        np.testing.assert_allclose(chosen.train_ap_T, train_ap_T, atol=1e-6)
        np.testing.assert_allclose(chosen.test_ap_T, test_ap_T, atol=1e-6)


def test_prototypes_that_rank_alike_are_equal_whatever_their_scale():
    labels_NT = np.array([[1], [0], [0], [1], [0]], dtype=bool)
    good = np.float32([3, 1, 2, 5, 4])
    scores_NK = np.stack([-good, good, good * 2, good], axis=1)
    is_train_N = np.array([1, 1, 1, 0, 0], dtype=bool)
    seeds = range(40)
    chosen = [
        select(scores_NK, labels_NT, is_train_N, ["all"], [seed])[0] for seed in seeds
    ]
    assert {one.prototype_T.item() for one in chosen} == {1, 2, 3}
    assert {one.train_ap_T.item() for one in chosen} == {1.0}
    assert {one.test_ap_T.item() for one in chosen} == {1.0}


def test_equal_prototypes_are_equally_likely_and_drawn_for_each_trait():
    # Six of eight prototypes score the images alike, the others badly.
    labels_NT = np.tile(np.arange(10)[:, None] < 3, 300)
    good = np.arange(10, 0, -1, dtype=np.float32)
    scores_NK = np.stack([-good, *[good] * 6, -good], axis=1)
    [first, second] = [
        best_prototypes(scores_NK, labels_NT, None, np.random.default_rng(seed))[0]
        for seed in (0, 1)
    ]
    counts_K = np.bincount(np.append(first, second), minlength=8)
    assert counts_K[[0, 7]].tolist() == [0, 0]
    # 600 draws: 100 each, with a standard deviation of 9.
    assert (np.abs(counts_K[1:7] - 100) < 30).all()
    # Two seeds agree by chance only: in 50 of 300, with a standard deviation of 6.5.
    assert abs((first == second).sum() - 50) < 22


def test_another_trait_or_another_tie_changes_no_other_draw():
    scores_NK, labels_NT, _ = random_study(n=8, k=60)
    labels_NT[:2] = True
    whole_T, _ = best_prototypes(scores_NK, labels_NT, None, np.random.default_rng(5))
    other_NT = labels_NT.copy()
    other_NT[:, 3] = np.arange(8) == 7
    other_T, _ = best_prototypes(scores_NK, other_NT, None, np.random.default_rng(5))
    same_T = np.arange(len(whole_T)) != 3
    np.testing.assert_array_equal(whole_T[same_T], other_T[same_T])


def test_rounding_decides_nothing():
    # Two prototypes of the same AP, one of them with an error in its last bits.
    labels_NT = np.array([[1], [0], [1], [0], [0], [1], [0]], dtype=bool)
    scores_NK = np.float32([[7, 7], [6, 6], [5, 5], [4, 4], [3, 3], [2, 2], [1, 1]])
    ap_KT = average_precision(scores_NK, labels_NT)
    for nudge in (1e-15, -1e-15):
        nudged_KT = ap_KT + np.array([[nudge], [0]])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(selection, "average_precision", lambda *_: nudged_KT)  # noqa: B023
            found = {
                best_prototypes(
                    scores_NK, labels_NT, None, np.random.default_rng(seed)
                )[0].item()
                for seed in range(20)
            }
        assert found == {0, 1}


def test_ordered_prototypes_gain_nothing_from_ties():
    """Planted: the first prototype finds the trait, later ones only look like it.

    On four training images all are equal. The lowest index would have test AP 1.
    """
    rng = np.random.default_rng(0)
    labels_NT = np.tile(np.arange(400)[:, None] % 4 == 0, 100)
    scores_NK = rng.standard_normal((400, 50), dtype=np.float32)
    scores_NK[:, 0] = labels_NT[:, 0]
    scores_NK[:4] = labels_NT[:4, :1]
    is_train_N = np.arange(400) < 4
    first_ST = []
    for seed in range(20):
        [chosen] = select(scores_NK, labels_NT, is_train_N, ["all"], [seed])
        assert (chosen.train_ap_T == 1).all()
        assert ((chosen.test_ap_T > 0.5) == (chosen.prototype_T == 0)).all()
        first_ST.append(chosen.prototype_T == 0)
    # 2,000 draws among 50: 40, with a standard deviation of 6.3.
    assert abs(np.sum(first_ST) - 40) < 20


def test_unknown_labels_choose_nothing():
    """A trait's prototype is the one that ranks its known images best."""
    scores_NK, labels_NT, _ = random_study(n=60)
    known_NT = np.random.default_rng(1).random(labels_NT.shape) < 0.6
    known_NT[:, 2] = False
    known_NT[labels_NT[:, 3], 3] = False
    prototype_T, train_ap_T = best_prototypes(
        scores_NK, labels_NT, known_NT, np.random.default_rng(0)
    )
    assert (prototype_T[[2, 3]] == NONE).all()
    for t in np.flatnonzero(prototype_T != NONE):
        rows = known_NT[:, t]
        ap_K = average_precision(scores_NK[rows], labels_NT[rows][:, [t]])[:, 0]
        assert train_ap_T[t] == pytest.approx(ap_K.max(), abs=1e-12)
        assert ap_K[prototype_T[t]] == pytest.approx(ap_K.max(), abs=1e-12)
    assert (prototype_T != NONE).sum() > 5


def test_a_trait_without_a_training_image_gets_no_prototype_and_chance():
    scores_NK, labels_NT, is_train_N = random_study()
    labels_NT[0] = True
    labels_NT[is_train_N, 5:7] = False
    [chosen] = select(scores_NK, labels_NT, is_train_N, ["all"], [0])
    assert chosen.prototype_T[5] == NONE
    assert np.isnan(chosen.train_ap_T[5])
    chance = expected_ap_of(labels_NT[~is_train_N, 5])
    assert chosen.test_ap_T[5] == pytest.approx(chance)
    assert chance > labels_NT[~is_train_N, 5].mean() > 0
    assert "with 2 traits at chance" in in_words([chosen])


def test_a_trait_without_a_test_image_is_not_scored():
    scores_NK, labels_NT, is_train_N = random_study()
    labels_NT[~is_train_N, 5] = False
    labels_NT[:, 6] = False
    [chosen] = select(scores_NK, labels_NT, is_train_N, ["all"], [0])
    assert chosen.prototype_T[5] != NONE
    assert chosen.prototype_T[6] == NONE
    assert np.isnan(chosen.test_ap_T[[5, 6]]).all()


def test_test_images_never_help_to_choose():
    scores_NK, labels_NT, is_train_N = random_study()
    before = select(scores_NK, labels_NT, is_train_N, [16, "all"], [0])
    scores_NK[~is_train_N] = -scores_NK[~is_train_N]
    labels_NT[~is_train_N] = ~labels_NT[~is_train_N]
    after = select(scores_NK, labels_NT, is_train_N, [16, "all"], [0])
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.prototype_T, b.prototype_T)
        np.testing.assert_array_equal(a.train_ap_T, b.train_ap_T)


def test_subsets_of_one_seed_are_nested_and_those_of_two_seeds_differ():
    # Rule out that the generator changes unseen: these are NumPy's PCG64 numbers.
    assert nested_order(10, 0).tolist() == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]
    assert sorted(nested_order(50, 1)) == list(range(50))
    assert nested_order(50, 1)[:16].tolist() != nested_order(50, 2)[:16].tolist()


def test_sizes_come_out_rising_and_once():
    assert subset_sizes([64, "all", 16, 100], 100) == [16, 64, 100]


@pytest.mark.parametrize("size", [101, 0, -1])
def test_an_impossible_size_names_what_is_there_and_the_setting(size):
    with pytest.raises(ValueError, match=r"there are 100 .*`selection: n_train`"):
        subset_sizes([16, size], 100)


@pytest.mark.parametrize(("sizes", "seeds"), [([], [0]), (["all"], [])])
def test_nothing_to_choose_on_is_refused(sizes, seeds):
    with pytest.raises(ValueError, match="at least one `n_train` and one seed"):
        select(*random_study(), sizes, seeds)


def test_the_table_leaves_empty_what_there_is_not():
    scores_NK, labels_NT, is_train_N = random_study(t=3)
    labels_NT[is_train_N, 0] = False
    labels_NT[:, 1] = False
    selections = select(scores_NK, labels_NT, is_train_N, ["all"], [7])
    prevalence_T = labels_NT[~is_train_N].mean(axis=0)
    chance_T = chance_of(labels_NT[~is_train_N], np.ones((100, 3), bool))
    table = to_table(selections, ["a", "b", "c"], prevalence_T, chance_T)
    assert table["trait"].tolist() == ["a", "b", "c"]
    assert table["prototype"].isna().tolist() == [True, True, False]
    assert table["test_ap"].isna().tolist() == [False, True, False]
    assert table["chance"].isna().tolist() == [False, True, False]
    assert table["test_ap"][0] == table["chance"][0] > table["prevalence"][0]
    assert table["selection_seed"].tolist() == [7, 7, 7]
    assert table["n_train"].tolist() == [200, 200, 200]
