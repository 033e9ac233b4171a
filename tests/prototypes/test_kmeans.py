"""k-means finds planted centres, the same bytes whatever shards and threads."""

import runpy

import numpy as np
import pytest
import torch
from recorded import LAYER, with_threads, write_shards

from vitproto.cli import PROJECT
from vitproto.prototypes import checkpoint, kmeans, load
from vitproto.prototypes.scorer import DotProduct, NegativeDistance

fit_kmeans = runpy.run_path(str(PROJECT / "scripts/fit_kmeans.py"))["fit_kmeans"]
CFG = kmeans.KMeans(n_sample=600, n_iters=20)


def planted(n_centres, width, n_patches):
    """Patches close around centres that lie far apart."""
    rng = np.random.default_rng(0)
    centres_CD = 10 * rng.standard_normal((n_centres, width))
    noise_MD = rng.standard_normal((n_patches, width))
    x_MD = centres_CD[rng.integers(n_centres, size=n_patches)] + noise_MD
    return torch.from_numpy(x_MD.astype(np.float32)), centres_CD


def share_found(centres_KD, planted_CD):
    """The share of planted directions that some centre has, by cosine > 0.95."""
    found_KD = centres_KD / np.linalg.norm(centres_KD, axis=1, keepdims=True)
    planted_CD = planted_CD / np.linalg.norm(planted_CD, axis=1, keepdims=True)
    return ((planted_CD @ found_KD.T).max(1) > 0.95).mean()


def test_planted_centres_are_found_again():
    x_MD, planted_CD = planted(40, 32, 20_000)
    # Lloyd's algorithm never moves a centre from one cluster to another, so where
    # two start in the same one, another goes without: twice as many cover that.
    assert share_found(kmeans.fit(x_MD, 80, 20).numpy(), planted_CD) >= 0.9


def test_two_rounds_worked_out_by_hand():
    x_MD = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
    # From 0 and 1: first {0}, {1, 2, 9, 10} with centres 0 and 5.5, then the halves.
    assert kmeans.fit(x_MD, 2, 1).tolist() == [[0.0], [5.5]]
    assert kmeans.fit(x_MD, 2, 2).tolist() == [[1.0], [9.5]]
    assert kmeans.fit(x_MD, 2, 50).tolist() == [[1.0], [9.5]]


def test_a_centre_without_patches_moves_to_the_farthest_patch():
    x_MD = torch.tensor([[0.0], [0.0], [0.0], [5.0], [7.0]])
    # The second centre starts on the first one, and so is nearest to nothing.
    torch.testing.assert_close(kmeans.fit(x_MD, 2, 1), torch.tensor([[2.4], [7.0]]))
    assert kmeans.fit(x_MD, 2, 20).tolist() == [[0.0], [6.0]]


def test_one_centre_is_the_mean_and_one_per_patch_are_the_patches():
    x_MD, _ = planted(3, 8, 50)
    mean_D = x_MD.double().mean(0).float()
    torch.testing.assert_close(kmeans.fit(x_MD, 1, 3)[0], mean_D)
    assert torch.equal(kmeans.fit(x_MD, 50, 3), x_MD)


def test_the_distance_to_the_centres_falls_to_that_of_a_trusted_reference():
    from sklearn.cluster import KMeans

    x_MD = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0))
    centres_KD = kmeans.fit(x_MD, 20, 30)
    theirs = KMeans(20, init=x_MD[:20].numpy(), n_init=1, max_iter=30, tol=0)
    theirs.fit(x_MD.numpy())
    np.testing.assert_allclose(centres_KD, theirs.cluster_centers_, atol=1e-4)


def test_no_number_of_threads_changes_a_byte():
    x_MD, _ = planted(300, 48, 3 * kmeans.CHUNK + 77)
    found = {
        with_threads(n, lambda: kmeans.fit(x_MD, 200, 4).numpy().tobytes())
        for n in (1, 2, 3, 5)
    }
    assert len(found) == 1


def test_more_centres_than_patches_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="got 5 patches for 6 prototypes"):
        kmeans.fit(torch.ones(5, 2), 6, 1)


def run_stage(folder, x_NPD, *, n_shards=1, score="dot", runs=("k4-seed0", "k9-seed1")):
    folder.mkdir()
    manifest = folder / "checkpoints.json"
    shards = write_shards(folder, x_NPD, n_shards)
    fit_kmeans(shards, LAYER, runs, folder, manifest, score=score, cfg=CFG)
    return checkpoint.read_manifest(manifest)


def test_the_stage_fits_every_run_whatever_the_shards_and_both_scores(tmp_path):
    x_MD, planted_CD = planted(3, 16, 800)
    x_NPD = x_MD.reshape(40, 20, 16)
    runs = run_stage(tmp_path / "one", x_NPD)
    assert [run.name for run in runs] == ["k4-seed0", "k9-seed1"]
    scorers = [load(run.path) for run in runs]
    assert all(isinstance(scorer, DotProduct) for scorer in scorers)
    assert share_found(scorers[1].directions_KD.numpy(), planted_CD) == 1
    settings = checkpoint.read_settings(runs[1].path)
    assert (settings["method"], settings["seed"]) == ("kmeans", 1)
    assert (settings["n_sample"], settings["n_iters"]) == (600, 20)

    again = run_stage(tmp_path / "three", x_NPD, n_shards=3)
    assert [run.sha256 for run in again] == [run.sha256 for run in runs]

    by_distance = run_stage(tmp_path / "distance", x_NPD, score="distance")
    scorer = load(by_distance[1].path)
    assert isinstance(scorer, NegativeDistance)
    assert torch.equal(scorer.centres_KD, scorers[1].directions_KD)
    settings = checkpoint.read_settings(by_distance[1].path)
    assert settings["method"] == "kmeansdistance"


def test_seeds_give_different_centres(tmp_path):
    x_NPD = planted(30, 16, 800)[0].reshape(40, 20, 16)
    first, second = run_stage(tmp_path / "a", x_NPD, runs=("k4-seed0", "k4-seed1"))
    assert not torch.equal(
        load(first.path).directions_KD, load(second.path).directions_KD
    )


def test_a_sample_larger_than_the_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="600 patches were asked for, there are 40"):
        run_stage(tmp_path / "few", torch.ones(2, 20, 4))
