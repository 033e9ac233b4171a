"""The held-out error over the last quarter, worked out by hand."""

import math
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import planted_activations, sae_settings
from recorded import LAYER, write_shards

from vitproto.activations.stream import Activations
from vitproto.prototypes.sae.convergence import (
    N_MEASURED,
    UNTRAINED,
    Convergence,
    conclude,
    convergence_of,
    measured_steps,
    read_convergence,
)
from vitproto.prototypes.sae.held_out_error import held_out_nmse, sample_held_out
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.study.run import Run


def test_the_error_is_measured_six_times_in_the_last_quarter():
    assert measured_steps(100) == [75, 80, 85, 90, 95, 100]
    assert measured_steps(3) == [3]
    assert measured_steps(1) == [1]


@given(st.integers(1, 10**7))
def test_the_last_step_is_always_measured_and_none_before_the_last_quarter(n_steps):
    steps = measured_steps(n_steps)
    assert steps[-1] == n_steps
    assert steps[0] >= 0.75 * n_steps
    assert steps == sorted({*steps})
    assert len(steps) == N_MEASURED or n_steps < 20


def test_the_slope_is_that_of_a_line_through_the_errors():
    # From 75 to 100 patches the error falls by 0.1 from 0.6: a fifth of 0.5.
    assert conclude([75, 100], [0.6, 0.5], 100) == pytest.approx((100, -0.2))
    # Least squares: the slope of 0, 1, 0 over equal distances is 0.
    assert conclude([80, 90, 100], [0.5, 0.6, 0.5], 100).nmse_slope == pytest.approx(0)
    assert conclude([75, 100], [0.6, 0.5], 100).is_improving
    assert not conclude([75, 100], [0.5, 0.5], 100).is_improving
    assert not conclude([75, 100], [0.5, 0.6], 100).is_improving


@pytest.mark.parametrize(
    ("slope", "is_improving"),
    [(-0.011, True), (-0.0096, True), (-0.0094, False), (0.02, False)],
)
def test_what_is_printed_as_one_per_cent_still_improves(slope, is_improving):
    assert Convergence(1000, slope).is_improving == is_improving
    assert (float(f"{100 * slope:.1f}") <= -1) == is_improving


def test_a_single_error_or_a_perfect_one_has_no_slope():
    for errors in ([0.5], [0.1, 0.0], [0.1, math.nan]):
        ended = conclude([100] * len(errors), errors, 100)
        assert math.isnan(ended.nmse_slope)
        assert not ended.is_improving


@pytest.mark.parametrize(
    "text",
    ["run,n_patches\na,10\n", "run,n_patches,held_out_nmse\na,10,much\n"],
)
def test_a_damaged_log_is_named_with_its_line(tmp_path, text):
    log = tmp_path / "training.csv"
    log.write_text(text)
    with pytest.raises(
        ValueError, match=re.escape(f"{log}, line ") + "[12], is damaged"
    ):
        read_convergence(log)


def test_a_run_that_the_log_lacks_is_not_called_untrained(tmp_path):
    log = tmp_path / "training.csv"
    log.write_text("run,n_patches,held_out_nmse\n")
    assert convergence_of(log, ["a", "b"]) == [UNTRAINED, UNTRAINED]
    log.write_text("run,n_patches,held_out_nmse\na,10,0.5\n")
    assert convergence_of(log, ["a"])[0].n_trained_patches == 10
    with pytest.raises(ValueError, match="lacks the run b: delete it and run fit_sae"):
        convergence_of(log, ["a", "b"])


@pytest.mark.parametrize("kind", ["relu", "topk", "batchtopk", "jumprelu"])
def test_the_error_is_that_of_a_slow_loop_whatever_the_threads(tmp_path, kind):
    x_NPD, _ = planted_activations()
    acts = Activations.open(write_shards(tmp_path, x_NPD), LAYER)
    changes = {"n_aux": 0} if "relu" in kind else {}
    if kind == "jumprelu":
        changes |= {"l0_weight": 1.0, "bandwidth": 0.05}
    settings = sae_settings(activation=kind, **changes)
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    run = Run(48, 0, 0.003, 4.0)
    rows_SD = first_decoder(acts, image_N, settings, scaling, 48, 0)
    learner = Learner.begin(run, settings, scaling, rows_SD)
    if kind == "jumprelu":
        learner.weights.threshold_S.copy_(torch.linspace(0, 0.5, 48))
    z_MD = sample_held_out(acts, image_N[3:40], scaling)

    weights = [w.double().numpy() for w in learner.weights]
    W_enc_SD, b_enc_S, W_dec_SD, b_dec_D, threshold_S = weights
    z = z_MD.double().numpy()
    error = 0.0
    for first in range(0, len(z), 512):
        block = z[first : first + 512]
        latents = np.maximum((block - b_dec_D) @ W_enc_SD.T + b_enc_S, 0)
        latents[latents <= threshold_S] = 0
        if kind == "topk":
            least = np.sort(latents, axis=1)[:, -4][:, None]
            latents[latents < least] = 0
        if kind == "batchtopk":
            latents[latents < np.sort(latents.ravel())[-4 * len(block)]] = 0
        error += np.square(latents @ W_dec_SD + b_dec_D - block).sum()
    expected = error / np.square(z - z.mean(axis=0)).sum()

    measured = set()
    for n_threads in (1, 3):
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            measured.add(held_out_nmse(learner, z_MD, workers))
    assert len(measured) == 1
    assert measured.pop() == pytest.approx(expected, rel=1e-4)
