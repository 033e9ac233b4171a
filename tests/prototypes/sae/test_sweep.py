"""Training finds what was planted, alone or in a sweep, killed or not."""

import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from planted import (
    N_ACTIVE,
    planted_activations,
    sae_settings,
    share_found,
)
from recorded import LAYER, with_threads, write_shards, write_split_list

from vitproto.activations.stream import Activations
from vitproto.core.project import PROJECT
from vitproto.core.unreadable import DamagedError
from vitproto.prototypes.sae import sweep
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.start import (
    first_decoder,
    measure_scaling,
    sample_batches,
)
from vitproto.prototypes.sae.states import States
from vitproto.study.run import Run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Shards of planted activations, and the directions."""
    x_NPD, directions_JD = planted_activations()
    folder = tmp_path_factory.mktemp("planted")
    return Activations.open(write_shards(folder, x_NPD), LAYER), directions_JD


def train(acts, folder, settings, *runs, observe=lambda *_: None, save_every_s=1e9):
    """Train some runs; gives the learners by the names of their runs."""
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    learners = {}
    for run in runs:
        shape = (run.n_prototypes, run.seed)
        rows_SD = first_decoder(acts, image_N, settings, scaling, *shape)
        learners[run.name] = Learner.begin(run, settings, scaling, rows_SD)
    sweep.train(
        learners,
        *(acts, image_N, image_N[:2], settings),
        states=States(folder / "states"),
        device=CPU,
        save_every_s=save_every_s,
        observe=observe,
    )
    return learners


def everything(learner):
    """All that a learner knows, as bytes."""
    return b"".join(t.numpy().tobytes() for t in learner.state().values())


RELU = {"activation": "relu", "n_sparsity_warmup": 20, "n_aux": 0}
JUMPRELU = {
    "activation": "jumprelu",
    "n_sparsity_warmup": 20,
    "l0_weight": 1.0,
    "bandwidth": 0.05,
}
SMALL = {"n_patches": 20_000, "n_lr_decay": 10, "n_until_dead": 4000}
TOPK = Run(48, 0, 0.003, float(N_ACTIVE))


@pytest.mark.parametrize(
    ("changes", "run"),
    [
        ({}, TOPK),
        ({"activation": "batchtopk"}, TOPK),
        ({**RELU, "n_patches": 400_000}, Run(48, 0, 0.01, 0.5)),
        ({"start": "data"}, TOPK),
        ({"prefixes": "fixed", "n_prefixes": 2}, Run(64, 0, 0.003, float(N_ACTIVE))),
        (JUMPRELU, TOPK),
    ],
    ids=["topk", "batchtopk", "relu", "from data", "matryoshka", "jumprelu"],
)
def test_planted_directions_are_found_again(planted, tmp_path, changes, run):
    acts, directions_JD = planted
    learner = train(acts, tmp_path, sae_settings(**changes), run)[run.name]
    assert share_found(learner.weights.W_dec_SD.numpy(), directions_JD) >= 0.9
    sae = learner.finish()
    x_MD = acts.sample_patches(2000, seed=1)
    latents_MS = sae(x_MD)
    # A planted sum is found active where it is, and nothing much besides.
    error = (sae.decode(latents_MS) - x_MD).square().mean()
    assert error < 0.25 * x_MD.var(0).mean()
    n_active = (latents_MS > 0).sum(1)
    if sae.l0 is not None:
        assert (n_active == N_ACTIVE).all()
    elif sae.threshold_S.max() > 0:
        assert abs(n_active.float().mean() - N_ACTIVE) < 0.3


@pytest.mark.parametrize("prefixes", ["fixed", "random"])
def test_longer_prefixes_reconstruct_better(planted, tmp_path, prefixes):
    acts, _ = planted
    settings = sae_settings(prefixes=prefixes, n_prefixes=4)
    run = Run(64, 0, 0.003, 4.0)
    sae = train(acts, tmp_path, settings, run)[run.name].finish()
    x_MD = acts.sample_patches(2000, seed=1)
    latents_MS = sae(x_MD)
    errors = []
    for end in (0, 8, 16, 32, 64):
        first_MS = latents_MS.clone()
        first_MS[:, end:] = 0
        errors.append((sae.decode(first_MS) - x_MD).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.8 * errors[0]


def test_an_encoder_that_learns_alone_leaves_the_random_decoder_as_it_was(
    planted, tmp_path
):
    acts, _ = planted
    settings = sae_settings(trains="encoder", **SMALL)
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    rows_SD = first_decoder(acts, image_N, settings, scaling, 48, 0)
    learner = train(acts, tmp_path, settings, TOPK)[TOPK.name]
    before_SD = torch.nn.functional.normalize(rows_SD, dim=1)
    torch.testing.assert_close(learner.weights.W_dec_SD, before_SD)
    assert (learner.weights.W_enc_SD - before_SD).abs().max() > 0.01


def test_an_autoencoder_that_learns_nothing_is_as_it_was_initialised(planted, tmp_path):
    acts, _ = planted
    settings = sae_settings(trains="nothing", encoder_start=0.5)
    learner = train(acts, tmp_path, settings, TOPK)[TOPK.name]
    assert learner.step == 0
    assert torch.equal(learner.weights.W_enc_SD, 0.5 * learner.weights.W_dec_SD)
    lengths_S = learner.weights.W_dec_SD.norm(dim=1)
    torch.testing.assert_close(lengths_S, torch.ones(48))
    # Its own memory: a shared view would be corrupted when one of them changes.
    assert learner.weights.W_enc_SD.data_ptr() != learner.weights.W_dec_SD.data_ptr()


def test_scaled_activations_have_mean_zero_and_norm_one(planted):
    acts, _ = planted
    settings = sae_settings(n_scaling=40_000)
    scaling = measure_scaling(acts, np.arange(acts.n_images), settings)
    x_MD = acts.sample_patches(40_000, seed=0)
    z_MD = (x_MD - scaling.mean_D) / scaling.norm
    assert z_MD.mean(0).abs().max() < 0.02
    assert z_MD.norm(dim=1).mean() == pytest.approx(1, rel=1e-3)
    assert scaling.centre_D.abs().max() == 0
    plain = sae_settings(scale_mean=False, scale_norm=False)
    scaling = measure_scaling(acts, np.arange(acts.n_images), plain)
    assert (scaling.mean_D.abs().max(), scaling.norm) == (0, 1)
    torch.testing.assert_close(scaling.centre_D, x_MD.mean(0), rtol=0, atol=0.15)


def test_a_sweep_learns_what_each_run_learns_alone(planted, tmp_path):
    acts, _ = planted
    runs = [TOPK, Run(96, 1, 0.001, 5.0), Run(32, 2, 0.003, 2.0)]
    settings = sae_settings(activation="batchtopk", **SMALL)
    together = train(acts, tmp_path / "together", settings, *runs)
    for run in runs:
        alone = train(acts, tmp_path / run.name, settings, run)[run.name]
        assert everything(alone) == everything(together[run.name])


@pytest.mark.parametrize(
    ("activation", "sparsity"), [("relu", 0.03), ("batchtopk", 3), ("jumprelu", 3)]
)
def test_neither_shards_nor_cores_change_a_bit(tmp_path, activation, sparsity):
    x_NPD, _ = planted_activations(n_images=300)
    changes = {"activation": activation, "n_aux": 0}
    if activation == "jumprelu":
        changes = JUMPRELU
    settings = sae_settings(**SMALL, **changes)
    run = Run(48, 0, 0.003, float(sparsity))
    results = set()
    for n_shards, n_threads in ((1, 1), (3, 2), (2, 5)):
        folder = tmp_path / str(n_shards)
        folder.mkdir()
        acts = Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)
        learners = with_threads(
            n_threads, lambda a=acts, f=folder: train(a, f, settings, run)
        )
        results.add(everything(learners[run.name]))
    assert len(results) == 1


@pytest.mark.parametrize("changes", [{}, {"prefixes": "random", "n_prefixes": 4}])
def test_after_few_steps_the_threshold_keeps_as_many_latents_as_asked(
    planted, tmp_path, changes
):
    acts, _ = planted
    small = {**SMALL, "n_scaling": 20_000}
    settings = sae_settings(activation="batchtopk", **small, **changes)
    runs = [TOPK, Run(96, 1, 0.001, 5.0)]
    learners = train(acts, tmp_path, settings, *runs)
    sampled = sample_batches(acts, np.arange(acts.n_images), settings, "patches")
    x_MD = torch.cat([x_BD.clone() for x_BD in sampled])
    assert len(x_MD) > 19_000
    for run in runs:
        latents_MS = learners[run.name].finish()(x_MD)
        n_active = int((latents_MS > 0).sum())
        # But for rounding: the scaling is folded into the weights.
        assert abs(n_active / len(x_MD) - run.sparsity) < 0.001
    others = acts.sample_patches(20_000, seed=1)
    for run in runs:
        l0 = (learners[run.name].finish()(others) > 0).sum(1).float().mean()
        assert l0 == pytest.approx(run.sparsity, rel=0.01)


def test_a_threshold_is_the_one_that_sorting_gives(planted, tmp_path):
    acts, _ = planted
    settings = sae_settings(activation="batchtopk", **SMALL)
    learner = train(acts, tmp_path, settings, TOPK)[TOPK.name]
    sampled = sample_batches(acts, np.arange(acts.n_images), settings, "patches")
    x_MD = torch.cat([x_BD.clone() for x_BD in sampled])
    z_MD = (x_MD - learner.scaling.mean_D) / learner.scaling.norm
    weights = learner.weights
    pre_MS = (z_MD - weights.b_dec_D) @ weights.W_enc_SD.T + weights.b_enc_S
    order = np.sort(pre_MS.numpy().ravel())[::-1]
    last = order[int(TOPK.sparsity) * len(x_MD) - 1]
    assert weights.threshold_S.tolist() == pytest.approx([last] * 48, rel=1e-5)


def test_where_fewer_latents_are_positive_all_of_them_stay_active(planted, tmp_path):
    acts, _ = planted
    settings = sae_settings(activation="batchtopk", trains="nothing")
    run = Run(48, 0, 0.003, 47.0)
    weights = train(acts, tmp_path, settings, run)[run.name].weights
    assert (weights.threshold_S == 0).all()


@pytest.mark.parametrize("kind", [{}, JUMPRELU], ids=["topk", "jumprelu"])
def test_dead_latents_come_back_with_auxk(planted, tmp_path, kind):
    """24 latents cannot find 32 directions; AuxK revives some of 40 dead ones."""
    acts, directions_JD = planted
    image_N = np.arange(acts.n_images)
    run = Run(64, 0, 0.003, 3.0)

    def found(n_aux):
        changes = {"n_aux": n_aux, "aux_weight": 0.2, "n_until_dead": 5000}
        settings = sae_settings(**kind, **changes)
        scaling = measure_scaling(acts, image_N, settings)
        rows_SD = first_decoder(acts, image_N, settings, scaling, 64, 0)
        learner = Learner.begin(run, settings, scaling, rows_SD)
        learner.weights.W_enc_SD[:40] *= 0.01  # others are always larger: dead
        if kind:  # and they are so small that their thresholds do not learn either
            learner.weights.threshold_S[:40] = 0.04
        seen = []
        sweep.train(
            {run.name: learner},
            *(acts, image_N, image_N[:2], settings),
            states=States(tmp_path / str(n_aux)),
            device=CPU,
            save_every_s=1e9,
            observe=lambda _run, _n, log: seen.append(log.n_dead),
        )
        share = share_found(learner.weights.W_dec_SD.numpy(), directions_JD)
        return max(seen), seen[-1], share

    without, with_auxk = found(0), found(16)
    assert without[0] >= 40
    assert without[1] >= 40
    assert without[2] <= 24 / 32
    assert with_auxk[1] < without[1]
    assert with_auxk[2] > 0.9


def test_a_log_shows_warm_up_and_decay_worked_out_by_hand():
    settings = sae_settings(
        activation="relu",
        n_aux=0,
        n_patches=5120,
        n_lr_warmup=4,
        n_lr_decay=2,
        n_sparsity_warmup=5,
    )
    assert settings.n_steps == 10
    rates = [settings.learning_rate(0.008, step) for step in range(10)]
    np.testing.assert_allclose(
        rates, [0.002, 0.004, 0.006, 0.008, 0.008, 0.008, 0.008, 0.008, 0.008, 0.004]
    )
    weights = [settings.l1_weight(0.5, step) for step in range(7)]
    np.testing.assert_allclose(weights, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5])


def test_prefixes_end_where_they_should():
    fixed = sae_settings(prefixes="fixed", n_prefixes=4)
    assert fixed.prefix_ends(512, 0, 7).tolist() == [64, 128, 256, 512]
    assert fixed.prefix_ends(4, 0, 7).tolist() == [1, 2, 4]
    assert sae_settings().prefix_ends(512, 0, 7).tolist() == [512]
    drawn = sae_settings(prefixes="random", n_prefixes=2)
    ends = [drawn.prefix_ends(1000, 0, step).tolist() for step in range(2000)]
    assert all(len(pair) == 2 and 1 <= pair[0] < pair[1] == 1000 for pair in ends)
    assert ends[:5] == [drawn.prefix_ends(1000, 0, step).tolist() for step in range(5)]
    # As many below the square root as above it.
    assert np.mean([pair[0] < 1000**0.5 for pair in ends]) == pytest.approx(
        0.5, abs=0.05
    )


def test_a_loss_that_is_not_finite_names_step_rate_and_last_state(planted, tmp_path):
    acts, _ = planted
    settings = sae_settings(
        activation="relu", n_aux=0, max_gradient_norm=1e30, n_lr_warmup=0, **SMALL
    )
    run = Run(48, 0, 1e30, 0.01)
    with pytest.raises(ValueError, match="learning_rate") as caught:
        train(acts, tmp_path, settings, run, save_every_s=0.0)
    message = str(caught.value)
    assert run.name in message
    assert "at step 1 of 39" in message
    assert "with a learning rate of 1e+30" in message
    assert "its last good state is of step 1" in message


def test_activations_that_are_not_finite_stop_training_before_it_begins(tmp_path):
    x_NPD, _ = planted_activations(n_images=300)
    (shard,) = write_shards(tmp_path, x_NPD)
    with h5py.File(shard, "r+") as file:
        file[f"layer{LAYER}/patches"][7:90, 2, 3] = np.nan
    acts = Activations.open([shard], LAYER)
    with pytest.raises(DamagedError, match="patch 2 of the image 'image7'.*checksum"):
        measure_scaling(acts, np.arange(300), sae_settings(**SMALL))


@pytest.mark.parametrize("at", [0.3, 0.5, 0.9])
def test_a_state_with_a_flipped_bit_is_named_and_never_resumed(tmp_path, planted, at):
    acts, _ = planted
    settings = sae_settings(**SMALL)
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    rows_SD = first_decoder(acts, image_N, settings, scaling, 48, 0)
    states = States(tmp_path / "states")
    states.write({"run": Learner.begin(TOPK, settings, scaling, rows_SD)})
    assert states.read("run")["step"] == 0
    (state,) = states.folder.glob("*.safetensors")
    content = bytearray(state.read_bytes())
    content[int(at * len(content))] ^= 1
    state.write_bytes(content)
    with pytest.raises(DamagedError, match="delete .*states/.* to train from"):
        states.read("run")
    # What the message says to do, done literally:
    shutil.rmtree(states.folder)
    assert states.read("run") is None


def test_too_few_positive_latents_for_a_threshold_are_said(planted, tmp_path, caplog):
    acts, _ = planted
    settings = sae_settings(**{**SMALL, "activation": "batchtopk"})
    good, collapsed = Run(48, 0, 0.003, 3.0), Run(48, 0, 3.0, 3.0)
    train(acts, tmp_path / "good", settings, good)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    sae = train(acts, tmp_path / "bad", settings, collapsed)[collapsed.name].finish()
    l0 = (sae(acts.sample_patches(2000, seed=1)) > 0).sum(1).float().mean()
    assert l0 < 2.9
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert f"{collapsed.name}: only " in warning.getMessage()
    assert "of the 3 asked for: most are dead" in warning.getMessage()


def test_weights_that_are_not_finite_are_not_handed_out(planted):
    acts, _ = planted
    settings = sae_settings(**SMALL)
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    rows_SD = first_decoder(acts, image_N, settings, scaling, 48, 0)
    learner = Learner.begin(TOPK, settings, scaling, rows_SD)
    learner.weights.b_enc_S[3] = np.nan
    with pytest.raises(ValueError, match="values of b_enc_S are NaN or infinite"):
        learner.finish()


def test_a_damaged_state_is_named_and_not_read(planted, tmp_path):
    acts, _ = planted
    n_logged = []

    def stop_at_the_third_step(*_):
        n_logged.append(1)
        if len(n_logged) == 3:
            raise KeyboardInterrupt

    settings = sae_settings(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(
            *(acts, tmp_path, settings, TOPK),
            observe=stop_at_the_third_step,
            save_every_s=0.0,
        )
    (state,) = (tmp_path / "states").rglob("*.safetensors")
    assert state.name == f"{TOPK.name}.step-2.safetensors"
    os.truncate(state, 1000)
    with pytest.raises(ValueError, match=r"is damaged .* train from the beginning"):
        train(acts, tmp_path, settings, TOPK)


def stage_command(folder, shards, runs, out, **changes):
    """The command line of fit_sae, as the workflow gives it."""
    settings = sae_settings(**{**SMALL, "n_patches": 60_000, **changes})
    flags = [f"--{key}={value}" for key, value in vars(settings).items()]
    return [
        *(sys.executable, str(PROJECT / "scripts/fit_sae.py")),
        *(
            "--shards",
            *map(str, shards),
            "--splits",
            str(shards[0].parent / "splits.csv"),
        ),
        *("--runs", *runs),
        *("--encoder", "tiny", "--layer", str(LAYER), "--method", "topk"),
        *("--fit_dataset", "corpus"),
        *(
            "--store",
            str(folder / "store"),
            "--checkpoints",
            str(folder / out / "m.json"),
        ),
        *("--training", str(folder / out / "training.csv")),
        *("--unfinished", str(folder / out / "unfinished")),
        *("--held_out_every", "10", "--device", "cpu", "--tensorboard", "False"),
        *("--save_every_s", "0.05", *flags),
    ]


def test_a_stage_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
    x_NPD, _ = planted_activations(n_images=400)
    shards = write_shards(tmp_path, x_NPD, 2)
    write_split_list(tmp_path, ["train"] * 400)
    runs = ["k48-lr0.003-sparsity3-seed0", "k96-lr0.001-sparsity3-seed1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(stage_command(whole, shards, runs, "study"), check=True)
    command = stage_command(killed, shards, runs, "study")
    unfinished = killed / "study/unfinished"
    n_killed = 0
    for signal_number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as job:
            before = {path.name for path in unfinished.rglob("*.safetensors")}
            while job.poll() is None:
                now = {path.name for path in unfinished.rglob("*.safetensors")}
                if now - before:
                    time.sleep(0.05)
                    job.send_signal(signal_number)
                    job.wait()
                    break
                time.sleep(0.005)
        n_killed += job.returncode != 0
    assert n_killed >= 2, "it ended before it could be killed"
    if unfinished.exists():  # as a job leaves it that is killed while it writes
        (job,) = unfinished.iterdir()
        (job / ".partial-half-a-state.safetensors").write_bytes(b"half")
    subprocess.run(command, check=True)
    assert not unfinished.exists()
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.*"))
    assert [path for path in files if path.suffix == ".safetensors"]
    assert files == sorted(path.relative_to(killed) for path in killed.rglob("*.*"))
    for file in files:
        if file.name != "m.json":  # it holds the paths of checkpoints
            assert (whole / file).read_bytes() == (killed / file).read_bytes(), file


def test_a_job_beside_an_orphan_ends_in_the_same_bytes_and_so_does_the_orphan(tmp_path):
    """If Snakemake alone is killed, its jobs live on, and the next run starts more."""
    x_NPD, _ = planted_activations(n_images=400)
    shards = write_shards(tmp_path, x_NPD, 2)
    write_split_list(tmp_path, ["train"] * 400)
    runs = ["k48-lr0.003-sparsity3-seed0", "k96-lr0.001-sparsity3-seed1"]
    subprocess.run(stage_command(tmp_path / "whole", shards, runs, "study"), check=True)
    command = stage_command(tmp_path / "two", shards, runs, "study")
    unfinished = tmp_path / "two/study/unfinished"

    def results():
        parts = ("study/training.csv", "store/*.safetensors", "store/*.csv")
        files = [path for part in parts for path in (tmp_path / "two").glob(part)]
        return {path.relative_to(tmp_path / "two"): path.read_bytes() for path in files}

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as orphan:
        while not list(unfinished.rglob("index.json")):
            assert orphan.poll() is None, "it ended before it could be orphaned"
            time.sleep(0.005)
        orphan.send_signal(signal.SIGSTOP)
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 0, second.stderr
        assert "continues at step" in second.stderr
        (left,) = unfinished.iterdir()
        assert left.name.endswith(f"-{orphan.pid}")
        after_second = results()
        orphan.send_signal(signal.SIGCONT)
        assert orphan.wait(timeout=300) == 0
    assert not unfinished.exists()
    whole = tmp_path / "whole"
    expected = {file: (whole / file).read_bytes() for file in after_second}
    assert len(expected) == 1 + 2 * len(runs)
    assert after_second == results() == expected


def test_a_store_is_shared_and_what_was_made_otherwise_is_never_taken(tmp_path):
    x_NPD, _ = planted_activations(n_images=200)
    shards = write_shards(tmp_path, x_NPD)
    write_split_list(tmp_path, ["train"] * 200)
    small = {"n_patches": 2048, "n_lr_warmup": 1, "n_lr_decay": 2}
    runs = ["k48-lr0.003-sparsity3-seed0"]

    def stored(out, names=runs, **changes):
        command = stage_command(tmp_path, shards, names, out, **small, **changes)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        files = (tmp_path / "store").glob("*.safetensors")
        return done.stderr, {path: path.stat().st_mtime_ns for path in files}

    _, first = stored("one")
    said, second = stored("another")
    assert second == first
    assert "1 of 1 autoencoders are stored" in said
    training = (tmp_path / "one/training.csv").read_text()
    assert (tmp_path / "another/training.csv").read_text() == training
    header, first_row = training.splitlines()[:2]
    assert header.startswith("encoder,layer,method,run,step,")
    assert first_row.startswith(f"tiny,{LAYER},topk,{runs[0]},")
    # Studies share the store, so its logs do not say where they belong.
    (log,) = (tmp_path / "store").glob("*.csv")
    rows = [row.split(",", 3)[3] for row in training.splitlines()]
    assert log.read_text().splitlines() == rows
    # A longer sweep trains what is missing; another setting is another checkpoint.
    said, third = stored("longer", [*runs, "k32-lr0.003-sparsity3-seed0"])
    assert "1 of 2 autoencoders are stored" in said
    assert len(third) == 2
    assert first.items() <= third.items()
    _, fourth = stored("otherwise", aux_weight=0.5)
    assert len(fourth) == 3
    assert third.items() <= fourth.items()
