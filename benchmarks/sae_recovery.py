"""Train autoencoders on planted directions; write docs/sae_recovery.md.

Activations are sparse sums of known directions, so one can count how many of them an
autoencoder finds. Ours are compared with those of dictionary_learning (Marks,
Karvonen and Mueller 2024) on the same patches in the same order. `make bench` leaves
this out, since it times nothing. It takes about an hour on 2 cores:

    pip install git+https://github.com/saprmarks/dictionary_learning
    python benchmarks/sae_recovery.py
"""

import argparse
import datetime
import importlib
import importlib.metadata
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.stream import Activations
from vitproto.core.files import write_text
from vitproto.core.project import PROJECT
from vitproto.prototypes.sae import sweep
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.prototypes.sae.states import States
from vitproto.report.shared.markdown import TextTable, write_markdown
from vitproto.study.run import Run

OUT = PROJECT / "docs" / "sae_recovery.md"
PRESET = PROJECT / "config" / "presets" / "methods" / "small-saes.yaml"
"""Whose settings are measured."""

LAYER = 0
N_PATCHES = 64
"""Patches of an image; here they are independent."""
N_TEST = 20_000
FOUND = 0.95
"""A direction is found if a row of the decoder has a larger cosine with it."""
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
L1_WEIGHTS = (0.2, 0.4)
SCALES = {"1": lambda width: 1.0, "√D": lambda width: width**0.5}
"""Norms of the peer's activations: a limit of its gradients acts on the larger ones."""
KINDS = ("relu", "topk", "batchtopk", "jumprelu", "matryoshka")
PEERS = {
    "relu": ("standard", "StandardTrainer"),
    "topk": ("top_k", "TopKTrainer"),
    "batchtopk": ("batch_top_k", "BatchTopKTrainer"),
    "jumprelu": ("jumprelu", "JumpReluTrainer"),
    "matryoshka": ("matryoshka_batch_top_k", "MatryoshkaBatchTopKTrainer"),
}
"""Modules and classes of dictionary_learning.trainers."""


@dataclass(frozen=True)
class Planted:
    """Activations of known directions, and the autoencoder that looks for them."""

    name: str
    width: int
    n_directions: int
    n_latents: int
    l0: int
    """Directions in a patch, on average, and latents that may be active."""
    rarity: float = 0.0
    """The i-th direction has a frequency of 1 / i to this power."""
    together: float = 0.0
    """How often a direction brings along the other of its pair."""
    n_images: int = 4800

    @property
    def directions_JD(self) -> np.ndarray:
        """The directions, of length 1."""
        rng = np.random.default_rng([self.width, self.n_directions])
        rows_JD = rng.standard_normal((self.n_directions, self.width))
        return rows_JD / np.linalg.norm(rows_JD, axis=1, keepdims=True)

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Patches: sums of directions with strengths about 1, a mean and some noise."""
        rng = np.random.default_rng([seed, 1])
        frequency_J = (1.0 + np.arange(self.n_directions)) ** -self.rarity
        frequency_J *= self.l0 / frequency_J.sum() / (1 + self.together)
        is_on = rng.random((n, self.n_directions)) < frequency_J.clip(max=0.5)
        if self.together > 0:
            pair_J = np.arange(self.n_directions) ^ 1
            is_on |= is_on[:, pair_J] & (rng.random(is_on.shape) < self.together)
        strength = np.abs(rng.normal(1, 0.3, is_on.shape)) * is_on
        mean_D = np.random.default_rng(self.width).normal(0, 0.3, self.width)
        noise = 0.05 * rng.standard_normal((n, self.width))
        return (strength @ self.directions_JD + mean_D + noise).astype(np.float32)


CASES = [
    Planted("twice as many latents", 64, 256, 512, 4),
    Planted("as many latents, rare directions", 64, 256, 256, 4, rarity=0.7),
    Planted("correlated in pairs", 64, 256, 512, 4, together=0.5),
    Planted("wider, more active", 128, 512, 1024, 8),
]

WIDEST_CHANGED = 64
"""The width up to which other settings are tried."""

CHANGES: dict[str, dict[str, dict[str, object]]] = {
    "batchtopk": {
        "as in the preset": {},
        "start: random": {"start": "random"},
        "max_gradient_norm: 1": {"max_gradient_norm": 1.0},
        "both": {"start": "random", "max_gradient_norm": 1.0},
        "n_aux: 0": {"n_aux": 0},
        "aux_weight: 1/32": {"aux_weight": 1 / 32},
        "encoder_start: 0.3": {"encoder_start": 0.3},
    },
    "topk": {"n_aux: 0": {"n_aux": 0}, "encoder_start: 0.3": {"encoder_start": 0.3}},
    "relu": {"encoder_start: 0.3": {"encoder_start": 0.3}},
    "jumprelu": {"n_aux: 0": {"n_aux": 0}, "encoder_start: 1": {"encoder_start": 1.0}},
    "matryoshka": {"encoder_start: 0.3": {"encoder_start": 0.3}},
}
"""Settings of a kind that differ from the preset, to see what each brings."""


class Found(NamedTuple):
    """How an autoencoder does on new patches."""

    cosine: float
    """The largest cosine of each direction with a row of the decoder, mean."""
    share: float
    """The share of the directions that is found."""
    nmse: float
    l0: float
    n_dead: int
    """Latents that no new patch activates."""


Reconstruct = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""From patches to reconstructions and latents."""


