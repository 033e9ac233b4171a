"""What a reader asks for by name: found, or refused with names that are like it."""

import json

import pytest

from vitproto.core.project import PROJECT
from vitproto.launch.asked_pages import (
    find_trait,
    target_of_prototypes,
    target_of_traits,
)
from vitproto.study.read_study import read_study

RUN = "tiny-vit/layer3/topk/k512-lr0.01-sparsity8-seed0"


@pytest.fixture(scope="module")
def demo():
    return read_study(PROJECT / "config/demo.yaml")


def test_prototypes_are_sorted_and_named_in_the_folder(demo):
    folder = target_of_prototypes(demo, RUN, "107, 52,107")
    family, name = RUN.rsplit("/", 1)
    wanted = f"results/demo_birds/{family}/features/{name}+52,107"
    assert folder.as_posix() == wanted


@pytest.mark.parametrize("asked", ["512", "-1", "1,,2", "", "x", "1.5"])
def test_what_is_no_prototype_of_the_run_is_refused(demo, asked):
    with pytest.raises(ValueError, match="has no prototype .*from 0 to 511"):
        target_of_prototypes(demo, RUN, asked)


def test_a_misspelt_run_gets_the_names_that_are_like_it(demo):
    with pytest.raises(ValueError, match=f"perhaps {RUN}"):
        target_of_prototypes(demo, RUN.replace("lr0.01", "lr0.011"), "1")


def test_a_misspelt_trait_gets_the_names_that_are_like_it(tmp_path):
    pages = {"has_wing_color::blue": "0.html", "has_size::large": "1.html"}
    (tmp_path / "pages.json").write_text(json.dumps(pages))
    assert find_trait(tmp_path, "has_size::large") == tmp_path / "1.html"
    with pytest.raises(ValueError, match=r"perhaps has_wing_color::blue\).*all 2"):
        find_trait(tmp_path, "wing_color::blue")


def test_a_study_without_traits_has_no_pages_of_traits():
    study = read_study(PROJECT / "config/demo_scenes.yaml")
    with pytest.raises(ValueError, match="demo_scenes looks for no traits"):
        target_of_traits(study)
