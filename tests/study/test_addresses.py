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


def test_another_reading_of_an_imported_file_moves_its_scores():
    family, addresses = Family("clip", 3, "theirs"), []
    for said in (
        *("a/x.pt", "b/x.pt", {"file": "x.pt"}),
        {"file": "x.pt", "subtract_b_dec_before_encoding": False},
        {"file": "x.pt", "scaling": {"mean": "a/mean.pt", "norm": 2.0}},
        {"file": "x.pt", "scaling": {"mean": "b/mean.pt", "norm": 2.0}},
        {"file": "x.pt", "scaling": {"norm": 2.0}},
    ):
        methods = {**CONFIG["methods"], "imported": {"theirs": said}}
        addresses.append(of_scores({**CONFIG, "methods": methods}, family, ["k4"]))
    assert addresses[0] == addresses[1] == addresses[2]
    assert addresses[4] == addresses[5]
    assert len({*addresses}) == 4


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
