import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vitproto.traits.selection import (
    NONE,
    in_words,
    nested_order,
    select_prototypes,
    subset_sizes,
    to_table,
)


def random_study(n=300, k=40, t=12, seed=0):
    """Scores with ties, traits of 1 % to 40 %, two images of three for training."""
    rng = np.random.default_rng(seed)
    scores_NK = np.round(rng.standard_normal((n, k), dtype=np.float32), 1)
    labels_NT = rng.random((n, t)) < np.geomspace(0.01, 0.4, t)
    return scores_NK, labels_NT, np.arange(n) % 3 < 2


def slow_choice(scores_NK, labels_NT, rows, test):
    """Prototype, train AP and test AP of each trait, by scikit-learn in loops."""
    chosen = []
    for t in range(labels_NT.shape[1]):
        train, tested = labels_NT[rows, t], labels_NT[test, t]
        if not train.any():
            chosen.append((NONE, np.nan, tested.mean() if tested.any() else np.nan))
            continue
        ap_K = [average_precision_score(train, column) for column in scores_NK[rows].T]
        best = int(np.argmax(np.round(ap_K, 12)))
        test_ap = np.nan
        if tested.any():
            test_ap = average_precision_score(tested, scores_NK[test, best])
        chosen.append((best, ap_K[best], test_ap))
    return map(np.array, zip(*chosen, strict=True))


def test_chooses_and_scores_as_loops_over_scikit_learn_do():
    scores_NK, labels_NT, is_train_N = random_study()
    selections = select_prototypes(
        scores_NK, labels_NT, is_train_N, [16, "all", 64], [3, 4]
    )
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
            scores_NK, labels_NT, rows, test
        )
        np.testing.assert_array_equal(chosen.prototype_T, prototype_T)
        np.testing.assert_allclose(chosen.train_ap_T, train_ap_T, atol=1e-6)
        np.testing.assert_allclose(chosen.test_ap_T, test_ap_T, atol=1e-6)


def test_of_equal_prototypes_the_first_is_chosen():
    labels_NT = np.array([[1], [0], [0], [1], [0]], dtype=bool)
    good = np.float32([3, 1, 2, 5, 4])
    scores_NK = np.stack([-good, good, good * 2, good], axis=1)
    is_train_N = np.array([1, 1, 1, 0, 0], dtype=bool)
    [chosen] = select_prototypes(scores_NK, labels_NT, is_train_N, ["all"], [0])
    assert chosen.prototype_T.tolist() == [1]
    assert chosen.train_ap_T.tolist() == [1.0]
    assert chosen.test_ap_T.tolist() == [1.0]


def test_a_trait_without_a_training_image_gets_no_prototype_and_chance():
    scores_NK, labels_NT, is_train_N = random_study()
    labels_NT[0] = True
    labels_NT[is_train_N, 5:7] = False
    [chosen] = select_prototypes(scores_NK, labels_NT, is_train_N, ["all"], [0])
    assert chosen.prototype_T[5] == NONE
    assert np.isnan(chosen.train_ap_T[5])
    assert chosen.test_ap_T[5] == labels_NT[~is_train_N, 5].mean() > 0
    assert "with 2 traits at chance" in in_words([chosen])


def test_a_trait_without_a_test_image_is_not_scored():
    scores_NK, labels_NT, is_train_N = random_study()
    labels_NT[~is_train_N, 5] = False
    labels_NT[:, 6] = False
    [chosen] = select_prototypes(scores_NK, labels_NT, is_train_N, ["all"], [0])
    assert chosen.prototype_T[5] != NONE
    assert chosen.prototype_T[6] == NONE
    assert np.isnan(chosen.test_ap_T[[5, 6]]).all()


def test_test_images_never_help_to_choose():
    scores_NK, labels_NT, is_train_N = random_study()
    before = select_prototypes(scores_NK, labels_NT, is_train_N, [16, "all"], [0])
    scores_NK[~is_train_N] = -scores_NK[~is_train_N]
    labels_NT[~is_train_N] = ~labels_NT[~is_train_N]
    after = select_prototypes(scores_NK, labels_NT, is_train_N, [16, "all"], [0])
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
        select_prototypes(*random_study(), sizes, seeds)


def test_the_table_leaves_empty_what_there_is_not():
    scores_NK, labels_NT, is_train_N = random_study(t=3)
    labels_NT[is_train_N, 0] = False
    labels_NT[:, 1] = False
    selections = select_prototypes(scores_NK, labels_NT, is_train_N, ["all"], [7])
    prevalence_T = labels_NT[~is_train_N].mean(axis=0)
    table = to_table(selections, ["a", "b", "c"], prevalence_T)
    assert table["trait"].tolist() == ["a", "b", "c"]
    assert table["prototype"].isna().tolist() == [True, True, False]
    assert table["test_ap"].isna().tolist() == [False, True, False]
    assert table["selection_seed"].tolist() == [7, 7, 7]
    assert table["n_train"].tolist() == [200, 200, 200]
