"""The note beside a result says what made it, and what would be different today."""

from dataclasses import replace

import pytest

from vitproto.study.origins import (
    Origin,
    combine,
    differences,
    digest_of,
    forget,
    name_of,
    note,
    read,
)

KMEANS = Origin(
    rule="fit_kmeans",
    wildcards={"encoder": "clip", "layer": "3"},
    command="python scripts/fit_kmeans.py --name birds {params.flags} > {log}",
    settings={"flags": "--n_iters 5 --n_sample 1000", "runs": ["k4-seed0"]},
    inputs={"record_activations encoder=clip": "aa"},
    files={"weights.pt": "bb"},
    code={"vitproto/k.py: fit": "cc", "numpy": "2.4.6"},
)


def test_a_note_reads_as_it_was_written(tmp_path):
    results = [tmp_path / "centres.csv", tmp_path / "folder"]
    note(KMEANS, results)
    assert [read(result) for result in results] == [KMEANS, KMEANS]
    forget(results[:1])
    assert read(results[0]) is None
    assert read(results[1]) == KMEANS


def test_a_damaged_note_is_named(tmp_path):
    note(KMEANS, [tmp_path / "a.csv"])
    path = tmp_path / ".origins/a.csv.json"
    for text in (path.read_text()[:-9], '{"rule": "fit_kmeans"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.csv\.json is damaged.*delete it"):
            read(tmp_path / "a.csv")


def test_nothing_differs_from_itself():
    assert differences(KMEANS, KMEANS) == []


@pytest.mark.parametrize(
    ("today", "said"),
    [
        ({"code": {**KMEANS.code, "vitproto/k.py: fit": "dd"}}, "fit changed"),
        ({"code": {"numpy": "2.4.6"}}, "vitproto/k.py: fit is no longer used"),
        ({"code": {**KMEANS.code, "numpy": "2.5.0"}}, "numpy: 2.4.6 → 2.5.0"),
        ({"code": {**KMEANS.code, "torch": "2.13.0"}}, "torch is used now"),
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
        (
            {"inputs": {"record_activations encoder=clip": "ee"}},
            "it was made of an earlier record_activations encoder=clip",
        ),
        ({"inputs": {}}, "it was also made of record_activations encoder=clip"),
        (
            {"inputs": {**KMEANS.inputs, "list_images": "ff"}},
            "it was not made of list_images",
        ),
        ({"files": {"weights.pt": "gg"}}, "the file weights.pt changed"),
    ],
)
def test_what_differs_is_said(today, said):
    (change,) = differences(KMEANS, replace(KMEANS, **today))
    assert change.endswith(said)


def test_files_that_are_not_here_are_not_compared():
    assert differences(KMEANS, replace(KMEANS, files={})) == []


def test_how_a_data_set_is_cut_does_not_count():
    names = [
        name_of("record", {"dataset": "birds", "i_shard": i, "n_shards": n})
        for i, n in (("0", "2"), ("1", "2"), ("0", "1"))
    ]
    assert names == ["record dataset=birds"] * 3
    assert combine([(names[0], "aa"), (names[1], "aa")]) == {names[2]: "aa"}
    assert combine([(names[1], "bb"), (names[0], "aa")]) == {names[2]: "aa bb"}


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert digest_of(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
