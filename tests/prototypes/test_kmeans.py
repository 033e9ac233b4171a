"""k-means finds planted centres, the same bytes whatever shards and threads."""

import runpy
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded import (
    TOY,
    with_threads,
    write_shards,
    write_split_list,
)

from vitproto.activations.sample import PatchSample
from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint, kmeans
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.scorer import DotProduct, NegativeDistance

fit_kmeans = runpy.run_path(str(PROJECT / "scripts/fit_kmeans.py"))["fit_kmeans"]


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


@pytest.fixture
def sample_of(tmp_path):
    """Puts patches into a file, as the stage does."""
    with ExitStack() as stack:

        def put(x_MD):
            file = stack.enter_context(tempfile.TemporaryFile(dir=tmp_path))
            file.write(x_MD.numpy().tobytes())
            file.flush()
            return PatchSample(file.fileno(), *x_MD.shape, np.dtype(np.float32))

        yield put


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_many_centres_as_were_planted_find_nearly_all_of_them(sample_of, seed):
    x_MD, planted_CD = planted(40, 32, 20_000)
    centres_KD = kmeans.fit(sample_of(x_MD), 40, 20, seed)
    assert share_found(centres_KD.numpy(), planted_CD) >= 0.9
    # Lloyd's algorithm alone does not do that: it needs the start.
    from_first_KD = kmeans.lloyd(sample_of(x_MD), x_MD[:40], 20)
    assert share_found(from_first_KD.numpy(), planted_CD) < 0.8


def test_centres_start_in_every_cluster_however_few_patches_it_has():
    # 1,000 patches around 0, and three clusters of a single patch far away.
    generator = torch.Generator().manual_seed(0)
    x_MD = torch.randn(1003, 2, generator=generator)
    x_MD[[200, 500, 900]] = torch.tensor([[1e3, 0.0], [0.0, 1e3], [-1e3, 0.0]])
    start_KD = kmeans.spread(x_MD, 4, seed=0)
    assert torch.equal(start_KD[0], x_MD[0])
    assert {tuple(row) for row in start_KD[1:].tolist()} == {
        (1e3, 0.0),
        (0.0, 1e3),
        (-1e3, 0.0),
    }


def test_the_start_is_as_good_as_that_of_a_trusted_reference():
    from sklearn.cluster import kmeans_plusplus

    x_MD, _ = planted(60, 8, 3000)

    def mean_squared(centres_KD):
        return torch.cdist(x_MD, torch.as_tensor(centres_KD)).amin(1).square().mean()

    seeds = range(5)
    ours = np.mean([mean_squared(kmeans.spread(x_MD, 90, s)) for s in seeds])
    x = x_MD.numpy()
    theirs = np.mean(
        [mean_squared(kmeans_plusplus(x, 90, random_state=s)[0]) for s in seeds]
    )
    plain = np.mean(
        [
            mean_squared(kmeans_plusplus(x, 90, random_state=s, n_local_trials=1)[0])
            for s in seeds
        ]
    )
    assert ours < 1.03 * theirs < plain


def test_patches_that_all_are_the_same_give_centres_that_are_too(sample_of):
    assert kmeans.fit(sample_of(torch.ones(30, 3)), 4, 5, 0).tolist() == [[1.0] * 3] * 4


def test_two_rounds_worked_out_by_hand(sample_of):
    x_MD = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
    sample, start_KD = sample_of(x_MD), x_MD[:2]
    # From 0 and 1: first {0}, {1, 2, 9, 10} with centres 0 and 5.5, then the halves.
    assert kmeans.lloyd(sample, start_KD, 1).tolist() == [[0.0], [5.5]]
    assert kmeans.lloyd(sample, start_KD, 2).tolist() == [[1.0], [9.5]]
    assert kmeans.lloyd(sample, start_KD, 50).tolist() == [[1.0], [9.5]]


def test_a_centre_without_patches_moves_to_the_farthest_patch(sample_of):
    x_MD = torch.tensor([[0.0], [0.0], [0.0], [5.0], [7.0]])
    # The second centre starts on the first one, and so is nearest to nothing.
    sample, start_KD = sample_of(x_MD), x_MD[:2]
    one_KD = kmeans.lloyd(sample, start_KD, 1)
    torch.testing.assert_close(one_KD, torch.tensor([[2.4], [7.0]]))
    assert kmeans.lloyd(sample, start_KD, 20).tolist() == [[0.0], [6.0]]


def test_one_centre_is_the_mean_and_one_per_patch_are_the_patches(sample_of):
    x_MD, _ = planted(3, 8, 50)
    sample = sample_of(x_MD)
    mean_D = x_MD.double().mean(0).float()
    torch.testing.assert_close(kmeans.fit(sample, 1, 3, 0)[0], mean_D)
    centres_KD = kmeans.fit(sample, 50, 3, 0)
    assert sorted(centres_KD.tolist()) == sorted(x_MD.tolist())


