import runpy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import IN_FAMILY, LAYER, TOY, write_shards

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.project import PROJECT
from vitproto.core.threads import one_core_each
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.scorer import (
    CentredDotProduct,
    DotProduct,
    NegativeDistance,
)
from vitproto.study.run import Run
from vitproto.traits import image_scores as module
from vitproto.traits.average_precision import average_precision
from vitproto.traits.image_scores import (
    GROUP,
    image_scores,
    score_block,
    score_blocks,
)

SCRIPTS = PROJECT / "scripts"
score_images = runpy.run_path(str(SCRIPTS / "score_images.py"))["score_images"]


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_scores(acts_BPD, directions_KD):
    """The largest float64 dot product with a patch, image by image."""
    directions_KD = directions_KD.double().numpy()
    return np.array(
        [
            (acts_PD @ directions_KD.T).max(axis=0)
            for acts_PD in acts_BPD.double().numpy()
        ]
    )


class NearestFirst:
    """A scorer that is not a dot product: minus the squared distance to a centre."""

    def __init__(self, centres_KD):
        self.centres_KD = centres_KD
        self.n_prototypes, self.width = centres_KD.shape

    def __call__(self, activations_BD):
        return -torch.cdist(activations_BD, self.centres_KD).square()

    def to(self, device):
        return NearestFirst(self.centres_KD.to(device))


