import numpy as np
import pytest
from recorded import with_threads
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vitproto.core.threads import one_core_each
from vitproto.traits.trait_probes import (
    Labels,
    TraitProbeSettings,
    choose_regularisation,
    cross_validate,
    find_fold_groups,
    fit_trait_probes,
    split_into_folds,
)
from vitproto.traits.trait_split import TraitSplit

SETTINGS = TraitProbeSettings((0.001, 0.1, 10.0, 1000.0), n_folds=4)
N_IMAGES, WIDTH = 400, 8


def planted(n_noise=60):
    """One trait moves activations by 5 sd in a direction, others are noise.

    Half of the images are for testing.
    """
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((N_IMAGES, WIDTH)).astype(np.float32)
    linear_N = rng.random(N_IMAGES) < 0.2
    x_ND[linear_N] += np.float32(5 / np.sqrt(WIDTH))
    noise_NT = rng.random((N_IMAGES, n_noise)) < 0.2
    labels_NT = np.column_stack([linear_N, noise_NT])
    is_train_N = np.arange(N_IMAGES) % 2 == 0
    groups = [f"species {i}" for i in rng.integers(0, 30, N_IMAGES)]
    return x_ND, labels_NT, is_train_N, groups


def images(labels_NT, is_train_N, known_NT=None):
    """These labels as those of a data set; all known if not said otherwise."""
    ids, names = (list(map(str, range(n))) for n in labels_NT.shape)
    known_NT = np.ones_like(labels_NT) if known_NT is None else known_NT
    return TraitSplit(ids, names, labels_NT, known_NT, is_train_N)


def known(labels_NT):
    return Labels(labels_NT, np.ones_like(labels_NT))


def test_a_linear_trait_is_found_and_noise_stays_at_chance():
    x_ND, labels_NT, is_train_N, groups = planted()
    (probes,) = fit_trait_probes(
        x_ND, images(labels_NT[:, :1], is_train_N), groups, ["all"], [0], SETTINGS
    )
    assert probes.n_train == 200
    assert probes.test_ap_T[0] > 0.98
    assert probes.cv_ap_T[0] > 0.98
    (noise,) = fit_trait_probes(
        x_ND, images(labels_NT[:, 1:], is_train_N), groups, ["all"], [0], SETTINGS
    )
    # A random ranking of 200 images, 20 % of them positive, has an expected AP of 0.22.
    assert abs(noise.test_ap_T.mean() - 0.22) < 0.01
    # The probes fit noise all the same.
    assert noise.train_ap_T.mean() > 0.27


def test_subsets_are_those_of_selection():
    x_ND, labels_NT, is_train_N, groups = planted(3)
    found = fit_trait_probes(
        *(x_ND, images(labels_NT, is_train_N), groups, ["all", 16, 64], [5, 6]),
        SETTINGS,
    )
    subsets = [(probes.n_train, probes.selection_seed) for probes in found]
    assert subsets == [(16, 5), (16, 6), (64, 5), (64, 6), (200, 5)]
    for probes in found:
        assert probes.scores_MT.shape == (200, 4)
        assert probes.scores_MT.dtype == np.float32
        assert probes.regularisation in SETTINGS.regularisations


def test_a_trait_that_all_or_none_of_the_images_show_has_no_probe():
    x_ND, labels_NT, is_train_N, groups = planted(3)
    labels_NT[is_train_N, 1] = False
    labels_NT[is_train_N, 2] = True
    (probes,) = fit_trait_probes(
        x_ND, images(labels_NT, is_train_N), groups, ["all"], [0], SETTINGS
    )
    assert probes.has_probe_T.tolist() == [True, False, False, True]
    assert (probes.scores_MT[:, 1:3] == 0).all()
    chance_T = images(labels_NT, is_train_N).chance_T
    np.testing.assert_allclose(probes.test_ap_T[1:3], chance_T[1:3], rtol=1e-12)
    assert np.isnan(probes.train_ap_T[1:3]).all()
    assert np.isnan(probes.cv_ap_T[1:3]).all()


def test_where_nothing_can_be_held_out_the_strongest_regularisation_is_taken():
    x_ND, labels_NT, is_train_N, groups = planted(3)
    for size in (1, 2):
        (probes,) = fit_trait_probes(
            x_ND, images(labels_NT, is_train_N), groups, [size], [0], SETTINGS
        )
        assert probes.regularisation == 1000
        assert np.isnan(probes.cv_ap_T).all()


