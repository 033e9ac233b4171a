"""Origin notes record how a result was made, and are compared with today."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitproto.freshness.origins import (
    ABSENT,
    ANY,
    GONE,
    UNKNOWN,
    Note,
    Origin,
    above,
    add_images,
    content_name,
    differences,
    differences_above,
    have_same_sizes,
    image_sum,
    name_of,
    note,
    read,
    seen_below,
    take_back,
    unknown_above,
)

KMEANS = Origin(
    rule="fit_kmeans",
    wildcards={"encoder": "clip", "layer": "3"},
    command="python scripts/fit_kmeans.py --dataset birds {params.flags} > {log}",
    settings={"flags": "--n_iters 5 --n_sample 1000", "runs": ["k4-seed0"]},
    code={"vitproto/k.py: fit": "cc", "numpy": "2.4.6"},
    fingerprint="f1",
    files={"weights.pt": "bb"},
    jobs_above={"record_activations encoder=clip": "aa"},
    files_above={"images.txt": "11", "the content of a.csv": "22"},
    by_content=False,
)


def test_a_note_reads_as_it_was_written(tmp_path):
    results = [tmp_path / "centres.csv", tmp_path / "folder"]
    looks = {"an image of birds": "sum:1:2"}
    note(KMEANS, {results[0]: "12", results[1]: ""}, looks)
    assert read(results[0]) == Note(KMEANS, "12", looks)
    assert read(results[1]) == Note(KMEANS, "", looks)
    take_back(results[:1])
    assert read(results[0]) is None
    assert read(results[1]) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rule": "fit"}', '{"format": 1}'])
def test_a_note_that_cannot_be_read_vouches_for_nothing(tmp_path, text):
    note(KMEANS, {tmp_path / "a.csv": ""}, {})
    (tmp_path / ".origins/a.csv.json").write_text(text)
    assert read(tmp_path / "a.csv") is None


def test_nothing_differs_from_itself():
    assert differences(KMEANS, KMEANS) == []
    assert differences_above(KMEANS, KMEANS) == []


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (
            {"code": {**KMEANS.code, "vitproto/k.py: fit": "dd"}, "fingerprint": "f2"},
            "fit changed",
        ),
        (
            {"code": {**KMEANS.code, "numpy": "2.5.0"}, "fingerprint": "f2"},
            "numpy: 2.4.6 → 2.5.0",
        ),
        (
            {"settings": {**KMEANS.settings, "flags": "--n_iters 4 --n_sample 1000"}},
            "n_iters: 5 → 4",
        ),
        (
            {"settings": {**KMEANS.settings, "flags": "--n_iters 5"}},
            "n_sample: 1000 → nothing",
        ),
        (
            {"settings": {**KMEANS.settings, "runs": ["k4-seed0", "k8-seed0"]}},
            "runs: k4-seed0 → k4-seed0 k8-seed0",
        ),
        (
            {"command": KMEANS.command.replace("birds", "flowers --all")},
            "its command: birds → flowers --all",
        ),
        ({"files": {"weights.pt": "gg"}}, "weights.pt changed"),
        ({"files": {**KMEANS.files, "more.pt": "gg"}}, "it did not read more.pt"),
    ],
)
def test_what_a_job_would_do_differently_is_said(today, said):
    (change,) = differences(KMEANS, replace(KMEANS, **today))
    assert change.endswith(said)


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (
            {"jobs_above": {"record_activations encoder=clip": "ee"}},
            "it was made from an earlier record_activations encoder=clip",
        ),
        ({"jobs_above": {}}, "it was also made from record_activations encoder=clip"),
        (
            {"jobs_above": {**KMEANS.jobs_above, "list_images": "ff"}},
            "it was not made from list_images",
        ),
        (
            {"files_above": {**KMEANS.files_above, "images.txt": "33"}},
            "images.txt changed",
        ),
        (
            {"files_above": {**KMEANS.files_above, "splits.txt": "33"}},
            "it did not read splits.txt",
        ),
    ],
)
def test_what_its_inputs_would_be_made_of_differently_is_said(today, said):
    assert differences_above(KMEANS, replace(KMEANS, **today)) == [said]


def test_files_that_are_not_here_are_not_compared():
    absent = dict.fromkeys(KMEANS.files, ABSENT)
    assert differences(KMEANS, replace(KMEANS, files=absent)) == []
    absent = dict.fromkeys(KMEANS.files_above, ABSENT)
    assert differences_above(KMEANS, replace(KMEANS, files_above=absent)) == []
    assert differences(KMEANS, replace(KMEANS, files={ANY: ABSENT})) == []


def test_files_that_are_no_longer_read_are_a_change():
    """Otherwise results of a fine-tuned model would pass for those of the original."""
    (name,) = KMEANS.files
    unread = replace(KMEANS, files={})
    assert differences(KMEANS, unread) == [f"{name} is no longer read"]
    now = replace(KMEANS, files={name: GONE})
    assert differences(KMEANS, now) == [f"{name} is gone"]
    assert differences(unread, now) == []


def test_a_file_that_is_missing_here_counts_if_it_was_not_read():
    """For instance after a typo in the name of a checkpoint."""
    now = replace(KMEANS, files={**KMEANS.files, "tpyo.pt": ABSENT})
    assert differences(KMEANS, now) == ["it did not read tpyo.pt"]


@pytest.mark.parametrize(
    "damage", ["{}", '{"format": 2}', '{"format": 2, "content": ""}', "[]", "{"]
)
def test_a_damaged_note_is_none(tmp_path, damage):
    result = tmp_path / "ap.csv"
    note(KMEANS, {result: "1"}, {})
    assert read(result) is not None
    (tmp_path / ".origins/ap.csv.json").write_text(damage)
    assert read(result) is None


def test_what_only_a_job_that_is_due_can_tell_is_not_compared():
    today = {**KMEANS.files_above, "the content of a.csv": UNKNOWN}
    now = replace(KMEANS, files_above=today)
    assert differences_above(KMEANS, now) == []
    assert unknown_above(now) == ["the content of a.csv"]
    assert unknown_above(KMEANS) == []


def shard(i: int, n: int, images: str) -> Origin:
    return replace(
        KMEANS,
        rule="record",
        wildcards={"dataset": "birds", "i_shard": str(i), "n_shards": str(n)},
        files={"images": images, "weights.pt": "bb"},
    )


def test_how_a_data_set_is_cut_does_not_count():
    one, two, three = ((bytes([i]) * 32, bytes([i + 1]) * 32) for i in (1, 2, 254))
    whole = above([shard(0, 1, image_sum([one, two, three]))], {})
    parts = [shard(0, 2, image_sum([one, two])), shard(1, 2, image_sum([three]))]
    assert above(parts, {}) == whole
    assert above(parts[::-1], {}) == whole
    others = above([parts[0], shard(1, 2, image_sum([two]))], {})
    assert others.jobs == whole.jobs
    assert others.files != whole.files
    assert (
        add_images(part.files["images"] for part in parts)
        == (whole.files["images (record dataset=birds)"])
    )
    assert name_of("record", {"dataset": "a", "i_shard": "0", "address": "1f"}) == (
        "record dataset=a"
    )


DIGESTS = st.binary(min_size=32, max_size=32)
SETS = st.lists(st.tuples(DIGESTS, DIGESTS), max_size=5)


@given(SETS, SETS)
def test_a_part_of_a_set_of_images_can_be_taken_away(some, others):
    whole = image_sum([*some, *others])
    assert add_images([image_sum(some), image_sum(others)]) == whole
    assert add_images([whole], without=[image_sum(others)]) == image_sum(some)
    assert add_images([]) == image_sum([])


def test_sizes_tell_sets_of_images_apart_without_a_look_inside():
    one, two = bytes([1]) * 32, bytes([2]) * 32
    small, other, large = (
        image_sum([pair]) for pair in ((one, one), (one, two), (two, two))
    )
    assert small != other
    assert have_same_sizes(small, other)
    assert not have_same_sizes(small, large)
    for no_set in (ABSENT, GONE, UNKNOWN, f"{small} {large}"):
        assert not have_same_sizes(small, no_set)


def test_what_two_inputs_share_counts_once():
    both = above([KMEANS, replace(KMEANS, rule="fit_pca", files={})], {})
    own = {"weights.pt (fit_kmeans encoder=clip layer=3)": "bb"}
    assert both.files == {**KMEANS.files_above, **own}
    assert sorted(both.jobs) == [
        "fit_kmeans encoder=clip layer=3",
        "fit_pca encoder=clip layer=3",
        "record_activations encoder=clip",
    ]


def test_files_of_one_name_that_change_places_are_a_change():
    """Otherwise the weights of two encoders could be swapped unnoticed."""

    def encoder(name: str, weights: str) -> Origin:
        wildcards = {"dataset": "birds", "encoder": name}
        return replace(shard(0, 1, "1"), wildcards=wildcards, files={"w.pt": weights})

    def table(first: str, second: str) -> Origin:
        jobs, files = above([encoder("a", first), encoder("b", second)], {})
        return replace(KMEANS, jobs_above=jobs, files_above=files)

    assert differences_above(table("1", "2"), table("2", "1")) == [
        "w.pt (record dataset=birds encoder=a) changed",
        "w.pt (record dataset=birds encoder=b) changed",
    ]
    # One is not here: the other counts all the same.
    assert differences_above(table("1", "2"), table(ABSENT, "3")) == [
        "w.pt (record dataset=birds encoder=b) changed"
    ]
    _, files = above([replace(encoder("a", "1"), files={ANY: ABSENT})], {})
    now = replace(KMEANS, jobs_above=table("1", "2").jobs_above, files_above=files)
    assert differences_above(table("1", "2"), now) == [
        "w.pt (record dataset=birds encoder=b) is no longer read"
    ]


@pytest.mark.parametrize(
    "change", ["w.pt changed", "w.pt is gone", "w.pt is no longer read"]
)
def test_a_change_is_told_below_as_it_is_found_there(change):
    assert seen_below(change, "fit a=1") == change.replace("w.pt", "w.pt (fit a=1)")
    assert seen_below("it did not read w.pt", "f") == "it did not read w.pt (f)"
    assert seen_below("n_iters: 5 → 4", "f") == "n_iters: 5 → 4"


def test_small_inputs_count_by_content(tmp_path):
    name = content_name(tmp_path / "a.csv")
    assert above([], {name: "99"}) == ({}, {name: "99"})
