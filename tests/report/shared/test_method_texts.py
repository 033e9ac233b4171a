"""Every method of a study has a badge and a text."""

from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.method_texts import TEXTS, TRAINED, describe_methods


def test_methods_stand_by_badge_and_say_what_they_are():
    looks = StudyMethods(
        ("random", "gaussian", "topk", "untrained", "mine", "kmeans"),
        ("topk", "untrained"),
        ("untrained",),
    )
    described = describe_methods(looks)
    assert [(one.method, one.badge) for one in described] == [
        *(("topk", "yours"), ("mine", "yours")),
        *(("random", "baseline"), ("kmeans", "baseline")),
        *(("gaussian", "control"), ("untrained", "control")),
    ]
    texts = {one.method: one.text for one in described}
    assert texts["topk"] == TRAINED
    assert texts["gaussian"] == TEXTS["gaussian"]
    assert "stays as initialised" in texts["untrained"]
    assert texts["mine"] == "directions or latents from a file"
