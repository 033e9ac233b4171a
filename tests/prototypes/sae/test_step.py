"""Training on CPUs and on GPUs takes the step that step.py shows."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from planted import sae_settings

from vitproto.core.threads import one_core_each
from vitproto.prototypes.sae import cpu_gradients
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.learner import Learner, Scaling
from vitproto.prototypes.sae.step import take_step
from vitproto.study.run import Run

WIDTH, N_LATENTS, BATCH_SIZE, N_STEPS = 12, 40, 64, 8

RELU = {"activation": "relu", "n_sparsity_warmup": 4, "n_aux": 0}
MATRYOSHKA = {"n_prefixes": 3}
JUMPRELU = {
    "activation": "jumprelu",
    "n_sparsity_warmup": 4,
    "l0_weight": 1.0,
    "bandwidth": 0.5,
}

KINDS = {
    "relu": (RELU, 0.05),
    "relu, few active": (RELU, 0.05),
    "relu without limit of gradients": ({**RELU, "max_gradient_norm": 1e9}, 0.05),
    "relu, fixed prefixes": ({**RELU, **MATRYOSHKA, "prefixes": "fixed"}, 0.05),
    "topk": ({"activation": "topk"}, 4.0),
    "topk, random prefixes": ({**MATRYOSHKA, "prefixes": "random"}, 4.0),
    "topk without AuxK": ({"n_aux": 0}, 4.0),
    "batchtopk": ({"activation": "batchtopk"}, 4.0),
    "batchtopk, fixed prefixes": (
        {"activation": "batchtopk", **MATRYOSHKA, "prefixes": "fixed"},
        4.0,
    ),
    "frozen decoder": ({"trains": "encoder"}, 4.0),
    "jumprelu": (JUMPRELU, 4.0),
    "jumprelu without AuxK": ({**JUMPRELU, "n_aux": 0}, 4.0),
    "jumprelu, random prefixes": (
        {**JUMPRELU, **MATRYOSHKA, "prefixes": "random"},
        4.0,
    ),
    "jumprelu, frozen decoder": ({**JUMPRELU, "trains": "encoder"}, 4.0),
}


def some_learner(kind, dtype=torch.float32):
    """An autoencoder before its first step, a few of whose latents are never active."""
    changes, sparsity = KINDS[kind]
    short = {"n_lr_warmup": 3, "n_lr_decay": 4, "n_until_dead": 2 * BATCH_SIZE}
    settings = sae_settings(
        **{
            **short,
            "batch_size": BATCH_SIZE,
            "n_patches": N_STEPS * BATCH_SIZE,
            "max_gradient_norm": 0.05,
            **changes,
        }
    )
    generator = torch.Generator().manual_seed(0)
    rows_SD = torch.randn(N_LATENTS, WIDTH, generator=generator).to(dtype)
    centre_D = torch.full((WIDTH,), 0.1, dtype=dtype)
    scaling = Scaling(torch.zeros(WIDTH, dtype=dtype), 1.0, centre_D)
    learner = Learner.begin(
        Run(N_LATENTS, 0, 0.01, sparsity), settings, scaling, rows_SD
    )
    if settings.activation == "relu":
        learner.weights.b_enc_S[::5] = -9.0
    elif settings.activation == "jumprelu":
        learner.weights.threshold_S[::5] = 9.0
    else:
        learner.weights.W_enc_SD[::5] *= 0.01  # positive, but never among the largest
    return learner


def batches(dtype):
    generator = torch.Generator().manual_seed(1)
    for _ in range(N_STEPS):
        yield torch.randn(BATCH_SIZE, WIDTH, generator=generator).to(dtype)


@contextmanager
def formulas_of_gpus():
    """Every tensor claims to lie on a GPU, so learners use the formulas for these."""
    with (
        mock.patch.object(torch.Tensor, "is_cuda", True, create=True),
        mock.patch.object(cpu_gradients, "compute_gradients") as on_cpu,
    ):
        yield
    on_cpu.assert_not_called()


def learn(kind, dtype=torch.float32, device="cpu"):
    """A learner after its steps, and what was logged of them."""
    learner = some_learner(kind, dtype)
    learner.to(torch.device(device))
    memory, scratch = Weights.like(learner.weights), cpu_gradients.Scratch()
    few = 2.0 if kind == "relu, few active" else 0.0
    with mock.patch.object(cpu_gradients, "FEW", few), one_core_each() as workers:
        logs = [
            learner.learn(z_BD.to(device), memory, workers, scratch)
            for z_BD in batches(dtype)
        ]
    return learner, logs


def learn_in_plain_torch(kind):
    learner = some_learner(kind, torch.float64)
    return learner, [take_step(learner, z_BD) for z_BD in batches(torch.float64)]


def check_same(learned, expected, *, rtol, atol):
    (learner, logs), (slow_learner, losses) = learned, expected
    np.testing.assert_allclose([log.loss for log in logs], losses, rtol=rtol)
    state, slow_state = learner.state(), slow_learner.state()
    for name in state:
        torch.testing.assert_close(
            state[name].double(),
            slow_state[name].double(),
            rtol=rtol,
            atol=atol,
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_cpu_learns_as_plain_torch_does(kind):
    check_same(learn(kind), learn_in_plain_torch(kind), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_formulas_for_gpus_learn_as_plain_torch_does(kind):
    with formulas_of_gpus():
        learned = learn(kind, torch.float64)
    check_same(learned, learn_in_plain_torch(kind), rtol=1e-9, atol=1e-11)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_learns_as_plain_torch_does(kind):
    learned = learn(kind, torch.float64, "cuda")
    check_same(learned, learn_in_plain_torch(kind), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_these_steps_warm_up_shorten_gradients_and_have_dead_latents(kind):
    changes, _ = KINDS[kind]
    learner, logs = learn(kind)
    assert len({log.learning_rate for log in logs}) > 3
    assert logs[-1].n_dead >= 8
    assert (logs[-1].aux_loss > 0) == (changes.get("n_aux") != 0)
    was_shortened = [
        log.gradient_norm > learner.settings.max_gradient_norm for log in logs
    ]
    assert all(was_shortened) == ("max_gradient_norm" not in changes)
    n_prefixes = len(learner.objective().ends_M)
    assert (n_prefixes > 1) == ("prefixes" in changes)