def test_two_images_of_two_patches_by_hand():
    acts_BPD = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[-1.0, -1.0], [-3.0, 0.5]]])
    scorer = DotProduct(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, -1.0]]))
    # Image 0: patches score (1, 1, 0) and (0, 2, -2); image 1: (-1, -2, 1) and
    # (-3, -2.5, -0.5).
    expected_BK = torch.tensor([[1.0, 2.0, 0.0], [-1.0, -2.0, 1.0]])
    assert torch.equal(image_scores(acts_BPD, scorer), expected_BK)


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 33),
    st.integers(1, 20),
    st.integers(1, 7),
)
@settings(max_examples=50, deadline=None)
def test_scores_equal_a_slow_float64_loop(n_images, n_patches, width, k, tile):
    acts_BPD = normal(0, n_images, n_patches, width)
    directions_KD = normal(1, k, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        scores_BK = image_scores(acts_BPD, DotProduct(directions_KD))
    np.testing.assert_allclose(
        scores_BK, slow_scores(acts_BPD, directions_KD), atol=2e-5
    )


@pytest.mark.parametrize("tile", [4, 1024])
def test_centred_products_and_distances_are_those_of_the_best_patch(monkeypatch, tile):
    monkeypatch.setattr(module, "TILE", tile)
    acts_BPD, rows_KD, mean_D = normal(0, 3, 20, 8), normal(1, 10, 8), normal(2, 8)
    np.testing.assert_allclose(
        image_scores(acts_BPD, CentredDotProduct(rows_KD, mean_D)),
        slow_scores(acts_BPD - mean_D, rows_KD),
        atol=2e-5,
    )
    np.testing.assert_allclose(
        image_scores(acts_BPD, NegativeDistance(rows_KD)),
        image_scores(acts_BPD, NearestFirst(rows_KD)),
        atol=2e-5,
    )


@pytest.mark.parametrize(
    ("threshold", "l0"),
    [(0.0, None), (1.5, None), ("each", None), (0.0, 3), (0.0, 1), (0.0, 40)],
    ids=["relu", "batchtopk", "jumprelu", "topk", "top1", "more places than latents"],
)
def test_latents_are_those_of_the_best_patch(threshold, l0):
    acts_BPD = 4 * normal(0, 5, 20, 8)
    each_S = 3 * normal(6, 30).abs()
    sae = SparseAutoencoder(
        W_enc_SD=normal(1, 30, 8),
        b_enc_S=normal(2, 30) - 4,
        W_dec_SD=normal(3, 30, 8),
        b_dec_D=normal(4, 8),
        mean_D=normal(5, 8),
        norm=1.5,
        threshold_S=each_S if threshold == "each" else torch.full((30,), threshold),
        l0=l0,
    )
    slow_BS = torch.stack([sae(acts_PD).amax(0) for acts_PD in acts_BPD])
    np.testing.assert_allclose(image_scores(acts_BPD, sae), slow_BS, atol=1e-4)
    assert (slow_BS == 0).any()
    assert ((image_scores(acts_BPD, sae) == 0) == (slow_BS == 0)).all()


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_any_scorer_is_taken_at_its_word(n_images, n_patches, width, k):
    acts_BPD = normal(0, n_images, n_patches, width)
    centres_KD = normal(1, k, width)
    squares_BPK = (acts_BPD[:, :, None].double() - centres_KD.double()).square().sum(-1)
    np.testing.assert_allclose(
        image_scores(acts_BPD, NearestFirst(centres_KD)),
        -squares_BPK.amin(1),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("n_patches", "width", "k"),
    [
        (256, 768, 600),
        (196, 768, 128),
        (64, 64, 32),
        (49, 33, 2049),
        (5, 3, 7),
        (1, 5, 2),
    ],
)
@pytest.mark.parametrize("kind", [DotProduct, NegativeDistance, NearestFirst])
def test_a_group_of_images_scores_the_same_bits_in_any_block(n_patches, width, k, kind):
    n_images = 2 * GROUP + 3
    acts_BPD = normal(0, n_images, n_patches, width)
    scorer = kind(normal(1, k, width))
    with one_core_each() as workers:
        (whole_BK,) = score_block(acts_BPD, [scorer], workers)
        for n_groups in (1, 2):
            n = n_groups * GROUP
            blocks = [score_block(b, [scorer], workers)[0] for b in acts_BPD.split(n)]
            assert torch.equal(torch.cat(blocks), whole_BK)


@pytest.mark.parametrize("kind", [DotProduct, NegativeDistance, NearestFirst])
def test_the_number_of_cores_changes_no_bit_and_is_left_as_it_was(kind):
    acts_BPD = normal(0, 3 * GROUP + 1, 49, 384)
    scorers = [kind(normal(1, 700, 384)), kind(normal(2, 32, 384))]
    n_threads = torch.get_num_threads()
    found = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            with one_core_each() as workers:
                found.append(score_block(acts_BPD, scorers, workers))
            assert torch.get_num_threads() == n
            with ThreadPoolExecutor(1) as later:
                assert later.submit(torch.get_num_threads).result() == n
    finally:
        torch.set_num_threads(n_threads)
    for scores in found[1:]:
        assert all(map(torch.equal, scores, found[0]))


def test_a_patch_that_is_not_a_number_cannot_hide():
    acts_BPD = torch.zeros(2, 4, 3)
    acts_BPD[1, 2, 0] = float("nan")
    scores_BK = image_scores(acts_BPD, DotProduct(torch.ones(5, 3)))
    assert not scores_BK[0].isnan().any()
    assert scores_BK[1].isnan().all()


HOW = {
    "family": TOY,
    "dataset": "birds",
    "runs": ("k4-seed0", "k4-seed1", "k700-seed0"),
    "device": "cpu",
}


def write_family(folder, width=12):
    """Checkpoints of three runs and their manifest."""
    fitted = {}
    for run in (Run(4, 0), Run(4, 1), Run(700, 0)):
        fitted[run] = folder / f"{run.name}.safetensors"
        directions_KD = normal(run.n_prototypes + run.seed, run.n_prototypes, width)
        checkpoint.save(fitted[run], DotProduct(directions_KD), {})
    checkpoint.write_manifest(folder / "checkpoints.json", fitted, TOY)
    return folder / "checkpoints.json"


def test_several_scorers_are_scored_in_one_pass(tmp_path):
    x_NPD = normal(0, 37, 6, 12)
    acts = Activations.open(tuple(write_shards(tmp_path, x_NPD, 2)), LAYER)
    scorers = [DotProduct(normal(1, 5, 12)), NearestFirst(normal(2, 3, 12))]
    blocks = list(score_blocks(acts, scorers, torch.device("cpu")))
    i_next = 0
    for i_first, scores in blocks:
        assert i_first == i_next
        assert i_first % GROUP == 0
        i_next += len(scores[0])
    assert i_next == 37
    for i_scorer, scorer in enumerate(scorers):
        scores_NK = torch.cat([scores[i_scorer] for _, scores in blocks])
        torch.testing.assert_close(scores_NK, image_scores(x_NPD, scorer))


def test_the_stage_scores_every_run_and_its_bytes_do_not_depend_on_the_shards(tmp_path):
    x_NPD = normal(0, 37, 6, 12)
    family = write_family(tmp_path)
    contents = set()
    for n_shards in (1, 5):
        out = tmp_path / f"scores-{n_shards}.h5"
        shards = write_shards(tmp_path, x_NPD, n_shards)
        score_images(tuple(shards[::-1]), family, out, **HOW)
        with h5py.File(out) as file:
            contents.add(
                b"".join(
                    file[f"{run.name}/scores_NK"][:].tobytes()
                    for run in checkpoint.read_manifest(family, TOY, HOW["runs"])
                )
            )
            assert file["image_ids"].asstr()[:].tolist() == [
                f"image{i}" for i in range(37)
            ]
            said = {name: file.attrs[name] for name in (*IN_FAMILY, "dataset")}
            assert said == {
                name: value.encode()
                for name, value in {**IN_FAMILY, "dataset": "birds"}.items()
            }
            assert file.attrs["layer"] == LAYER
            table = file["k700-seed0/scores_NK"]
            np.testing.assert_allclose(
                table,
                slow_scores(x_NPD, normal(700, 700, 12)),
                atol=2e-5,
            )
        again = tmp_path / "again.h5"
        score_images(tuple(shards), family, again, **HOW)
        assert again.read_bytes() == out.read_bytes()
    assert len(contents) == 1


def test_prototypes_of_another_width_are_refused_with_both_numbers(tmp_path):
    shards = write_shards(tmp_path, normal(0, 3, 6, 10), 1)
    family = write_family(tmp_path, width=12)
    out = tmp_path / "scores.h5"
    with pytest.raises(
        ValueError, match=r"k4-seed0.*width 12, but .*0-of-1\.h5 have 10"
    ):
        score_images(tuple(shards), family, out, **HOW)
    assert not out.exists()


def test_a_pass_that_breaks_off_leaves_no_scores(tmp_path, monkeypatch):
    shards = write_shards(tmp_path, normal(0, 37, 6, 12), 1)

    def broken(acts_BPD, scorer):
        raise MemoryError

    monkeypatch.setattr(module, "image_scores", broken)
    with pytest.raises(MemoryError):
        score_images(
            tuple(shards),
            write_family(tmp_path),
            tmp_path / "s.h5",
            **HOW,
        )
    assert not (tmp_path / "s.h5").exists()


def test_auto_takes_a_gpu_only_where_there_is_one(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="finds 0 GPUs here: write cpu or auto"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="device is cuda:2, but torch finds 2 GPUs"):
        pick_device("cuda:2")
    for name in ("gpu", "mps", ""):
        with pytest.raises(ValueError, match="write auto, cpu, cuda"):
            pick_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("kind", [DotProduct, NegativeDistance, NearestFirst])
def test_a_gpu_agrees_with_the_cpu_also_in_several_tiles(monkeypatch, kind):
    monkeypatch.setattr(module, "GPU_SCORES", 3 * 49 * 130)  # three images a tile
    acts_BPD, scorer = normal(0, 8, 49, 64), kind(normal(1, 130, 64))
    on_gpu = image_scores(acts_BPD.cuda(), scorer.to(torch.device("cuda")))
    torch.testing.assert_close(
        on_gpu.cpu(), image_scores(acts_BPD, scorer), atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("attributes", "layer", "differs"),
    [
        (
            {"weights_digest": "bb"},
            LAYER,
            "weights_digest bb, but .* with weights_dige",
        ),
        ({"weights_digest": "aa"}, LAYER + 1, "layer 3, but .* with layer 2"),
        ({"encoder": "other"}, LAYER, "encoder other, but .* with encoder tiny"),
    ],
)
def test_prototypes_of_another_encoder_or_layer_are_refused(
    tmp_path, attributes, layer, differs
):
    shards = write_shards(tmp_path, normal(0, 3, 6, 12), 1, weights_digest="aa")
    file = tmp_path / "k4-seed0.safetensors"
    checkpoint.save(
        file, DotProduct(normal(1, 4, 12)), {"fitted_to": attributes, "layer": layer}
    )
    checkpoint.write_manifest(tmp_path / "checkpoints.json", {Run(4, 0): file}, TOY)
    with pytest.raises(
        ValueError, match=f"k4-seed0.safetensors was made with {differs}"
    ):
        score_images(
            shards,
            tmp_path / "checkpoints.json",
            tmp_path / "s.h5",
            **{**HOW, "runs": ("k4-seed0",)},
        )
    assert not (tmp_path / "s.h5").exists()


def test_prototypes_that_do_not_say_what_they_were_fitted_to_are_told_of(
    tmp_path, caplog
):
    shards = write_shards(tmp_path, normal(0, 3, 6, 12), 1, weights_digest="aa")
    files = {}
    for k, method in ((4, "imported"), (6, "gaussian")):
        files[Run(k, 0)] = tmp_path / f"{method}.safetensors"
        checkpoint.save(
            files[Run(k, 0)], DotProduct(normal(1, k, 12)), {"method": method}
        )
    checkpoint.write_manifest(tmp_path / "checkpoints.json", files, TOY)
    with caplog.at_level("INFO"):
        score_images(
            shards,
            tmp_path / "checkpoints.json",
            tmp_path / "s.h5",
            **{**HOW, "runs": tuple(run.name for run in files)},
        )
    assert (
        "imported.safetensors does not say which encoder it was fitted" in caplog.text
    )
    assert "gaussian.safetensors" not in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"family": replace(TOY, method="pca")},
            "it says method toy, expected method pca",
        ),
        (
            {"family": replace(TOY, fit_dataset="inat21")},
            "it says fit_dataset corpus, expected fit_dataset",
        ),
        ({"runs": HOW["runs"][:2]}, "holds k700-seed0, which should not be there"),
        ({"runs": (*HOW["runs"], "k8-seed0", "k8-seed1")}, "lacks k8-seed0 and 1 more"),
    ],
)
def test_prototypes_of_another_family_are_not_scored(tmp_path, change, message):
    shards = write_shards(tmp_path, normal(0, 3, 6, 12), 1)
    family, out = write_family(tmp_path), tmp_path / "s.h5"
    with pytest.raises(ValueError, match=rf"checkpoints\.json .*{message}"):
        score_images(tuple(shards), family, out, **{**HOW, **change})
    assert not out.exists()