def test_unknown_labels_pull_no_probe_and_count_in_no_ap():
    x_ND, labels_NT, is_train_N, groups = planted(1)
    known_NT = np.ones_like(labels_NT)
    known_NT[::3] = False
    hidden_NT = np.where(known_NT, labels_NT, ~labels_NT)
    (first,), (second,) = (
        fit_trait_probes(
            x_ND, images(shown_NT, is_train_N, known_NT), groups, ["all"], [0], SETTINGS
        )
        for shown_NT in (labels_NT, hidden_NT)
    )
    np.testing.assert_array_equal(first.scores_MT, second.scores_MT)
    test_N = np.flatnonzero(~is_train_N)
    seen_M = known_NT[test_N, 0]
    expected = average_precision_score(
        labels_NT[test_N[seen_M], 0], first.scores_MT[seen_M, 0]
    )
    assert first.test_ap_T[0] == pytest.approx(expected, abs=1e-12)


def test_folds_keep_classes_together_only_if_test_images_are_of_new_classes():
    is_train_N = np.array([True, True, True, False, False])
    seen = ["owl", "owl", "gull", "owl", "gull"]
    assert find_fold_groups(seen, is_train_N) == [""] * 5
    new = ["owl", "owl", "gull", "owl", "tern"]
    assert find_fold_groups(new, is_train_N) == new


def test_threads_change_no_bit():
    x_ND, labels_NT, is_train_N, groups = planted(5)
    arguments = x_ND, images(labels_NT, is_train_N), groups, [16, "all"], [0], SETTINGS
    one, four = (with_threads(n, lambda: fit_trait_probes(*arguments)) for n in (1, 4))
    for a, b in zip(one, four, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_cross_validation_agrees_with_scikit_learn():
    x_ND, labels_NT, _, _ = planted(2)
    x_ND, labels_NT = x_ND[:120], labels_NT[:120]
    fold_N = np.arange(120) % 4
    with one_core_each() as workers:
        ap_LT = cross_validate(
            x_ND, known(labels_NT), fold_N, SETTINGS.regularisations, workers
        )
    for t in range(3):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge(solver="svd")),
            {"ridge__alpha": [90 * value for value in SETTINGS.regularisations]},
            scoring=lambda ridge, x, y: average_precision_score(y, ridge.predict(x)),
            cv=PredefinedSplit(fold_N),
        )
        search.fit(x_ND.astype(np.float64), labels_NT[:, t])
        scores_L = search.cv_results_["mean_test_score"]
        np.testing.assert_allclose(ap_LT[:, t], scores_L, atol=1e-6)


def test_a_trait_is_rated_only_where_both_sides_show_it_and_lack_it():
    x_ND = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    fold_N = np.array([0, 0, 1, 1, 2, 2])
    labels_NT = np.zeros((6, 3), bool)
    labels_NT[0, 0] = True  # none is left to fit to
    labels_NT[:, 1] = [1, 0, 1, 1, 1, 1]  # only the first part lacks it somewhere
    labels_NT[:, 2] = [1, 0, 1, 0, 0, 0]
    with one_core_each() as workers:
        ap_LT = cross_validate(x_ND, known(labels_NT), fold_N, (1.0,), workers)
    # Fitted to the last four images, trait 1 has no contrast.
    assert np.isnan(ap_LT[0]).tolist() == [True, True, False]
    # Two images are ranked in each part: AP is 1, or 1/2.
    assert ap_LT[0, 2] in (0.5, 0.75, 1)


def test_groups_stay_together_in_parts_of_similar_size():
    groups = [f"species {i % 13}" for i in range(100)] + ["", "", ""]
    fold_N = split_into_folds(groups, 5, seed=0)
    for group in {*groups} - {""}:
        parts = {int(f) for f, g in zip(fold_N, groups, strict=True) if g == group}
        assert len(parts) == 1
    sizes = np.bincount(fold_N)
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 8  # a group has 7 or 8 images
    again = split_into_folds(groups, 5, seed=1)
    assert (again != fold_N).any()


def test_few_groups_give_few_parts_and_one_group_is_split_by_images():
    assert sorted(np.bincount(split_into_folds(["a"] * 3 + ["b"], 5, 0))) == [1, 3]
    assert np.bincount(split_into_folds(["a"] * 10, 5, 0)).tolist() == [2] * 5
    assert np.bincount(split_into_folds([""] * 10, 5, 0)).tolist() == [2] * 5


def test_the_best_mean_is_chosen_and_of_equals_the_strongest():
    nan = np.nan
    ap_LT = np.array([[0.9, nan, 0.1], [0.4, nan, 0.4], [0.2, nan, 0.8]])
    assert choose_regularisation(ap_LT, (1.0, 2.0, 3.0)) == 2
    assert choose_regularisation(ap_LT, (9.0, 2.0, 3.0)) == 0
    # Rounding decides nothing.
    ap_LT[0, 0] += 1e-15
    assert choose_regularisation(ap_LT, (1.0, 2.0, 3.0)) == 2
    assert choose_regularisation(np.full((2, 3), nan), (5.0, 4.0)) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((), 5), "regularisations is"),
        (((0.0,), 5), "regularisations is"),
        (((1.0,), 1), "n_folds is 1"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TraitProbeSettings(*values)