def measure(planted: Planted, W_dec_SD: np.ndarray, run: Reconstruct) -> Found:
    """Measure an autoencoder on `N_TEST` new patches."""
    x_BD = planted.draw(N_TEST, seed=2)
    with torch.no_grad():
        x_hat_BD, latents_BS = (part.numpy() for part in run(torch.from_numpy(x_BD)))
    rows_SD = W_dec_SD / np.linalg.norm(W_dec_SD, axis=1, keepdims=True).clip(1e-12)
    cosine_J = (planted.directions_JD @ rows_SD.T).max(axis=1)
    around_BD = x_BD - x_BD.mean(axis=0)
    return Found(
        float(cosine_J.mean()),
        float((cosine_J > FOUND).mean()),
        float(np.square(x_BD - x_hat_BD).sum() / np.square(around_BD).sum()),
        float((latents_BS > 0).sum(axis=1).mean()),
        int((latents_BS <= 0).all(axis=0).sum()),
    )


def read_settings(kind: str, **changes: object) -> SaeSettings:
    """The preset's settings of a kind, with fixed prefixes as the peer has them."""
    preset = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    settings = preset["methods"]["saes"][kind]
    if kind == "matryoshka":
        settings["prefixes"] = "fixed"
    return SaeSettings(**{**settings, **changes})


def train_ours(
    planted: Planted, acts: Activations, settings: SaeSettings, runs: list[Run]
) -> list[Found]:
    """Train our autoencoders, as a study does."""
    image_N = np.arange(acts.n_images)
    scaling = measure_scaling(acts, image_N, settings)
    learners = {}
    for run in runs:
        shape = run.n_prototypes, run.seed
        rows_SD = first_decoder(acts, image_N, settings, scaling, *shape)
        learners[run.name] = Learner.begin(run, settings, scaling, rows_SD)
    with tempfile.TemporaryDirectory() as folder:
        sweep.train(
            learners,
            *(acts, image_N, image_N[:1], settings),
            states=States(Path(folder)),
            device=torch.device("cpu"),
            save_every_s=1e9,
            observe=lambda *_: None,
        )
    found = []
    for learner in learners.values():
        trained = learner.finish()

        def run_one(x_BD: torch.Tensor, trained=trained):
            latents_BS = trained(x_BD)
            return trained.decode(latents_BS), latents_BS

        found.append(measure(planted, trained.W_dec_SD.numpy(), run_one))
    return found


def train_peer(
    planted: Planted,
    batches: list[np.ndarray],
    kind: str,
    scale: float,
    runs: list[Run],
) -> list[Found]:
    """Train the peer's autoencoders, on activations whose norm is `scale`."""
    return [_train_peer(planted, batches, kind, scale, run) for run in runs]


