"""Autoencoders are measured as a slow float64 loop measures them, and by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from autoencoders import identity_autoencoder, normal, random_autoencoder
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import LAYER, with_threads, write_shards

from vitproto.activations.stream import Activations
from vitproto.prototypes.sae import evaluation as module
from vitproto.prototypes.sae.evaluation import HeldOut, draw_latents, evaluate
from vitproto.prototypes.sae.gradients import Weights

CPU = torch.device("cpu")
CFG = HeldOut(every=3, n_correlated=1000, seed=0)


def opened(folder, x_NPD, n_shards=1):
    return Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)


def slow_evaluation(x_MD, autoencoder, i_latent_C):
    """Everything by its definition, in float64, one number after the other."""
    x_MD = x_MD.double().numpy()
    W_enc_SD, b_enc_S, W_dec_SD, b_dec_D, threshold_S, mean_D = (
        getattr(autoencoder, name).double().numpy()
        for name in (*Weights._fields, "mean_D")
    )
    z_MD = (x_MD - mean_D) / autoencoder.norm
    f_MS = (z_MD - b_dec_D) @ W_enc_SD.T + b_enc_S
    f_MS[f_MS <= threshold_S] = 0
    if autoencoder.l0 is not None:
        for f_S in f_MS:
            f_S[np.argsort(-f_S, kind="stable")[autoencoder.l0 :]] = 0
    z_hat_MD = f_MS @ W_dec_SD + b_dec_D
    x_hat_MD = z_hat_MD * autoencoder.norm + mean_D
    around_MD = x_MD - x_MD.mean(0)
    varies_D = x_MD.var(0) > 0
    explained_D = (
        1 - (x_MD - x_hat_MD).var(0)[varies_D] / x_MD.var(0)[varies_D]
    ).mean()
    active_MS = f_MS != 0
    frequency_S = active_MS.mean(0)
    drawn_CM = f_MS[:, i_latent_C].T
    drawn_CM = drawn_CM[drawn_CM.std(1) > 0]
    correlations = [
        abs(np.corrcoef(drawn_CM[i], drawn_CM[j])[0, 1])
        for i in range(len(drawn_CM))
        for j in range(i)
    ]
    cosines = [
        abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(W_dec_SD)
        for b in W_dec_SD[:i]
    ]
    return {
        "n_patches": len(x_MD),
        "mse": ((z_MD - z_hat_MD) ** 2).sum(1).mean(),
        "nmse": ((x_MD - x_hat_MD) ** 2).sum() / (around_MD**2).sum(),
        "explained_variance": explained_D,
        "l0": active_MS.sum(1).mean(),
        "l1": np.abs(f_MS).sum(1).mean(),
        "n_dead": (frequency_S == 0).sum(),
        "n_almost_dead": ((frequency_S > 0) & (frequency_S < 1e-7)).sum(),
        "n_dense": (frequency_S > 1e-2).sum(),
        "mean_absolute_correlation": np.mean(correlations),
        "coherence": max(cosines),
        "frequency_S": frequency_S,
        "mean_value_S": np.array(
            [f_M[f_M != 0].mean() if (f_M != 0).any() else np.nan for f_M in f_MS.T]
        ),
    }


def assert_same(found, expected, rtol=1e-5):
    for name, value in expected.items():
        np.testing.assert_allclose(
            getattr(found, name), value, rtol=rtol, atol=1e-7, err_msg=name
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"threshold_S": torch.linspace(0, 0.8, 30)}, {"l0": 5}, {"norm": 0.01}],
    ids=["relu", "jumprelu", "topk", "small norm"],
)
def test_everything_agrees_with_a_slow_float64_reference(tmp_path, changes):
    x_NPD = 2 * normal(0, 40, 7, 12) + 3
    autoencoder = random_autoencoder(30, 12, **changes)
    (found,) = evaluate(opened(tmp_path, x_NPD), [autoencoder], CFG, CPU)
    x_MD = x_NPD[2::3].flatten(0, 1)
    assert_same(found, slow_evaluation(x_MD, autoencoder, np.arange(30)))
    # Some of what is counted is there.
    assert 0 < found.n_dense <= 30
    if not changes:
        assert found.n_dead > 0


@given(
    n_images=st.integers(4, 30),
    n_patches=st.integers(1, 6),
    width=st.integers(2, 6),
    n_latents=st.integers(4, 20),
    n_correlated=st.integers(4, 25),
)
@settings(max_examples=25, deadline=None)
def test_every_size_agrees_with_the_reference(
    tmp_path_factory, n_images, n_patches, width, n_latents, n_correlated
):
    cfg = HeldOut(every=2, n_correlated=n_correlated, seed=1)
    x_NPD = normal(n_images, n_images, n_patches, width)
    # Nothing is dead, so that there always is something to correlate.
    autoencoder = random_autoencoder(
        n_latents, width, b_enc_S=torch.full((n_latents,), 4.0)
    )
    acts = opened(tmp_path_factory.mktemp("acts"), x_NPD)
    (found,) = evaluate(acts, [autoencoder], cfg, CPU)
    i_latent_C = draw_latents(n_latents, cfg).numpy()
    assert len(i_latent_C) == min(n_latents, n_correlated)
    x_MD = x_NPD[1::2].flatten(0, 1)
    assert_same(found, slow_evaluation(x_MD, autoencoder, i_latent_C), rtol=2e-4)


def test_a_perfect_autoencoder_worked_out_by_hand(tmp_path):
    # The held-out image is the second one, with patches (3, -4), (-1, 0), (1, 1).
    x_NPD = torch.zeros(2, 3, 2)
    x_NPD[1] = torch.tensor([[3.0, -4.0], [-1.0, 0.0], [1.0, 1.0]])
    cfg = HeldOut(every=2, n_correlated=9, seed=0)
    (found,) = evaluate(opened(tmp_path, x_NPD), [identity_autoencoder(2)], cfg, CPU)
    assert (found.n_patches, found.mse, found.nmse) == (3, 0, 0)
    assert found.explained_variance == 1
    # Latents +x, +y, -x, -y are (3, 0, 0, 4), (0, 0, 1, 0), (1, 1, 0, 0).
    np.testing.assert_allclose(found.frequency_S, [2 / 3, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(found.mean_value_S, [2, 1, 1, 4])
    assert found.l0 == pytest.approx(5 / 3)
    assert found.l1 == pytest.approx((7 + 1 + 2) / 3)
    assert (found.n_dead, found.n_almost_dead, found.n_dense) == (0, 0, 4)
    assert found.coherence == 1  # -x is opposite to +x
    # +x (3, 0, 1) against the patches on which +y, -x, -y are active, which decide
    # their correlations: deviations (5, -4, -1) / 3, and (2, -1, -1) / 3 in some order.
    of_x = [abs(value) / np.sqrt(42 * 6) for value in (-3, -12, 15)]
    assert found.mean_absolute_correlation == pytest.approx(
        np.mean([*of_x, *3 * [0.5]])
    )


def test_half_of_everything_is_worked_out_by_hand(tmp_path):
    # Reconstructions are half of what they should be: the error is x / 2.
    x_NPD = torch.zeros(2, 4, 3)
    x_NPD[1, :, 0] = torch.tensor([5.0, 3.0, 5.0, 3.0])  # mean 4, variance 1
    x_NPD[1, :, 1] = torch.tensor([0.0, 0.0, 2.0, 2.0])  # mean 1, variance 1
    x_NPD[1, :, 2] = 7.0  # does not vary
    cfg = HeldOut(every=2, n_correlated=9, seed=0)
    autoencoder = identity_autoencoder(3, scale=0.5, norm=10.0)
    (found,) = evaluate(opened(tmp_path, x_NPD), [autoencoder], cfg, CPU)
    # Σ x² is 68 + 8 + 196 over 4 patches; z is a tenth of x.
    assert found.mse == pytest.approx(272 / 4 / 4 / 100)
    # Σ (x - x̄)² is 4 + 4 + 0.
    assert found.nmse == pytest.approx(272 / 4 / 8)
    # The error's variance is a quarter of the patches', where they vary.
    assert found.explained_variance == pytest.approx(0.75)
    assert found.l1 == pytest.approx((16 + 4 + 28) / 4 / 10)
    assert (found.n_dead, found.n_dense) == (3, 3)
    np.testing.assert_array_equal(
        np.isnan(found.mean_value_S), [False] * 3 + [True] * 3
    )


def test_dimensions_that_do_not_vary_do_not_count_however_they_round(tmp_path):
    x_NPD = normal(0, 30, 70, 40)
    x_NPD[:, :, 1:] = torch.linspace(0.1, 1000 / 3, 39)
    autoencoder = identity_autoencoder(40, scale=0.3)
    (found,) = evaluate(opened(tmp_path, x_NPD), [autoencoder], CFG, CPU)
    assert found.explained_variance == pytest.approx(1 - 0.7**2)


def test_latents_that_never_vary_take_no_part_in_correlations(tmp_path):
    x_NPD = normal(0, 6, 5, 3)
    x_NPD[:, :, 2] = 0.1  # as little as this is active on every patch, and constant
    autoencoder = identity_autoencoder(3)
    (found,) = evaluate(opened(tmp_path, x_NPD), [autoencoder], CFG, CPU)
    assert found.frequency_S[2] == 1
    varying = slow_evaluation(
        x_NPD[2::3].flatten(0, 1), autoencoder, np.array([0, 1, 3, 4])
    )
    assert found.mean_absolute_correlation == pytest.approx(
        varying["mean_absolute_correlation"]
    )


def test_there_are_no_correlations_where_at_most_one_latent_varies(tmp_path):
    asleep = random_autoencoder(5, 3, threshold_S=torch.full((5,), 1e6))
    single = random_autoencoder(1, 3, b_enc_S=torch.ones(1))
    acts = opened(tmp_path, normal(0, 6, 5, 3))
    no_latent, one_latent = evaluate(acts, [asleep, single], CFG, CPU)
    assert (no_latent.n_dead, no_latent.l0, no_latent.l1) == (5, 0, 0)
    assert np.isnan(no_latent.mean_absolute_correlation)
    assert not np.isnan(no_latent.coherence)
    assert np.isnan(one_latent.mean_absolute_correlation)
    assert np.isnan(one_latent.coherence)


def test_a_mean_far_from_the_origin_costs_no_accuracy(tmp_path):
    x_NPD = normal(0, 30, 5, 4) + 1000
    autoencoder = random_autoencoder(10, 4, mean_D=torch.full((4,), 1000.0))
    (found,) = evaluate(opened(tmp_path, x_NPD), [autoencoder], CFG, CPU)
    expected = slow_evaluation(x_NPD[2::3].flatten(0, 1), autoencoder, np.arange(10))
    for name in ("mse", "nmse", "explained_variance"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-3)


def planted_frequencies(tmp_path, n_active):
    """Latents that are active on so many of 10,000 held-out patches."""
    x_MD = torch.zeros(20_000, len(n_active))
    for i, n in enumerate(n_active):
        x_MD[10_000 : 10_000 + n, i] = 1.0
    cfg = HeldOut(every=2, n_correlated=9, seed=0)
    acts = opened(tmp_path, x_MD.reshape(2, 10_000, len(n_active)))
    (found,) = evaluate(acts, [identity_autoencoder(len(n_active))], cfg, CPU)
    return found


def test_dead_almost_dead_and_dense_begin_where_they_should(tmp_path, monkeypatch):
    found = planted_frequencies(tmp_path, [0, 1, 2, 100, 101])
    # Beside the five negative parts, which are all dead.
    assert (found.n_dead, found.n_almost_dead, found.n_dense) == (1 + 5, 0, 1)
    # As many patches as it would take to see 1e-7 are too many for a test.
    monkeypatch.setattr(module, "ALMOST_DEAD", 2e-4)
    found = planted_frequencies(tmp_path, [0, 1, 2, 100, 101])
    assert (found.n_dead, found.n_almost_dead, found.n_dense) == (1 + 5, 1, 1)


def test_equal_and_opposite_rows_of_the_decoder_are_found_in_any_block(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "ROWS", 4)
    acts = opened(tmp_path, normal(0, 6, 2, 8))
    # Orthogonal rows, of lengths 1 to 8, and a row of zeros.
    rows_SD = torch.cat([torch.diag(torch.arange(1.0, 9.0)), torch.zeros(1, 8)])
    cases = [(rows_SD, 0.0)]
    for i, j in [(0, 1), (2, 7), (6, 7), (3, 4)]:
        tilted_SD = rows_SD.clone()
        tilted_SD[j] = 0.0
        tilted_SD[j, i], tilted_SD[j, j] = -3.0, 4.0
        cases.append((tilted_SD, 0.6))
        equal_SD = rows_SD.clone()
        equal_SD[j] = -7 * rows_SD[i]
        cases.append((equal_SD, 1.0))
    autoencoders = [random_autoencoder(9, 8, W_dec_SD=rows) for rows, _ in cases]
    found = evaluate(acts, autoencoders, CFG, CPU)
    for evaluation, (_, expected) in zip(found, cases, strict=True):
        assert evaluation.coherence == pytest.approx(expected)
        assert evaluation.coherence <= 1


def test_no_cosine_is_above_one(tmp_path):
    acts = opened(tmp_path, normal(0, 6, 2, 33))
    rows_SD = normal(1, 40, 33)
    autoencoder = random_autoencoder(80, 33, W_dec_SD=torch.cat([rows_SD, -rows_SD]))
    unit_SD = torch.nn.functional.normalize(rows_SD)
    assert (unit_SD @ unit_SD.T).max() > 1  # so much rounding can do
    (found,) = evaluate(acts, [autoencoder], CFG, CPU)
    assert found.coherence == 1


def test_only_held_out_images_are_read(tmp_path):
    x_NPD = normal(0, 12, 5, 4)
    spoilt_NPD = x_NPD.clone()
    spoilt_NPD[np.arange(12) % 3 != 2] = 1e30
    autoencoders = [random_autoencoder(10, 4)]
    found, spoilt = (
        as_bytes(evaluate(opened(tmp_path, x), autoencoders, CFG, CPU))
        for x in (x_NPD, spoilt_NPD)
    )
    assert found == spoilt


def as_bytes(evaluations):
    return [
        np.asarray(value).tobytes()
        for evaluation in evaluations
        for value in dataclasses.asdict(evaluation).values()
    ]


def test_no_number_of_shards_threads_or_autoencoders_changes_a_byte(tmp_path):
    x_NPD = normal(0, 131, 9, 33)
    x_NPD[:, :, 5] *= 1000
    autoencoders = [
        random_autoencoder(700, 33, l0=7),
        random_autoencoder(90, 33, seed=1, threshold_S=torch.linspace(0, 1, 90)),
    ]
    cfg = HeldOut(every=3, n_correlated=64, seed=0)
    found = [
        with_threads(
            n_threads,
            lambda n_shards=n_shards: as_bytes(
                evaluate(opened(tmp_path, x_NPD, n_shards), autoencoders, cfg, CPU)
            ),
        )
        for n_shards, n_threads in [(1, 1), (1, 2), (5, 2), (3, 3)]
    ]
    alone = [
        as_bytes(evaluate(opened(tmp_path, x_NPD), [autoencoder], cfg, CPU))
        for autoencoder in autoencoders
    ]
    assert all(result == found[0] for result in [*found, alone[0] + alone[1]])


def test_the_latents_compared_are_drawn_without_replacement_by_the_seed():
    def draws(seed):
        return draw_latents(50, HeldOut(2, 10, seed)).tolist()

    assert len(set(draws(0))) == 10
    assert draws(0) == draws(0) != draws(1)
    assert draw_latents(4, HeldOut(2, 10, 0)).tolist() == [0, 1, 2, 3]


def test_patches_that_are_all_the_same_are_refused(tmp_path):
    acts = opened(tmp_path, torch.full((7, 4, 3), 0.3))
    with pytest.raises(ValueError, match="the 8 held-out patches are all equal"):
        evaluate(acts, [random_autoencoder(5, 3)], CFG, CPU)


def test_too_few_images_are_refused(tmp_path):
    acts = opened(tmp_path, normal(0, 2, 4, 3))
    with pytest.raises(ValueError, match="one image of 3 is held out"):
        evaluate(acts, [random_autoencoder(5, 3)], CFG, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_agrees_with_the_cpu(tmp_path):
    acts = opened(tmp_path, normal(0, 60, 9, 33))
    autoencoders = [random_autoencoder(700, 33, l0=7), random_autoencoder(90, 33)]
    on_cpu, on_gpu = (
        evaluate(acts, autoencoders, CFG, torch.device(name))
        for name in ("cpu", "cuda")
    )
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert_same(one, dataclasses.asdict(other), rtol=1e-3)
