"""Principal components are those of a slow reference, whatever shards and threads."""

import runpy
from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded import (
    LAYER,
    TOY,
    with_threads,
    write_shards,
    write_split_list,
)

from vitproto.activations.stream import Activations
from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint, pca
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.fitting import FitJob

fit_pca = runpy.run_path(str(PROJECT / "scripts/fit_pca.py"))["fit_pca"]


def planted(n_images, n_patches, width, n_planted, mean=0.0):
    """Activations that vary most in a few known directions, around a mean."""
    rng = np.random.default_rng(0)
    axes_DD = np.linalg.qr(rng.standard_normal((width, width)))[0]
    sd_D = np.r_[np.linspace(8, 4, n_planted), np.full(width - n_planted, 0.5)]
    x_NPD = (rng.standard_normal((n_images, n_patches, width)) * sd_D) @ axes_DD
    x_NPD += mean * rng.standard_normal(width)
    return x_NPD.astype(np.float32), axes_DD[:n_planted]


def opened(folder, x_NPD, n_shards=1):
    return Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)


@pytest.mark.parametrize("mean", [0, 1000])
def test_components_agree_with_a_float64_reference_also_far_from_the_origin(
    tmp_path, mean
):
    x_NPD, _ = planted(150, 20, 24, 6, mean)
    found = pca.fit(opened(tmp_path, x_NPD))
    x_MD = x_NPD.reshape(-1, 24).astype(np.float64)
    variance_D, vectors_DD = np.linalg.eigh(np.cov(x_MD.T))
    expected_D = variance_D[::-1]
    np.testing.assert_allclose(found.variance_D[:6], expected_D[:6], rtol=1e-6)
    # Products in float32 leave each eigenvalue an error that goes with the largest.
    np.testing.assert_allclose(found.variance_D, expected_D, atol=1e-7 * expected_D[0])
    np.testing.assert_allclose(found.mean_D, x_MD.mean(0), rtol=1e-6, atol=1e-6)
    # The first six are well separated; of the rest, no direction is special.
    cosines_C = (found.components_DD[:6].numpy() * vectors_DD.T[::-1][:6]).sum(1)
    np.testing.assert_allclose(np.abs(cosines_C), 1, atol=1e-6)


def test_the_planted_subspace_is_found_again(tmp_path):
    x_NPD, planted_CD = planted(150, 20, 24, 6)
    found = pca.fit(opened(tmp_path, x_NPD))
    # Cosines of the angles between the two subspaces.
    overlap = found.components_DD[:6].numpy() @ planted_CD.T
    assert np.linalg.svd(overlap)[1].min() > 0.999


def test_the_bytes_do_not_depend_on_shards_or_threads(tmp_path):
    x_NPD, _ = planted(53, 7, 33, 6, mean=3)
    found = {
        with_threads(
            n_threads,
            lambda n_shards=n_shards: b"".join(
                tensor.numpy().tobytes()
                for tensor in vars(pca.fit(opened(tmp_path, x_NPD, n_shards))).values()
            ),
        )
        for n_shards, n_threads in [(1, 1), (1, 2), (5, 2), (3, 3)]
    }
    assert len(found) == 1


def test_each_component_stands_with_both_signs_by_falling_variance():
    # The largest entry of a component in size decides its sign.
    components_DD = pca._with_fixed_signs(
        torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    )
    assert components_DD.tolist() == [[-0.6, 0.8], [0.8, 0.6]]
    found = pca.Components(
        torch.zeros(2), components_DD, torch.tensor([2.0, 1.0], dtype=torch.float64)
    )
    expected_KD = [[-0.6, 0.8], [0.6, -0.8], [0.8, 0.6], [-0.8, -0.6]]
    np.testing.assert_allclose(pca.directions(found, 4), expected_KD)
    np.testing.assert_allclose(pca.directions(found, 2), expected_KD[:2])


def test_more_than_both_signs_of_all_components_are_refused_with_the_most_possible():
    with pytest.raises(ValueError, match=r"width 64 gives at most 128 .* 130: lower"):
        pca.check_n_prototypes(130, 64)
    with pytest.raises(ValueError, match=r"even number .* 33: write 34 or 32"):
        pca.check_n_prototypes(33, 64)
    pca.check_n_prototypes(128, 64)


def test_a_single_patch_is_refused(tmp_path):
    acts = opened(tmp_path, np.ones((1, 1, 4), np.float32))
    with pytest.raises(ValueError, match="at least 2 patches, got 1"):
        pca.fit(acts)


def test_the_stage_writes_scorers_that_are_zero_at_the_mean(tmp_path):
    x_NPD, planted_CD = planted(60, 10, 12, 2, mean=5)
    manifest, family = tmp_path / "checkpoints.json", replace(TOY, method="pca")
    shards = write_shards(tmp_path, x_NPD)
    splits = write_split_list(tmp_path, ["train"] * 60)
    names = ("k2-seed0", "k4-seed0")
    fit_pca(FitJob(shards, splits, tmp_path, manifest, names, family))
    runs = checkpoint.read_manifest(manifest, family, names)
    assert [run.name for run in runs] == ["k2-seed0", "k4-seed0"]
    two, four = (load(run.path) for run in runs)
    assert torch.equal(two.directions_KD, four.directions_KD[:2])
    mean_D = torch.from_numpy(x_NPD.reshape(-1, 12).mean(0, dtype=np.float64)).float()
    moved_BD = mean_D + 3 * torch.stack([torch.zeros(12), four.directions_KD[2]])
    expected_BK = [[0, 0, 0, 0], [0, 0, 3, -3]]
    np.testing.assert_allclose(four(moved_BD), expected_BK, atol=1e-4)
    cosines_CK = planted_CD @ four.directions_KD.numpy().T
    assert (np.abs(cosines_CK).max(1) > 0.95).all()
    settings = checkpoint.read_settings(runs[0].path)
    assert settings["method"] == "pca"
    assert settings["fitted_to"]["encoder"] == "tiny"


def test_the_stage_refuses_too_many_before_it_reads(tmp_path):
    shards = write_shards(tmp_path, np.ones((3, 2, 4), np.float32))
    manifest = tmp_path / "checkpoints.json"
    splits = write_split_list(tmp_path, ["train"] * 3)
    runs = ("k2-seed0", "k10-seed0")
    with pytest.raises(ValueError, match="at most 8 prototypes"):
        fit_pca(FitJob(shards, splits, tmp_path, manifest, runs, TOY))
    assert not manifest.exists()
