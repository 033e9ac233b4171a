"""Selection on permuted labels, against a slow loop and against chance."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vitproto.study.run import Run
from vitproto.traits.permuted_labels import SEED, Turns, permuted_maps, take_turns
from vitproto.traits.trait_split import TraitSplit


def _images(n_images, n_traits, seed=0):
    rng = np.random.default_rng(seed)
    labels_NT = rng.random((n_images, n_traits)) < rng.uniform(0.1, 0.4, n_traits)
    names = [f"trait{t}" for t in range(n_traits)]
    is_train_N = np.arange(n_images) % 2 == 0
    ids = list(map(str, range(n_images)))
    known_NT = np.ones_like(labels_NT)
    return TraitSplit(ids, names, labels_NT, known_NT, is_train_N)


def _turns(permutations, n_fits=1):
    return Turns(Run(5, 0), permutations, n_fits)


def test_the_fits_of_a_configuration_share_its_permutations():
    runs = [Run(4, 0), Run(4, 7), Run(8, 0), Run(8, 0, 0.1, 8.0), Run(8, 3, 0.1, 8.0)]
    turns = take_turns(runs, 5)
    assert [list(turn.permutations) for turn in turns] == [
        *([0, 2, 4], [1, 3], [0, 1, 2, 3, 4], [0, 2, 4], [1, 3])
    ]
    assert [turn.n_fits for turn in turns] == [2, 2, 1, 2, 2]
    assert turns[3].settings == {
        **{"n_prototypes": 8, "learning_rate": 0.1, "sparsity": 8.0}
    }


def test_perfect_scores_fall_to_chance_when_labels_are_permuted():
    images = _images(400, 12)
    scores_NK = images.labels_NT.astype(np.float32)
    rng = np.random.default_rng(1)
    scores_NK += rng.uniform(0, 0.1, scores_NK.shape).astype(np.float32)
    maps = [
        one.map
        for one in permuted_maps(scores_NK, images, ["all"], [0], _turns(range(60)))
    ]
    chance = np.mean(images.chance_T)
    error = np.std(maps, ddof=1) / 60**0.5
    assert np.mean(maps) == pytest.approx(chance, abs=5 * error)
    assert np.std(maps) > 0


def test_one_permutation_worked_out_by_a_slow_loop():
    images = _images(40, 3)
    scores_NK = np.random.default_rng(2).normal(size=(40, 5)).astype(np.float32)
    (one,) = permuted_maps(scores_NK, images, ["all"], [7], _turns(range(4, 5)))
    assert one[:3] == (20, 7, 4)
    rng = np.random.default_rng([SEED, 4])
    train, test = np.flatnonzero(images.is_train_N), np.flatnonzero(~images.is_train_N)
    of_train, of_test = rng.permutation(train), rng.permutation(test)
    aps = []
    for t in range(3):
        chosen = max(
            range(5),
            key=lambda k, t=t: average_precision_score(
                images.labels_NT[of_train, t], scores_NK[train, k]
            ),
        )
        aps.append(
            average_precision_score(
                images.labels_NT[of_test, t], scores_NK[test, chosen]
            )
        )
    assert one.map == pytest.approx(np.mean(aps), abs=1e-12)


def test_fits_and_selections_take_turns_and_permutations_are_the_same_for_all():
    images = _images(40, 3)
    scores_NK = np.random.default_rng(2).normal(size=(40, 5)).astype(np.float32)
    turns = list(
        permuted_maps(scores_NK, images, [8, "all"], [5, 6], _turns(range(0, 8, 2), 2))
    )
    seed_of = {one.permutation: one.selection_seed for one in turns if one.n_train == 8}
    assert seed_of == {0: 5, 2: 6, 4: 5, 6: 6}
    of_all = [one for one in turns if one.n_train == 20]
    assert [one.permutation for one in of_all] == [0, 2, 4, 6]
    assert {one.selection_seed for one in of_all} == {5}
    (again,) = permuted_maps(scores_NK, images, ["all"], [5], _turns(range(6, 7)))
    assert again.map == of_all[-1].map
