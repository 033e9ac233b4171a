"""Gradients are those of autograd, fast or slow, and of the latents they should be."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vitproto.core.threads import one_core_each
from vitproto.prototypes.sae import adam, cpu_gradients, gradients, kernels, step
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.objective import Jump, Objective

RELU = {"l1_weight": 0.3, "l0": None, "over_batch": False, "jump": None}
TOPK = {"l1_weight": 0.0, "l0": 4, "over_batch": False, "jump": None}
BATCHTOPK = {**TOPK, "over_batch": True}
JUMPRELU = {**RELU, "l1_weight": 0.0, "jump": Jump(4.0, 0.7, bandwidth=0.5)}
KINDS = pytest.mark.parametrize(
    "kind",
    [RELU, TOPK, BATCHTOPK, JUMPRELU],
    ids=["relu", "topk", "batchtopk", "jumprelu"],
)

# ReLU as when all count as few active latents, and as when none do.
FAST_WAYS = pytest.mark.parametrize(
    ("kind", "few"),
    [(RELU, 0.0), (RELU, 2.0), (TOPK, 0.0), (BATCHTOPK, 0.0), (JUMPRELU, 0.0)],
    ids=["relu, many active", "relu, few active", "topk", "batchtopk", "jumprelu"],
)


def objective(kind, ends, n_aux=0):
    return Objective(np.array(ends), **kind, n_aux=n_aux, aux_weight=0.5)


def some_weights(n_latents, width, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    W_dec_SD = torch.nn.functional.normalize(normal(n_latents, width), dim=1)
    return Weights(
        W_dec_SD + 0.1 * normal(n_latents, width),
        0.1 * normal(n_latents),
        W_dec_SD,
        0.1 * normal(width),
        0.3 * normal(n_latents).abs(),
    )


def some_rows(n_rows, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(n_rows, width, generator=generator, dtype=torch.float64)
    return rows.to(dtype)


def loss_by_autograd(weights, z_BD, aim, is_dead_S):
    """The loss and its gradients, as step.py has them."""
    leaves = Weights(*(tensor.clone().requires_grad_() for tensor in weights))
    loss, _ = step.loss_and_latents(leaves, z_BD, aim, is_dead_S)
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    return loss.item(), Weights(*gradients)


def total_loss(measured, aim):
    return (
        np.mean(measured.mse_M)
        + aim.sparsity_loss(measured.l0, measured.l1)
        + aim.aux_weight * measured.aux_loss
    )


@KINDS
@pytest.mark.parametrize("ends", [[30], [4, 11, 30]], ids=["plain", "matryoshka"])
@pytest.mark.parametrize("n_aux", [0, 2], ids=["no aux", "aux"])
def test_loss_and_gradients_are_those_of_autograd(kind, ends, n_aux):
    weights, z_BD = some_weights(30, 12), some_rows(50, 12)
    aim = objective(kind, ends, n_aux)
    is_dead_S = torch.arange(30) % 5 == 0
    found = Weights.like(weights)
    measured = gradients.compute_gradients(weights, z_BD, aim, is_dead_S, found)
    loss, expected = loss_by_autograd(weights, z_BD, aim, is_dead_S)
    np.testing.assert_allclose(total_loss(measured, aim), loss, rtol=1e-12)
    for gradient, by_autograd in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, by_autograd, rtol=1e-9, atol=1e-12)


@FAST_WAYS
@given(
    n_rows=st.integers(1, 300),
    width=st.integers(1, 40),
    n_latents=st.integers(5, 200),
    n_prefixes=st.integers(1, 4),
    n_aux=st.sampled_from([0, 3]),
)
@settings(max_examples=25, deadline=None)
def test_the_fast_gradients_are_the_slow_ones(
    kind, few, n_rows, width, n_latents, n_prefixes, n_aux
):
    ends = np.unique(np.linspace(1, n_latents, n_prefixes + 1, dtype=np.int64)[1:])
    aim = objective(kind, ends, n_aux)
    is_dead_S = torch.arange(n_latents) % 4 == 1
    weights = some_weights(n_latents, width, torch.float32)
    z_BD = some_rows(n_rows, width, torch.float32)
    exact = Weights(*(tensor.double() for tensor in weights))
    # Rounding would decide whether a latent that is all but 0 is active.
    pre_BS = (z_BD.double() - exact.b_dec_D) @ exact.W_enc_SD.T + exact.b_enc_S
    assume(pre_BS.abs().min() > 5e-6)
    if kind["jump"]:
        above_BS = pre_BS - exact.threshold_S
        for edge in (0, 0.25, -0.25):  # and that one is in the window of its threshold
            assume((above_BS - edge).abs().min() > 5e-6)
    expected, found = Weights.like(exact), Weights.like(weights)
    slow = gradients.compute_gradients(exact, z_BD.double(), aim, is_dead_S, expected)
    with mock.patch.object(cpu_gradients, "FEW", few), one_core_each() as workers:
        fast = cpu_gradients.compute_gradients(
            weights, z_BD, aim, is_dead_S, found, workers, cpu_gradients.Scratch()
        )
    np.testing.assert_allclose(fast.mse_M, slow.mse_M, rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(fast[1:4], slow[1:4], rtol=1e-4, atol=1e-9)
    assert torch.equal(fast.active_S, slow.active_S)
    # Float32 rounds what is added up, and the decoder's bias adds up what may cancel.
    cancelling = (expected.b_enc_S.abs() @ exact.W_enc_SD.abs()).max().item()
    for name, one, other in zip(Weights._fields, found, expected, strict=True):
        size = other.abs().max().item()
        if name == "b_dec_D":
            size = max(size, cancelling)
        atol = 3e-6 * size + 1e-8
        torch.testing.assert_close(one.double(), other, rtol=0, atol=atol)


@FAST_WAYS
def test_no_number_of_cores_changes_a_bit(kind, few):
    weights = some_weights(300, 17, torch.float32)
    z_BD, is_dead_S = some_rows(700, 17, torch.float32), torch.arange(300) % 9 == 0
    results = set()
    before = torch.get_num_threads()
    for n_threads in (1, 2, 3, 5):
        torch.set_num_threads(n_threads)
        found = Weights.like(weights)
        with mock.patch.object(cpu_gradients, "FEW", few), one_core_each() as workers:
            cpu_gradients.compute_gradients(
                *(weights, z_BD, objective(kind, [40, 300], 3), is_dead_S, found),
                *(workers, cpu_gradients.Scratch()),
            )
            adam.gradient_norm(weights, found, freeze_decoder=False, workers=workers)
        results.add(b"".join(tensor.numpy().tobytes() for tensor in found))
    torch.set_num_threads(before)
    assert len(results) == 1


def test_relu_follows_its_active_latents_once_few_are():
    weights, z_BD = some_weights(300, 17, torch.float32), some_rows(70, 17).float()
    aim, alive = objective(RELU, [300]), torch.zeros(300, dtype=torch.bool)
    ways = []
    with (
        one_core_each() as workers,
        mock.patch.object(
            cpu_gradients, "_learn_from_active", wraps=cpu_gradients._learn_from_active
        ) as follow,
    ):
        for bias in (0, -3, -99):
            weights.b_enc_S.fill_(bias)
            measured = cpu_gradients.compute_gradients(
                *(weights, z_BD, aim, alive, Weights.like(weights), workers),
                cpu_gradients.Scratch(),
            )
            ways.append((measured.l0 / 300, follow.call_count))
    (many, n_calls), (few, n_calls_of_few), none = ways
    assert many > cpu_gradients.FEW > few > 0
    assert (n_calls, n_calls_of_few) == (0, 1)
    assert none == (0.0, 2)


def test_memory_used_again_leaves_nothing_behind():
    """A small batch after a large one, as when autoencoders share their memory."""
    scratch = cpu_gradients.Scratch()
    large, small = some_weights(200, 16, torch.float32), some_weights(9, 16)
    small = Weights(*(tensor.float() for tensor in small))
    aim, alive = objective(BATCHTOPK, [9]), torch.zeros(9, dtype=torch.bool)
    z_BD = some_rows(11, 16, torch.float32)
    found, expected = Weights.like(small), Weights.like(small)
    with one_core_each() as workers:
        cpu_gradients.compute_gradients(
            *(large, some_rows(99, 16, torch.float32), objective(RELU, [200])),
            *(torch.zeros(200, dtype=torch.bool), Weights.like(large), workers),
            scratch,
        )
        cpu_gradients.compute_gradients(
            small, z_BD, aim, alive, found, workers, scratch
        )
        cpu_gradients.compute_gradients(
            small, z_BD, aim, alive, expected, workers, cpu_gradients.Scratch()
        )
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@given(
    values=st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=7, max_size=7),
        min_size=1,
        max_size=6,
    ),
    k=st.integers(1, 7),
)
@settings(deadline=None)
def test_the_largest_of_a_row_are_those_of_a_stable_sort(values, k):
    pre_BS = np.array(values, np.float32)
    n_rows = len(pre_BS)
    latent_E, value_E = np.zeros(n_rows * k, np.int64), np.zeros(n_rows * k, np.float32)
    n_B = np.zeros(n_rows, np.int64)
    kernels.select_largest(pre_BS, k, latent_E, value_E, n_B)
    for b, row_S in enumerate(pre_BS):
        order = np.argsort(-row_S, kind="stable")[:k]
        expected = sorted(s for s in order.tolist() if row_S[s] > 0)
        entries = slice(k * b, k * b + n_B[b])
        assert latent_E[entries].tolist() == expected
        assert value_E[entries].tolist() == row_S[expected].tolist()


ANY = st.sampled_from([-1.0, 0.0, 0.5, 1.0, np.inf, -np.inf, np.nan, -np.nan])


@given(
    values=st.lists(st.lists(ANY, min_size=19, max_size=19), min_size=1, max_size=5),
    k=st.integers(1, 19),
)
@settings(deadline=None)
def test_no_value_is_written_beyond_the_end_and_nan_is_kept(values, k):
    pre_BS = np.array(values, np.float32)
    n_rows = len(pre_BS)
    # A row too many at either end shows what is written there.
    latent_E = np.full((n_rows + 2) * k, -7, np.int64)
    value_E = np.full((n_rows + 2) * k, -7, np.float32)
    inner = slice(k, -k)
    n_B = np.zeros(n_rows, np.int64)
    kernels.select_largest(pre_BS, k, latent_E[inner], value_E[inner], n_B)
    for array in (latent_E, value_E):
        assert (array[:k] == -7).all()
        assert (array[-k:] == -7).all()
    assert (n_B <= k).all()
    for b, row_S in enumerate(pre_BS):
        first = k * (b + 1)
        if np.isnan(row_S).any():
            assert np.isnan(value_E[first : first + n_B[b]]).any()

    bound = np.float32(0.5)
    n_above_B, n_tied_B = np.zeros((2, n_rows), np.int64)
    kernels.count_above(pre_BS, bound, n_above_B, n_tied_B)
    n_ties_B = np.minimum(n_tied_B, k)
    end_B = np.cumsum(n_above_B + n_ties_B) + 1
    start_B = end_B - n_above_B - n_ties_B
    latent_E = np.full(end_B[-1] + 1, -7, np.int64)
    value_E = np.full(end_B[-1] + 1, -7, np.float32)
    kernels.take_above(pre_BS, bound, n_ties_B, start_B, latent_E, value_E)
    assert latent_E[0] == latent_E[-1] == -7
    assert (latent_E[1:-1] >= 0).all()
    assert np.isnan(value_E).sum() == np.isnan(pre_BS).sum()


def test_equal_latents_of_a_batch_stay_active_from_the_first_on():
    # Worked out by hand: 2 × 2 places for 3, 1, 1, 1 | 2, 1, 0, 1: after 3 and 2 there
    # are two places for the five ones.
    zeros = torch.zeros(4)
    weights = Weights(torch.eye(4), zeros, torch.eye(4), zeros, zeros)
    z_BD = torch.tensor([[3.0, 1, 1, 1], [2, 1, 0, 1]])
    aim = objective({**BATCHTOPK, "l0": 2}, [4])
    expected = [[3, 1, 1, 0], [2, 0, 0, 0]]
    assert step.activate(z_BD, aim).tolist() == expected
    assert gradients.activate(z_BD, zeros, aim).tolist() == expected
    found = Weights.like(weights)
    with one_core_each() as workers:
        measured = cpu_gradients.compute_gradients(
            *(weights, z_BD, aim, torch.zeros(4, dtype=torch.bool), found, workers),
            cpu_gradients.Scratch(),
        )
    # What is left out: 1 of the first row, 1 and 1 of the second.
    assert measured.mse_M == [3 / 2]
    assert (measured.l0, measured.l1) == (2.0, 3.5)
    assert measured.active_S.tolist() == [True, True, True, False]


def test_thresholds_learn_from_what_is_near_them_worked_out_by_hand():
    """Two rows, two latents; a bandwidth of 0.5 around the thresholds 1 and 2."""
    zeros = torch.zeros(2)
    weights = Weights(
        torch.eye(2), zeros, torch.eye(2), zeros, torch.tensor([1.0, 2.0])
    )
    z_BD = torch.tensor([[1.2, 2.5], [0.9, 1.8]])
    # Active: 1.2 and 2.5, so L0 = 1. In a window: 1.2, 0.9 and 1.8.
    aim = objective({**JUMPRELU, "jump": Jump(0.5, 3.0, bandwidth=0.5)}, [2])
    expected = [
        # Errors: row 0 is perfect, row 1 loses all: g = 2 / 2 · (0 - z) = -z.
        # -(1 / 0.5) · -0.9 = 1.8. L0: slope 2 · 3 · (1 / 0.5 - 1) / 0.5 = 12, of two
        # rows in the window: -12 · 2 / (0.5 · 2) = -24.
        1.8 - 24,
        # -(2 / 0.5) · -1.8 = 7.2, and -12 · 1 / (0.5 · 2) = -12.
        7.2 - 12,
    ]
    alive = torch.zeros(2, dtype=torch.bool)
    found = Weights.like(weights)
    with one_core_each() as workers:
        measured = cpu_gradients.compute_gradients(
            *(weights, z_BD, aim, alive, found, workers), cpu_gradients.Scratch()
        )
    assert (measured.l0, aim.sparsity_loss(measured.l0, measured.l1)) == (1.0, 3.0)
    np.testing.assert_allclose(found.threshold_S, expected, rtol=1e-5)
    loss, by_autograd = loss_by_autograd(weights, z_BD, aim, alive)
    assert loss == pytest.approx((0.9**2 + 1.8**2) / 2 + 3)
    np.testing.assert_allclose(by_autograd.threshold_S, expected, rtol=1e-5)


def test_thresholds_never_fall_below_0():
    weights = some_weights(40, 6, torch.float32)
    down = Weights.like(weights)
    down.threshold_S.fill_(1.0)
    with one_core_each() as workers:
        adam.update(
            *(weights, down, adam.Moments.of(weights)),
            **{"step": 0, "learning_rate": 0.2, "shrink": 1.0, "workers": workers},
        )
    assert (weights.threshold_S == 0).any()
    assert (weights.threshold_S >= 0).all()


def test_adam_moves_weights_as_torch_does():
    weights = some_weights(40, 6, torch.float32)
    theirs = [tensor.clone().requires_grad_() for tensor in weights[:2]]
    optimiser = torch.optim.Adam(theirs, lr=0.01)
    moments = adam.Moments.of(weights)
    generator = torch.Generator().manual_seed(0)
    with one_core_each() as workers:
        for i_step in range(20):
            found = Weights(
                *(torch.randn(t.shape, generator=generator) for t in weights)
            )
            for leaf, gradient in zip(theirs, found, strict=False):
                leaf.grad = 0.5 * gradient
            optimiser.step()
            adam.update(
                weights,
                found,
                moments,
                step=i_step,
                learning_rate=0.01,
                shrink=0.5,
                workers=workers,
            )
    for one, other in zip(weights, theirs, strict=False):
        torch.testing.assert_close(one, other.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights.W_dec_SD.norm(dim=1), torch.ones(40))


def test_a_gradient_loses_what_would_only_change_the_length_of_a_row():
    def single(row):
        zero, zeros = torch.zeros(1), torch.zeros(2)
        return Weights(zeros[None], zero, torch.tensor([row]), zeros, zero.clone())

    weights, found = single([0.6, 0.8]), single([1.0, 0.0])
    with one_core_each() as workers:
        norm = adam.gradient_norm(weights, found, freeze_decoder=False, workers=workers)
    # (1, 0) - 0.6 · (0.6, 0.8), of length 0.8.
    torch.testing.assert_close(found.W_dec_SD, torch.tensor([[0.64, -0.48]]))
    assert norm == pytest.approx(0.8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@KINDS
def test_a_gpu_computes_the_same_gradients(kind):
    weights, z_BD = some_weights(300, 16), some_rows(200, 16)
    aim, is_dead_S = objective(kind, [50, 300], 3), torch.arange(300) % 9 == 0
    expected = Weights.like(weights)
    gradients.compute_gradients(weights, z_BD, aim, is_dead_S, expected)
    on_gpu = Weights(*(tensor.cuda() for tensor in weights))
    found = Weights.like(on_gpu)
    gradients.compute_gradients(on_gpu, z_BD.cuda(), aim, is_dead_S.cuda(), found)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other)