@pytest.mark.parametrize("scale", [3e38, -3e38])
def test_scores_that_overflow_are_refused(tmp_path, scale):
    x_NPD = np.ones((20, 3, 8), np.float32)
    acts = Activations.open(write_shards(tmp_path, x_NPD, 2), LAYER)
    directions_KD = torch.ones(5, 8)
    directions_KD[3] = scale
    with pytest.raises(ValueError, match="prototype 3 scores the image 'image0' with"):
        list(score_blocks(acts, [DotProduct(directions_KD)], torch.device("cpu")))
    directions_KD[3] = scale / 100
    ((_, (scores_BK,)),) = score_blocks(
        acts.only(np.arange(8)), [DotProduct(directions_KD)], torch.device("cpu")
    )
    assert scores_BK.isfinite().all()


def test_one_image_of_one_patch_has_a_score_for_one_prototype(tmp_path):
    acts = Activations.open(
        write_shards(tmp_path, np.full((1, 1, 4), 2.0, "f4")), LAYER
    )
    scorer = DotProduct(torch.ones(1, 4))
    ((i_first, (scores_BK,)),) = score_blocks(acts, [scorer], torch.device("cpu"))
    assert (i_first, scores_BK.tolist()) == (0, [[8.0]])
    ap_KT = average_precision(scores_BK.numpy(), np.array([[True, False]]))
    np.testing.assert_array_equal(ap_KT, [[1.0, np.nan]])
