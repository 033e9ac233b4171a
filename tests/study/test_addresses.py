"""Scores move only where the configuration says something else about them."""

from copy import deepcopy

import pytest

from vitproto.study.addresses import of_scores
from vitproto.study.family import Family

CONFIG = {
    "dataset": "birds",
    "fit_dataset": "birds",
    "datasets": {"birds": {"layout": "cub200", "root": "birds"}},
    "encoders": {"clip": {"model": "hub:clip", "weights": "hub"}},
    "record": {"dtype": "float16"},
    "methods": {"kmeans": {"n_iters": 5}, "saes": {"topk": {"n": 1}}, "imported": {}},
    "held_out": {"every": 4, "n_correlated": 8, "seed": 0},
}


@pytest.mark.parametrize(
    ("key", "moved"),
    [("every", {"topk"}), ("n_correlated", set()), ("seed", set())],
)
def test_only_what_is_not_learned_from_moves_scores_and_of_trained_alone(key, moved):
    changed = deepcopy(CONFIG)
    changed["held_out"][key] += 1
    families = [Family("clip", 3, method) for method in ("random", "kmeans", "topk")]
    found = {
        family.method
        for family in families
        if of_scores(changed, family, ["k4"]) != of_scores(CONFIG, family, ["k4"])
    }
    assert found == moved
