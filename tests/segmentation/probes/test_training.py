"""Probes learn what autograd and AdamW would teach them, and find planted classes."""

import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded import LAYER, with_threads, write_shards
from segmented import labelled

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.stream import Activations
from vitproto.core.stopping import StoppedError
from vitproto.core.unfinished import Unfinished
from vitproto.segmentation.probes import training
from vitproto.segmentation.probes.held_out import split_training
from vitproto.segmentation.probes.state import ProbeState
from vitproto.segmentation.probes.training import (
    Batch,
    Learners,
    ProbeSettings,
    measure_scale,
    train_probes,
)

CPU = torch.device("cpu")


def probe_settings(**changes):
    """Settings of a small sweep, but for some."""
    settings = {
        "learning_rates": (1e-3, 1e-2),
        "weight_decays": (0.1, 1e-3),
        "n_epochs": 2,
        "batch_size": 64,
        "n_mixed": 512,
        "n_scaling": 512,
        "held_out_every": 4,
        "seed": 0,
    }
    return ProbeSettings(**{**settings, **changes})


def planted(n_images=60, grid=(4, 4), n_classes=5, width=24, noise=0.4, seed=0):
    """Activations with a direction per class, around a mean, and their labels.

    A fifth of the patches is unlabelled and shows nothing.
    """
    rng = np.random.default_rng(seed)
    direction_CD = np.linalg.qr(rng.standard_normal((width, n_classes)))[0].T
    label_NP = rng.integers(0, n_classes + 1, (n_images, grid[0] * grid[1]))
    label_NP[rng.random(label_NP.shape) < 0.1] = 0
    signal_LD = np.concatenate([np.zeros((1, width)), direction_CD])
    x_NPD = 8 * signal_LD[label_NP] + 30 * rng.standard_normal(width)
    x_NPD += noise * rng.standard_normal(x_NPD.shape)
    return x_NPD.astype("f4"), labelled(label_NP, grid, n_classes)


def recorded(folder, x_NPD, n_shards=1):
    return Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)


