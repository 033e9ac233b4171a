"""A checkpoint is the scorer that was saved, or a clear error."""

import json
import pickle

import pytest
import torch
from recorded import IN_FAMILY, LAYER, TOY
from safetensors.torch import save_file

from vitproto.prototypes.checkpoint import (
    find_run,
    load,
    read_manifest,
    read_settings,
    save,
    write_manifest,
)
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.scorer import (
    CentredDotProduct,
    DotProduct,
    NegativeDistance,
    Scorer,
)
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run

SETTINGS = {"method": "gaussian", "seed": 3, "n_prototypes": 5}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "k5-seed3.safetensors"
    save(path, DotProduct(draw_directions(5, 8, seed=3)), SETTINGS)
    return path


def test_scores_are_dot_products_worked_out_by_hand():
    scorer = DotProduct(torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]))
    assert scorer.n_prototypes == 3
    scores_BK = scorer(torch.tensor([[1.0, 1.0], [2.0, -1.0]]))
    assert scores_BK.tolist() == [[3.0, -1.0, 3.0], [0.0, 1.0, 6.0]]


def test_centred_scores_are_zero_at_the_mean_worked_out_by_hand():
    scorer = CentredDotProduct(
        torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([1.0, 3.0])
    )
    scores_BK = scorer(torch.tensor([[1.0, 3.0], [2.0, 5.0]]))
    assert scores_BK.tolist() == [[0.0, 0.0], [5.0, -2.0]]


def test_distances_are_squared_and_negative_worked_out_by_hand():
    scorer = NegativeDistance(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
    scores_BK = scorer(torch.tensor([[1.0, 2.0], [4.0, 2.0]]))
    assert scores_BK.tolist() == [[0.0, -10.0], [-9.0, -25.0]]


@pytest.mark.parametrize(
    "scorer",
    [
        CentredDotProduct(draw_directions(5, 8, 0), draw_directions(1, 8, 1)[0]),
        NegativeDistance(draw_directions(5, 8, 0)),
    ],
    ids=["centred", "distance"],
)
def test_every_kind_of_scorer_comes_back_as_it_was(scorer, tmp_path):
    path, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save(path, scorer, SETTINGS)
    loaded = load(path)
    assert isinstance(loaded, Scorer)
    assert type(loaded) is type(scorer)
    acts_BD = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(acts_BD), scorer(acts_BD))
    save(again, loaded, SETTINGS)
    assert again.read_bytes() == path.read_bytes()


def test_a_kind_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "later.safetensors"
    header = json.dumps({"scorer": "oracle", "settings": {}})
    save_file({"directions_KD": torch.ones(2, 2)}, path, {"vitproto": header})
    with pytest.raises(ValueError, match="unknown kind 'oracle'"):
        load(path)


def test_a_checkpoint_comes_back_with_its_settings(checkpoint):
    scorer = load(checkpoint)
    assert isinstance(scorer, Scorer)
    acts_BD = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    original = DotProduct(draw_directions(5, 8, seed=3))
    assert torch.equal(scorer(acts_BD), original(acts_BD))
    assert read_settings(checkpoint) == SETTINGS


def test_the_same_prototypes_give_the_same_bytes(checkpoint, tmp_path):
    again = tmp_path / "again.safetensors"
    save(again, load(checkpoint), dict(reversed(SETTINGS.items())))
    assert again.read_bytes() == checkpoint.read_bytes()


def test_others_may_read_a_checkpoint_as_they_may_other_files(checkpoint, tmp_path):
    other = tmp_path / "other.txt"
    other.touch()
    assert checkpoint.stat().st_mode == other.stat().st_mode


def test_fewer_directions_are_the_first_of_more():
    assert torch.equal(draw_directions(5, 8, 3), draw_directions(9, 8, 3)[:5])
    assert not torch.equal(draw_directions(5, 8, 3), draw_directions(5, 8, 4))


