"""Each prototype gets the images that drive it most, in one pass, to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import LAYER, with_threads, write_shards

from vitproto.activations.stream import Activations
from vitproto.features.top_images import Wanted, find_top_images, score_patches
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.scorer import DotProduct, NegativeDistance

CPU = torch.device("cpu")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recorded(folder, x_NPD, n_shards=1):
    return Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)


def autoencoder(n_latents, width, l0=None):
    """Latents that most patches leave at 0."""
    W_SD = normal(5, n_latents, width)
    return SparseAutoencoder(
        W_SD,
        torch.full((n_latents,), -3.0),
        W_SD,
        torch.zeros(width),
        threshold_S=torch.zeros(n_latents),
        mean_D=torch.zeros(width),
        norm=1.0,
        l0=l0,
    )


def test_three_images_of_two_patches_by_hand(tmp_path):
    x_NPD = np.array([[[1, 0], [2, 0]], [[-1, 3], [0, 0]], [[4, 0], [4, 0]]], "f4")
    scorer = DotProduct(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    top = find_top_images(recorded(tmp_path, x_NPD), scorer, 2, CPU)
    # Prototype 0 scores the patches 1 2, -1 0, 4 4; prototype 1 scores 0 0, -3 0, 0 0.
    assert top.i_image_RK.tolist() == [[2, 0], [0, 1]]
    assert top.score_RK.tolist() == [[4, 0], [2, 0]]
    assert top.frequency_K.tolist() == [4 / 6, 0]
    assert top.mean_value_K[0] == 11 / 4
    assert np.isnan(top.mean_value_K[1])
    assert top.lowest_K.tolist() == [-1, -3]
    # The lowest patches of the images score 1, -1, 4 and 0, -3, 0.
    assert top.i_low_image_RK.tolist() == [[1, 1], [0, 0]]
    assert top.low_score_RK.tolist() == [[-1, -3], [1, 0]]
    # Only scores below 0 count, and only of prototypes that score others above 0.
    assert [top.lowest_images_of(k) for k in (0, 1)] == [[1], []]


def test_an_image_whose_patches_all_score_high_stands_there_once(tmp_path):
    x_NPD = np.zeros((20, 5, 1), "f4")
    x_NPD[7] = [[9], [8], [7], [6], [5]]
    x_NPD[3, 2] = 1
    top = find_top_images(
        recorded(tmp_path, x_NPD), DotProduct(torch.ones(1, 1)), 4, CPU
    )
    assert top.i_image_RK[:2, 0].tolist() == [7, 3]
    assert len({*top.i_image_RK[:, 0].tolist()}) == 4
    # Images that score no more than any patch of the data set drive nothing.
    assert top.images_of(0) == [7, 3]


def test_a_prototype_that_scores_all_patches_alike_is_dead(tmp_path):
    x_NPD = normal(0, 9, 4, 3).numpy()
    scorer = DotProduct(torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    top = find_top_images(recorded(tmp_path, x_NPD), scorer, 3, CPU)
    assert top.is_alive_K.tolist() == [False, True]
    assert top.images_of(0) == []
    assert len(top.images_of(1)) == 3


@settings(max_examples=30, deadline=None)
@given(
    n_images=st.integers(1, 40),
    n_shown=st.integers(1, 12),
    n_levels=st.sampled_from([2, 5, 1000]),
    n_threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 99),
)
def test_the_table_equals_a_full_sort_ties_by_the_order_of_images(
    tmp_path_factory, n_images, n_shown, n_levels, n_threads, seed
):
    rng = np.random.default_rng(seed)
    # Few levels make many ties; identity prototypes keep scores exact.
    x_NPD = rng.integers(-n_levels, n_levels, (n_images, 3, 4)).astype("f4")
    acts = recorded(tmp_path_factory.mktemp("acts"), x_NPD)
    top = with_threads(
        n_threads, lambda: find_top_images(acts, DotProduct(torch.eye(4)), n_shown, CPU)
    )
    score_NK = x_NPD.max(axis=1)
    order_NK = np.argsort(-score_NK, axis=0, kind="stable")
    np.testing.assert_array_equal(top.i_image_RK, order_NK[:n_shown])
    np.testing.assert_array_equal(
        top.score_RK, np.take_along_axis(score_NK, order_NK[:n_shown], 0)
    )
    above_MK = np.maximum(x_NPD.reshape(-1, 4), 0)
    np.testing.assert_array_equal(top.n_above_K, (above_MK > 0).sum(0))
    np.testing.assert_array_equal(top.sum_above_K, above_MK.sum(0, dtype=np.float64))
    low_NK = x_NPD.min(axis=1)
    low_order_NK = np.argsort(low_NK, axis=0, kind="stable")
    np.testing.assert_array_equal(top.i_low_image_RK, low_order_NK[:n_shown])
    np.testing.assert_array_equal(top.lowest_K, low_NK.min(axis=0))


@pytest.mark.parametrize(
    "scorer",
    [
        DotProduct(normal(1, 300, 48)),
        NegativeDistance(normal(1, 300, 48)),
        autoencoder(300, 48),
        autoencoder(300, 48, l0=4),
    ],
    ids=["dot product", "distance", "relu", "topk"],
)
def test_shards_and_cores_change_no_bit_and_patches_score_what_their_image_scores(
    tmp_path, scorer
):
    x_NPD = normal(0, 37, 49, 48)
    found = {}
    for n_shards, n_threads in ((1, 1), (5, 2), (3, 3)):
        acts = recorded(tmp_path, x_NPD, n_shards)

        def look(acts=acts):
            top = find_top_images(acts, scorer, 4, CPU)
            best = top.i_image_RK
            pairs = [Wanted(i, k) for k in (0, 250) for i in best[:, k].tolist()]
            return top, score_patches(acts, [scorer], pairs, CPU)

        top, scores_MP = with_threads(n_threads, look)
        np.testing.assert_array_equal(
            scores_MP.max(1).reshape(2, 4), top.score_RK[:, [0, 250]].T
        )
        arrays = (top.score_RK, top.i_image_RK, top.sum_above_K, top.n_above_K)
        arrays += (top.low_score_RK, top.i_low_image_RK)
        found[n_shards] = [array.tobytes() for array in (*arrays, scores_MP)]
    assert found[1] == found[3] == found[5]


def test_patches_of_several_methods_are_scored_together(tmp_path):
    acts = recorded(tmp_path, normal(0, 6, 9, 16))
    scorers = [DotProduct(normal(1, 5, 16)), autoencoder(40, 16, l0=2)]
    wanted = [Wanted(4, 0, 0), Wanted(1, 30, 1), Wanted(4, 7, 1), Wanted(4, 3, 0)]
    together_MP = score_patches(acts, scorers, wanted, CPU)
    for place, scores_P in zip(wanted, together_MP, strict=True):
        alone = [place._replace(i_scorer=0)]
        one_P = score_patches(acts, [scorers[place.i_scorer]], alone, CPU)[0]
        np.testing.assert_array_equal(scores_P, one_P)


def test_latents_are_counted_where_they_are_active(tmp_path):
    x_NPD, scorer = normal(0, 20, 9, 16), autoencoder(40, 16, l0=2)
    top = find_top_images(recorded(tmp_path, x_NPD), scorer, 3, CPU)
    latents_MS = scorer(x_NPD.flatten(0, 1)).double()
    active_S = (latents_MS != 0).sum(0)
    assert 0 < active_S.sum() <= 2 * 180
    np.testing.assert_allclose(top.frequency_K, active_S / 180)
    np.testing.assert_allclose(
        top.mean_value_K[active_S > 0],
        (latents_MS.sum(0) / active_S)[active_S > 0],
        rtol=1e-6,
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_finds_the_images_that_the_cpu_finds(tmp_path):
    acts, scorer = recorded(tmp_path, normal(0, 60, 49, 64)), autoencoder(500, 64)
    gpu = torch.device("cuda")
    on_cpu, on_gpu = (find_top_images(acts, scorer, 3, d) for d in (CPU, gpu))
    np.testing.assert_allclose(on_gpu.score_RK, on_cpu.score_RK, atol=1e-3)
    np.testing.assert_allclose(on_gpu.frequency_K, on_cpu.frequency_K, atol=1e-3)
    pairs = [Wanted(int(on_gpu.i_image_RK[0, k]), k) for k in range(20)]
    np.testing.assert_array_equal(
        score_patches(acts, [scorer], pairs, gpu).max(1), on_gpu.score_RK[0, :20]
    )
