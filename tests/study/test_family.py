"""Families of runs on a command line, and whose file is whose."""

import pytest

from vitproto.study.family import Family, read_families, write_families
from vitproto.study.run import Run

STUDY = {
    Family("clip-b.16", 3, "random"): [Run(8, 0), Run(16, 0)],
    Family("clip-b.16", 7, "random"): [Run(8, 0), Run(16, 0)],
    Family("dino", 3, "topk"): [Run(64, 1, 1e-05, 0.0008), Run(64, 1, 2e20, 32.0)],
}


def test_families_with_the_same_runs_share_a_list_and_are_read_back():
    texts = write_families(STUDY)
    assert texts[0] == "clip-b.16/layer3/random,clip-b.16/layer7/random:" + (
        "k8-seed0,k16-seed0"
    )
    assert len(texts) == 2
    assert read_families(texts) == {
        family: [run.name for run in runs] for family, runs in STUDY.items()
    }


def test_no_argument_is_longer_than_linux_takes():
    runs = [Run(16384, seed, 0.000123456789, 0.000123456789) for seed in range(1500)]
    study = {Family("e" * 40, layer, "m" * 20): runs for layer in range(1100)}
    texts = write_families(study)
    assert len(texts) == 2 * 2
    assert max(map(len, texts)) < 128 * 1024
    names = [run.name for run in runs]
    assert read_families(texts) == dict.fromkeys(study, names)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["clip/3/random:k8-seed0"], "names no family"),
        (["clip/layer3:k8-seed0"], "names no family"),
        (["clip/layer3/random"], "'' names no run"),
        (["a/layer3/b:k8-seed0", "a/layer3/b:k9-seed0,k8-seed0"], "the same run twice"),
    ],
)
def test_what_names_no_family_or_one_twice_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        read_families(texts)