def test_a_truncated_checkpoint_is_named(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"k5-seed3.safetensors is damaged"):
        load(checkpoint)


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a checkpoint ran code",))

    path = tmp_path / "trap.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="is damaged"):
        load(path)


def test_tensors_of_other_projects_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"directions_KD": torch.ones(2, 2)}, path)
    with pytest.raises(ValueError, match="was not written by vitproto"):
        load(path)


def test_a_missing_checkpoint_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*gone\.safetensors"):
        load(tmp_path / "gone.safetensors")


def test_a_manifest_lists_what_was_fitted(checkpoint, tmp_path):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    (run,) = read_manifest(manifest, TOY, ["k5-seed3"])
    assert (run.name, run.run) == ("k5-seed3", Run(5, 3))
    assert run.path == str(checkpoint)


def test_a_checkpoint_that_another_study_replaced_is_not_mistaken(checkpoint, tmp_path):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    save(checkpoint, DotProduct(draw_directions(5, 8, seed=4)), SETTINGS)
    with pytest.raises(ValueError, match="changed since"):
        read_manifest(manifest, TOY, ["k5-seed3"])
    checkpoint.unlink()
    with pytest.raises(ValueError, match="which is missing"):
        read_manifest(manifest, TOY, ["k5-seed3"])
    assert json.loads(manifest.read_text())["runs"][0]["sha256"]


OURS = {**IN_FAMILY, "layer": LAYER}


@pytest.mark.parametrize(
    ("change", "runs", "message"),
    [
        ({"encoder": "dino"}, ["k5-seed3"], "encoder tiny, expected encoder dino"),
        (
            {"layer": 7, "method": "pca"},
            ["k5-seed3"],
            "it says layer 2, method toy, expected layer 7, method pca: delete it",
        ),
        ({}, ["k5-seed3", "k9-seed0"], "lacks k9-seed0: delete it and run again"),
        ({}, ["k9-seed0"], "lacks k9-seed0, and holds k5-seed3, which should not be"),
    ],
)
def test_the_list_of_another_family_or_of_other_runs_is_refused(
    checkpoint, tmp_path, change, runs, message
):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    with pytest.raises(ValueError, match=rf"checkpoints\.json .*{message}"):
        read_manifest(manifest, FittedFamily(**{**OURS, **change}), runs)


def test_one_run_is_found_in_the_list_of_its_own_family_alone(checkpoint, tmp_path):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    assert find_run(manifest, TOY, "k5-seed3").path == str(checkpoint)
    other = FittedFamily(**{**OURS, "fit_dataset": "inat21"})
    with pytest.raises(ValueError, match="says fit_dataset corpus, expected fit_datas"):
        find_run(manifest, other, "k5-seed3")


def truncated(content: bytes) -> bytes:
    return content[:-20]


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        lambda content: b"",
        lambda content: b"\xff\xfe",
        lambda content: b"[]",
        lambda content: b'{"runs": {}, "method": "toy"}',
        lambda content: content.replace(b'"sha256"', b'"md5"'),
        lambda content: content.replace(b"k5-seed3", b"five", 1),
    ],
)
def test_a_damaged_list_is_named_in_one_sentence(checkpoint, tmp_path, damage):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    manifest.write_bytes(damage(manifest.read_bytes()))
    with pytest.raises(ValueError, match=r"checkpoints\.json is .*: delete it and run"):
        read_manifest(manifest, TOY, ["k5-seed3"])


def test_a_list_without_its_family_is_refused(checkpoint, tmp_path):
    manifest = tmp_path / "checkpoints.json"
    write_manifest(manifest, {Run(5, 3): checkpoint}, TOY)
    runs = json.loads(manifest.read_text())["runs"]
    manifest.write_text(json.dumps({"runs": runs}))
    with pytest.raises(ValueError, match=r"it says fit_dataset \?, encoder \?, layer"):
        read_manifest(manifest, TOY, ["k5-seed3"])