def _train_peer(
    planted: Planted, batches: list[np.ndarray], kind: str, scale: float, run: Run
) -> Found:
    settings = read_settings(kind)
    module, name = PEERS[kind]
    trainers = importlib.import_module(f"dictionary_learning.trainers.{module}")
    n = len(batches)
    options = {
        "steps": n,
        "activation_dim": planted.width,
        "dict_size": run.n_prototypes,
        "layer": LAYER,
        "lm_name": "",
        "lr": run.learning_rate,
        "warmup_steps": settings.n_lr_warmup,
        "decay_start": n - settings.n_lr_decay,
        "seed": run.seed,
        "device": "cpu",
    }
    if kind == "relu":
        options["l1_penalty"] = run.sparsity * scale
        options["sparsity_warmup_steps"] = settings.n_sparsity_warmup
    elif kind == "jumprelu":
        # Its own defaults, for activations whose norm is `scale`.
        options["bandwidth"] = 0.001 * scale
        options["sparsity_penalty"] = scale**2
        options["target_l0"] = run.sparsity
        options["sparsity_warmup_steps"] = settings.n_sparsity_warmup
    else:
        options["k"] = int(run.sparsity)
        options["threshold_start_step"] = n // 3
    if kind == "matryoshka":
        options["group_fractions"] = [1 / 8, 1 / 8, 1 / 4, 1 / 2]
    trainer = getattr(trainers, name)(**options)
    trainer.dead_feature_threshold = settings.n_until_dead
    # Centred and scaled as ours are.
    first_MD = np.concatenate(batches[:20])
    mean_D = first_MD.mean(axis=0)
    length = np.linalg.norm(first_MD - mean_D, axis=1).mean()
    norm = np.float32(length / scale)
    for step, x_BD in enumerate(batches):
        trainer.update(step, torch.from_numpy((x_BD - mean_D) / norm))
    trained, centre_D = trainer.ae, torch.from_numpy(mean_D)

    def run_one(x_BD: torch.Tensor):
        latents_BS = trained.encode((x_BD - centre_D) / norm)
        return trained.decode(latents_BS) * norm + centre_D, latents_BS

    decoder = getattr(trained, "decoder", None)
    rows_SD = trained.W_dec if decoder is None else decoder.weight.T
    return measure(planted, rows_SD.detach().numpy(), run_one)