def train(acts, labels, cfg, device):
    """Probes whose training is not interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        state = ProbeState(Unfinished(Path(folder) / "probes", {}), 1e9)
        return train_probes(acts, labels, cfg, device, state)


def reference(acts, labels, cfg, rate, decay):
    """The same training as one writes it with torch, on its own stream of batches."""
    # Every fourth training image is held out.
    learnt_N = [i for n, i in enumerate(labels.i_train_N, 1) if n % 4]
    learnt_N = np.array(learnt_N)
    scale = measure_scale(acts, learnt_N, cfg)
    linear = torch.nn.Linear(acts.width, labels.n_classes)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    adam = torch.optim.AdamW(
        [
            {"params": [linear.weight], "weight_decay": decay},
            {"params": [linear.bias], "weight_decay": 0.0},
        ],
        lr=rate,
    )
    n_patches = len(learnt_N) * acts.n_patches
    n_steps = cfg.n_epochs * n_patches // cfg.batch_size
    batches = RandomBatches(
        acts,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        n_mixed=cfg.n_mixed,
        first_batch=0,
        images=learnt_N,
    )
    losses, weights = [], []
    for _, (x_BD, place_B) in zip(range(n_steps), batches.with_places(), strict=False):
        label_B = torch.from_numpy(labels.labels_NP.reshape(-1).astype("i8"))[place_B]
        logits_BC = linear((x_BD - scale.mean_D) / scale.norm)
        loss = torch.nn.functional.cross_entropy(
            logits_BC, label_B - 1, ignore_index=-1
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        weights.append(int((label_B > 0).sum()))
    n_last = -(-n_patches // cfg.batch_size)
    return linear, scale, np.average(losses[-n_last:], weights=weights[-n_last:])


def test_probes_learn_what_autograd_and_torchs_adamw_teach_one_alone(tmp_path):
    x_NPD, labels = planted(noise=2.0)
    acts, cfg = recorded(tmp_path, x_NPD), probe_settings()
    trained = train(acts, labels, cfg, CPU)
    pairs = [(one.learning_rate, one.weight_decay) for one in trained]
    assert pairs == [(1e-3, 0.1), (1e-3, 1e-3), (1e-2, 0.1), (1e-2, 1e-3)]
    x_MD = torch.from_numpy(x_NPD.reshape(-1, acts.width))
    for one in trained:
        linear, scale, loss = reference(
            acts, labels, cfg, one.learning_rate, one.weight_decay
        )
        with torch.no_grad():
            expected_MC = linear((x_MD - scale.mean_D) / scale.norm)
        torch.testing.assert_close(one.probe(x_MD), expected_MC, atol=2e-4, rtol=1e-4)
        assert one.loss == pytest.approx(loss, rel=1e-5)


def test_what_held_out_images_show_changes_no_probe(tmp_path):
    x_NPD, labels = planted()
    held_out_H = split_training(labels, 4).held_out_H
    assert held_out_H.tolist() == labels.i_train_N[3::4].tolist()
    changed_NPD = x_NPD.copy()
    changed_NPD[held_out_H] = 99
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (
        train(recorded(tmp_path / name, x), labels, probe_settings(), CPU)
        for name, x in (("a", x_NPD), ("b", changed_NPD))
    )
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.probe.weight_CD, other.probe.weight_CD)


def test_too_few_training_images_to_hold_one_out_are_refused(tmp_path):
    x_NPD, labels = planted(n_images=6)
    with pytest.raises(ValueError, match="one training image of 5 is held out"):
        train(recorded(tmp_path, x_NPD), labels, probe_settings(held_out_every=5), CPU)


def test_classes_that_are_directions_are_found(tmp_path):
    x_NPD, labels = planted()
    (best,) = train(
        recorded(tmp_path, x_NPD),
        labels,
        probe_settings(learning_rates=(1e-2,), weight_decays=(1e-3,), n_epochs=10),
        CPU,
    )
    x_MD = torch.from_numpy(x_NPD[~labels.is_train_N]).flatten(0, 1)
    label_M = labels.labels_NP[~labels.is_train_N].ravel()
    predicted_M = best.probe(x_MD).argmax(1).numpy() + 1
    assert (predicted_M == label_M)[label_M > 0].mean() > 0.99
    assert best.loss < 0.2


def test_shards_and_cores_change_no_bit(tmp_path):
    x_NPD, labels = planted()
    found = set()
    for n_shards, n_threads in ((1, 1), (3, 2), (7, 3)):
        acts = recorded(tmp_path, x_NPD, n_shards)
        trained = with_threads(
            n_threads, lambda a=acts: train(a, labels, probe_settings(), CPU)
        )
        found.add(
            b"".join(
                one.probe.weight_CD.numpy().tobytes()
                + one.probe.bias_C.numpy().tobytes()
                + np.float64(one.loss).tobytes()
                for one in trained
            )
        )
    assert len(found) == 1


def test_a_probe_learns_the_same_alone_as_in_a_sweep(tmp_path):
    x_NPD, labels = planted()
    acts = recorded(tmp_path, x_NPD)
    *_, last = train(acts, labels, probe_settings(), CPU)
    (alone,) = train(
        acts,
        labels,
        probe_settings(learning_rates=(1e-2,), weight_decays=(1e-3,)),
        CPU,
    )
    assert torch.equal(alone.probe.weight_CD, last.probe.weight_CD)


def test_the_scale_of_activations_changes_nothing_that_is_predicted(tmp_path):
    x_NPD, labels = planted(noise=2.0)
    found = []
    for factor in (1, 1000):
        acts = recorded(tmp_path / str(factor), factor * x_NPD)
        one = train(acts, labels, probe_settings(), CPU)[-1]
        x_MD = torch.from_numpy(factor * x_NPD[0])
        found.append(one.probe(x_MD))
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-3)


def test_batches_without_any_label_are_passed_over(tmp_path):
    x_NPD, labels = planted(n_images=40)
    labels.labels_NP[:] = 0
    labels.labels_NP[0, 3] = 2
    (one,) = train(
        recorded(tmp_path, x_NPD),
        labels,
        probe_settings(
            learning_rates=(1e-2,), weight_decays=(0.1,), batch_size=4, n_epochs=1
        ),
        CPU,
    )
    # One patch in all: one step from zero weights, at a loss of log 5.
    assert one.loss == pytest.approx(np.log(5))


def test_without_labels_there_is_nothing_to_learn(tmp_path):
    x_NPD, labels = planted()
    labels.labels_NP[labels.is_train_N] = 0
    with pytest.raises(ValueError, match="no training patch has a label"):
        train(recorded(tmp_path, x_NPD), labels, probe_settings(), CPU)


def test_patches_that_are_all_alike_are_refused(tmp_path):
    x_NPD, labels = planted()
    acts = recorded(tmp_path, np.ones_like(x_NPD))
    with pytest.raises(ValueError, match="all 512 patches .* are equal"):
        train(acts, labels, probe_settings(), CPU)


def test_a_sweep_without_a_rate_is_refused():
    with pytest.raises(ValueError, match=r"learning_rates is \(\): write a list of"):
        probe_settings(learning_rates=())


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_probe(tmp_path):
    x_NPD, labels = planted()
    cfg = probe_settings(learning_rates=(1e-3, 1e38))
    with pytest.raises(
        ValueError,
        match=r"learning rate 1e\+38 and weight decay 0.1 diverged: .* at step \d+ of",
    ):
        train(recorded(tmp_path, x_NPD), labels, cfg, CPU)


def test_probes_that_share_a_product_as_on_a_gpu_learn_what_single_ones_learn():
    generator = torch.Generator().manual_seed(0)
    rate_G = torch.tensor([1e-3, 1e-2, 1e-1], dtype=torch.float64)
    decay_G = torch.tensor([1e-1, 1e-3, 1e-1], dtype=torch.float64)
    together = Learners(rate_G, decay_G, 6, 12, CPU)
    singles = [
        Learners(rate_G[[g]], decay_G[[g]], n_classes=6, width=12, device=CPU)
        for g in range(3)
    ]
    for _ in range(20):
        batch = Batch(
            torch.randn(50, 12, generator=generator),
            torch.randint(6, (50,), generator=generator),
        )
        loss_G = together.learn(batch)
        alone_G = torch.cat([single.learn(batch) for single in singles])
        torch.testing.assert_close(loss_G, alone_G, rtol=1e-5, atol=0)
    for g, single in enumerate(singles):
        torch.testing.assert_close(together.weight_GCD[g], single.weight_GCD[0])
        torch.testing.assert_close(together.bias_GC[g], single.bias_GC[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_learns_what_the_cpu_learns(tmp_path):
    x_NPD, labels = planted(noise=2.0)
    acts = recorded(tmp_path, x_NPD)
    devices = (CPU, torch.device("cuda"))
    found = [train(acts, labels, probe_settings(), d) for d in devices]
    x_MD = torch.from_numpy(x_NPD.reshape(-1, acts.width))
    for on_cpu, on_gpu in zip(*found, strict=True):
        torch.testing.assert_close(
            on_gpu.probe(x_MD), on_cpu.probe(x_MD), atol=1e-3, rtol=1e-3
        )


def stopped_after(n, monkeypatch, end):
    """From now on, training calls `end` in its n-th step."""
    select, n_calls = training._select, []

    def call(*arguments):
        n_calls.append(1)
        if len(n_calls) == n:
            end()
        return select(*arguments)

    monkeypatch.setattr(training, "_select", call)


def killed():
    raise KeyboardInterrupt


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("n_steps", [1, 5, 13])
@pytest.mark.parametrize("end", [killed, terminated])
def test_a_stopped_training_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, end, n_steps
):
    x_NPD, labels = planted(noise=2.0)
    labels.labels_NP[:4] = 0
    acts, cfg = recorded(tmp_path, x_NPD), probe_settings(n_mixed=100)
    expected = train(acts, labels, cfg, CPU)
    every_s = 0.0 if end is killed else 1e9
    state = ProbeState(Unfinished(tmp_path / "probes", {}), every_s)
    with monkeypatch.context() as patched:
        stopped_after(n_steps, patched, end)
        with pytest.raises((KeyboardInterrupt, StoppedError)):
            train_probes(acts, labels, cfg, CPU, state)
    done = state.restore([each.memory for each in learners_of(acts, labels, cfg)])
    assert done.step == (n_steps - 1 if end is killed else n_steps)
    assert done.n_counted > 0 or n_steps < 12
    went_on = train_probes(acts, labels, cfg, CPU, state)
    for one, other in zip(expected, went_on, strict=True):
        assert one.loss == other.loss
        assert torch.equal(one.probe.weight_CD, other.probe.weight_CD)
        assert torch.equal(one.probe.bias_C, other.probe.bias_C)


def learners_of(acts, labels, cfg):
    n_probes = len(cfg.learning_rates) * len(cfg.weight_decays)
    one = torch.ones(1, dtype=torch.float64)
    shape = labels.n_classes, acts.width, CPU
    return [Learners(one, one, *shape) for _ in range(n_probes)]


def test_a_damaged_state_is_named_and_deleting_it_helps(tmp_path):
    x_NPD, labels = planted()
    acts, cfg = recorded(tmp_path, x_NPD), probe_settings()
    state = ProbeState(Unfinished(tmp_path / "probes", {}), 0.0)
    expected = train_probes(acts, labels, cfg, CPU, state)
    (path,) = state.unfinished.folder.iterdir()
    contents = bytearray(path.read_bytes())
    contents[-30] ^= 4
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=f"{path} is damaged.*delete it to train"):
        train_probes(acts, labels, cfg, CPU, state)
    path.unlink()
    again = train_probes(acts, labels, cfg, CPU, state)
    assert torch.equal(expected[0].probe.weight_CD, again[0].probe.weight_CD)
