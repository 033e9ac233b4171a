"""`~` and variables are expanded in every path of a study, and nothing else is."""

import os
from pathlib import Path

import pytest

from vitproto.core.project import PROJECT
from vitproto.study.paths import expand_paths
from vitproto.study.read_study import resolve_and_check
from vitproto.study.yaml_file import read_mapping

DEMO = PROJECT / "config/demo.yaml"


def study(**storage):
    return {
        "storage": {"activations": "acts", **storage},
        "datasets": {"birds": {"root": "$DATA/birds"}, "drawn": {"draw": {}}},
        "encoders": {
            "a": {"model": "local-dir:~/models/a", "weights": "${DATA}/a.pt"},
            "b": {"model": "hf-hub:us/b", "weights": "hub"},
        },
        "methods": {
            "imported": {
                "one": "~/sae.pt",
                "two": {"file": "$DATA/sae.pt", "scaling": {"mean": "$DATA/mean.pt"}},
            }
        },
    }


@pytest.fixture(autouse=True)
def shell(monkeypatch):
    monkeypatch.setenv("DATA", "/a disk/$HOME")
    monkeypatch.setenv("HOME", "/home/us")
    monkeypatch.delenv("SCRATCH", raising=False)


def test_all_paths_are_expanded_once():
    before = study(scores="~/scores of $DATA")
    expanded, problems = expand_paths(before)
    assert problems == []
    disk = "/a disk/$HOME"  # what a variable holds is not expanded again
    assert expanded == {
        "storage": {"activations": "acts", "scores": f"/home/us/scores of {disk}"},
        "datasets": {"birds": {"root": f"{disk}/birds"}, "drawn": {"draw": {}}},
        "encoders": {
            "a": {"model": "local-dir:/home/us/models/a", "weights": f"{disk}/a.pt"},
            "b": {"model": "hf-hub:us/b", "weights": "hub"},
        },
        "methods": {
            "imported": {
                "one": "/home/us/sae.pt",
                "two": {
                    "file": f"{disk}/sae.pt",
                    "scaling": {"mean": f"{disk}/mean.pt"},
                },
            }
        },
    }
    assert before == study(scores="~/scores of $DATA")


@pytest.mark.parametrize("text", ["a b", "$(touch x)", "$", "a$", "`x`", "it's", "a~b"])
def test_what_is_no_variable_stays_as_it_is(text):
    expanded, problems = expand_paths(study(scores=text))
    assert problems == []
    assert expanded["storage"]["scores"] == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$SCRATCH/x", r"'\$SCRATCH/x' names \$SCRATCH, which is not set: set it in"),
        ("a/${SCRATCH}", r"names \$SCRATCH, which is not set"),
        ("~nobody-has-this-name/x", "names a home that does not exist"),
        ("a/{encoder}", "has braces or line breaks"),
        ("a\nb", "has braces or line breaks"),
        ("$OF_BRACES/x", r"\$OF_BRACES/x', which stands for '/a{b}/x', has braces"),
    ],
)
def test_what_cannot_be_expanded_is_refused_with_file_and_line(
    monkeypatch, text, complaint
):
    monkeypatch.setenv("OF_BRACES", "/a{b}")
    (problem,) = expand_paths(study(scores=text))[1]
    assert problem.path == ("storage", "scores")
    config = read_mapping(DEMO)
    config["storage"] = {"scores": text}
    with pytest.raises(ValueError, match=complaint) as said:
        resolve_and_check(config, [DEMO], PROJECT, {"storage": {"scores": text}})
    assert str(said.value).startswith("--config: storage.scores: ")


def test_a_study_is_read_with_its_paths_expanded(tmp_path):
    config = read_mapping(DEMO)
    config["storage"] = {"activations": "~/$USER_OF_TEST"}
    os.environ["USER_OF_TEST"] = "me"
    read = resolve_and_check(config, [DEMO], PROJECT, {}).config
    assert read["storage"]["activations"] == str(Path("/home/us/me"))