def record(planted: Planted, path: Path) -> Activations:
    """Write the patches to train on."""
    with write_shard(
        path,
        [f"image{i}" for i in range(planted.n_images)],
        {LAYER: LayerShape(N_PATCHES, planted.width, has_cls=False)},
        "float32",
        {"encoder": "planted"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        for i in range(0, planted.n_images, 100):
            x_MD = planted.draw(100 * N_PATCHES, seed=1000 + i)
            x_NPD = torch.from_numpy(x_MD).view(100, N_PATCHES, planted.width)
            shard.write(i, LAYER, x_NPD, None)
    return Activations.open([path], LAYER)


def list_runs(planted: Planted, kind: str, seed: int) -> list[Run]:
    """The runs of a kind: several learning rates, and with ReLU several weights."""
    if kind == "relu":
        settings = [(rate, l1) for rate in LEARNING_RATES for l1 in L1_WEIGHTS]
    else:
        settings = [(rate, planted.l0) for rate in LEARNING_RATES]
    return [Run(planted.n_latents, seed, *setting) for setting in settings]


def measure_best(
    names: list[str],
    planted: Planted,
    kind: str,
    seeds: range,
    train: Callable[[list[Run]], list[Found]],
) -> list[str]:
    """A row: the setting that finds directions best, and how it does.

    The first seed chooses the setting; the row has means over all seeds.
    """
    first_seed, *others = seeds
    runs = list_runs(planted, kind, first_seed)
    best, run = max(
        zip(train(runs), runs, strict=True), key=lambda item: item[0].cosine
    )
    again = train([replace(run, seed=seed) for seed in others]) if others else []
    mean = Found(*np.mean([best, *again], axis=0))
    weight = f", L1 {run.sparsity:g}" if kind == "relu" else ""
    row = [
        *names,
        *(f"{mean.cosine:.3f}", f"{mean.share:.3f}", f"{mean.nmse:.3f}"),
        *(f"{mean.l0:.2f}", f"{mean.n_dead:.0f}"),
        f"{run.learning_rate:g}{weight}",
    ]
    print(*row, flush=True)
    return row


def measure_case(planted: Planted, seeds: range) -> tuple[list, list]:
    """The rows of all kinds, ours and the peer's; and those of other settings."""
    rows, changed = [], []
    with tempfile.TemporaryDirectory() as folder:
        acts = record(planted, Path(folder) / "planted.h5")
        for kind in KINDS:
            settings = read_settings(kind)
            case = planted, kind, seeds
            ours = partial(train_ours, planted, acts, settings)
            rows.append(measure_best([planted.name, kind, "vitproto"], *case, ours))
            batches = [
                x_BD.numpy().copy()
                for _, x_BD in zip(
                    range(settings.n_steps), stream(acts, settings), strict=False
                )
            ]
            for norm, scale in SCALES.items():
                names = [planted.name, kind, f"dictionary_learning, norm {norm}"]
                length = scale(planted.width)
                theirs = partial(train_peer, planted, batches, kind, length)
                rows.append(measure_best(names, *case, theirs))
        # The wide case would take as long as all others together.
        for kind in CHANGES if planted.width <= WIDEST_CHANGED else ():
            for name, changes in CHANGES[kind].items():
                settings = read_settings(kind, **changes)
                ours = partial(train_ours, planted, acts, settings)
                names = [planted.name, kind, name]
                changed.append(measure_best(names, planted, kind, seeds, ours))
    return rows, changed


def stream(acts: Activations, settings: SaeSettings) -> RandomBatches:
    """The batches of our training, for the peer."""
    return RandomBatches(
        acts,
        batch_size=settings.batch_size,
        seed=settings.stream_seed,
        n_mixed=settings.n_mixed,
        first_batch=0,
    )


def write_page(n_seeds: int) -> str:
    """Run everything, and write the page."""
    rows, changed = [], []
    for planted in CASES:
        of_kinds, of_changes = measure_case(planted, range(n_seeds))
        rows += of_kinds
        changed += of_changes
    columns = {
        "Mean cosine": ">",
        f"Found (> {FOUND:g})": ">",
        "NMSE": ">",
        "L0": ">",
        "Dead": ">",
        "Learning rate": "<",
    }
    version = importlib.metadata.version("dictionary-learning")
    settings = read_settings("batchtopk")
    rates = ", ".join(f"{rate:g}" for rate in LEARNING_RATES)
    weights = " and ".join(f"{weight:g}" for weight in L1_WEIGHTS)
    seeds = (
        f"The first of {n_seeds} seeds chooses it, and the line is their mean."
        if n_seeds > 1
        else "There is one seed, so small differences mean nothing."
    )
    cases = [
        [
            *(planted.name, str(planted.width), str(planted.n_directions)),
            *(str(planted.n_latents), str(planted.l0)),
        ]
        for planted in CASES
    ]
    return write_markdown(
        "# Do autoencoders find planted directions?",
        f"Written by `python benchmarks/sae_recovery.py --n_seeds {n_seeds}` on "
        f"{datetime.date.today().isoformat()}, with torch {torch.__version__} and "
        f"dictionary_learning {version}. Patches are sparse sums of known directions; "
        f"training sees {settings.n_patches:,} of them, in batches of "
        f"{settings.batch_size:,}. Ours have the settings of "
        f"`config/presets/methods/{PRESET.name}`, but for Matryoshka's prefixes, which "
        "are fixed as the peer's are. The peer has the same batches, also minus their "
        "mean, the same numbers of latents, learning rates, warm-up, decay and time "
        "until a latent counts as dead. Its prefixes end where ours do, its thresholds "
        "are measured from a third of the training on, JumpReLU's bandwidth and weight "
        "of sparsity grow with the norm of its activations, and all else is its own "
        "default. It limits "
        "gradients, but for ReLU's, to a norm of 1, which acts or not depending on the "
        "norm of the activations, so both usual norms are shown.",
        TextTable(
            {
                "Planted": "<",
                "Width": ">",
                "Directions": ">",
                "Latents": ">",
                "Directions in a patch": ">",
            },
            cases,
        ),
        f"Measured on {N_TEST:,} new patches: the largest cosine of each direction "
        "with a row of the decoder, the share of directions for which it exceeds "
        f"{FOUND:g}, the error relative to that of a constant, the active latents of a "
        "patch, and latents that no patch activates. All kinds but ReLU are asked for "
        "as many active latents as a patch has directions. Each line shows the "
        f"setting with the largest mean cosine, of learning rates {rates} and, for "
        f"ReLU, weights of the L1 norm of {weights}. {seeds} ReLU is not compared at "
        "equal L0: read its L0 beside its error. Its peer starts with an encoder a "
        "tenth as long as the decoder, and does not limit gradients.",
        "## Kinds",
        TextTable({"Planted": "<", "Kind": "<", "By": "<"} | columns, rows),
        "## What the settings bring",
        "Other settings than the preset's. `n_aux: 0` leaves dead latents alone. Where "
        "there are twice as many latents as directions, those that are left over have "
        "nothing to find, so read how many are dead beside how many are found. Each "
        "line has its own learning rate, and where several do equally well, chance "
        "decides which, and with it the error and the dead.",
        TextTable({"Planted": "<", "Kind": "<", "Settings": "<"} | columns, changed),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--n_seeds", type=int, default=3, help="seeds of each setting shown"
    )
    write_text(write_page(parser.parse_args().n_seeds), OUT)
    print(f"wrote {OUT}")