def test_centres_move_as_those_of_a_trusted_reference(sample_of):
    from sklearn.cluster import KMeans

    x_MD = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0))
    centres_KD = kmeans.lloyd(sample_of(x_MD), x_MD[:20], 30)
    theirs = KMeans(20, init=x_MD[:20].numpy(), n_init=1, max_iter=30, tol=0)
    theirs.fit(x_MD.numpy())
    np.testing.assert_allclose(centres_KD, theirs.cluster_centers_, atol=1e-4)


def test_no_number_of_threads_changes_a_byte(sample_of):
    # More patches than those among which centres start.
    x_MD, _ = planted(300, 48, kmeans.START_AT_LEAST + kmeans.PIECE + 77)
    sample = sample_of(x_MD)
    found = {
        with_threads(n, lambda: kmeans.fit(sample, 200, 3, 0).numpy().tobytes())
        for n in (1, 2, 3, 5)
    }
    assert len(found) == 1


def test_more_centres_than_patches_are_refused_with_both_numbers(sample_of):
    with pytest.raises(ValueError, match="got 5 patches for 6 prototypes"):
        kmeans.fit(sample_of(torch.ones(5, 2)), 6, 1, 0)


def run_stage(
    folder,
    x_NPD,
    *,
    n_shards=1,
    score="dot",
    runs=("k4-seed0", "k9-seed1"),
    study="study",
    n_iters=20,
):
    """Run the stage of a study, with a store that all studies in `folder` share."""
    folder.mkdir(exist_ok=True)
    shards = write_shards(folder, x_NPD, n_shards)
    manifest = folder / study / "checkpoints.json"
    fit_kmeans(
        shards,
        write_split_list(folder, ["train"] * len(x_NPD)),
        folder / "store/kmeans",
        folder / "store" / {"dot": "kmeans", "distance": "kmeansdistance"}[score],
        manifest,
        runs=runs,
        family=TOY,
        score=score,
        cfg=kmeans.KMeans(n_sample=600, n_iters=n_iters),
    )
    assert [file.name for file in manifest.parent.iterdir()] == [manifest.name]
    return checkpoint.read_manifest(manifest, TOY, runs)


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


def never_fitted(*args):
    raise AssertionError("these centres were found before")


def test_both_scores_and_other_studies_share_centres_once_found(tmp_path, monkeypatch):
    x_NPD = planted(3, 16, 800)[0].reshape(40, 20, 16)
    first = run_stage(tmp_path, x_NPD)
    dates = [Path(run.path).stat().st_mtime_ns for run in first]
    with monkeypatch.context() as patched:
        patched.setattr(kmeans, "fit", never_fitted)
        again = run_stage(tmp_path, x_NPD, study="other")
        by_distance = run_stage(tmp_path, x_NPD, study="third", score="distance")
    assert again == first
    assert [Path(run.path).stat().st_mtime_ns for run in again] == dates
    assert {Path(run.path).parent.name for run in by_distance} == {"kmeansdistance"}

    fewer = run_stage(tmp_path, x_NPD, study="fourth", n_iters=1)
    assert not {run.path for run in fewer} & {run.path for run in first}
    assert [Path(run.path).stat().st_mtime_ns for run in first] == dates


def test_a_checkpoint_renamed_by_hand_is_refused(tmp_path):
    x_NPD = planted(3, 16, 800)[0].reshape(40, 20, 16)
    first = run_stage(tmp_path, x_NPD)
    fewer = run_stage(tmp_path, x_NPD, n_iters=1)
    Path(fewer[0].path).rename(first[0].path)
    with pytest.raises(ValueError, match="was made with n_iters 1, but its name says"):
        run_stage(tmp_path, x_NPD)


def test_seeds_give_different_centres(tmp_path):
    x_NPD = planted(30, 16, 800)[0].reshape(40, 20, 16)
    first, second = run_stage(tmp_path / "a", x_NPD, runs=("k4-seed0", "k4-seed1"))
    assert not torch.equal(
        load(first.path).directions_KD, load(second.path).directions_KD
    )


def test_a_sample_larger_than_the_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="600 patches are needed, but there are 40"):
        run_stage(tmp_path / "few", torch.ones(2, 20, 4))


MEMORY = """
import resource, tempfile
import numpy as np, torch
from vitproto.activations.sample import PatchSample
from vitproto.prototypes import kmeans

torch.set_num_threads(2)
rng = np.random.default_rng(0)
n_blocks = 32
with tempfile.TemporaryFile() as file:
    for _ in range(n_blocks):
        file.write(rng.standard_normal((4096, 512), np.float32).data)
    file.flush()
    peaks = []
    for n_patches in (100, n_blocks * 4096):
        sample = PatchSample(file.fileno(), n_patches, 512, np.dtype(np.float32))
        kmeans.fit(sample, 16, 2, 0)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print((peaks[1] - peaks[0]) / (n_blocks * 4096 * 512 * 4))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_a_sample_takes_much_less_memory_than_it_has_bytes():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=PROJECT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert float(done.stdout) < 0.5
