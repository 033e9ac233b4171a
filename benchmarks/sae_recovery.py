"""Train autoencoders on planted directions; write docs/sae_recovery.md.

Activations are sparse sums of known directions, so one can count how many of them an
autoencoder finds. Ours are compared with those of dictionary_learning (Marks,
Karvonen and Mueller 2024) on the same patches in the same order. `make bench` leaves
this out, since it times nothing. It takes a few hours on 2 cores:

    pip install git+https://github.com/saprmarks/dictionary_learning
    python benchmarks/sae_recovery.py
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from scipy.stats import ttest_ind

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
LEARNING_RATES = (3e-3, 1e-2, 2e-2, 3e-2, 6e-2)
L1_WEIGHTS = (0.05, 0.08, 0.14, 0.2, 0.3, 0.4, 0.6)
"""For ReLU, whose L0 cannot be set directly."""
L0_FACTORS = (1.5, 2, 3)
"""ReLU is compared at these multiples of the directions in a patch."""
SIGNIFICANCE = 0.05
"""The level of Welch's t-test over seeds: below it, a line is listed as behind."""
SHOWN = 0.001
"""Smaller differences cannot be seen in the tables."""
SCALES = {"1": lambda width: 1.0, "√D": lambda width: width**0.5}
"""Norms of the peer's activations: a limit of its gradients acts on the larger ones."""
KINDS = ("topk", "batchtopk", "jumprelu", "matryoshka")
"""Those that are asked for an L0."""
MEASURES = {
    "cosine": "Mean cosine",
    "share": f"Found (> {FOUND:g})",
    "nmse": "NMSE",
    "l0": "L0",
    "n_dead": "Dead",
}
"""Fields of `Found`, and their names in tables."""
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
    "jumprelu": {"n_aux: 0": {"n_aux": 0}, "encoder_start: 1": {"encoder_start": 1.0}},
    "matryoshka": {
        "prefixes: random, as in the preset": {"prefixes": "random"},
        "n_aux: 0": {"n_aux": 0},
        "encoder_start: 0.3": {"encoder_start": 0.3},
    },
}
"""Settings of a kind that differ from the preset, to see what each brings."""

FRONT_CHANGES: dict[str, dict[str, object]] = {
    "": {},
    ", encoder_start: 1": {"encoder_start": 1.0},
}
"""The same for ReLU; the preset first."""


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
        settings = {**settings, "prefixes": "fixed"}
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


def list_runs(planted: Planted, seed: int) -> list[Run]:
    """The runs of a kind that is asked for an L0: several learning rates."""
    settings = [(rate, planted.l0) for rate in LEARNING_RATES]
    return [Run(planted.n_latents, seed, *setting) for setting in settings]


def list_front(planted: Planted, seed: int) -> list[Run]:
    """The runs of ReLU: several learning rates and weights of the L1 norm."""
    settings = [(rate, l1) for rate in LEARNING_RATES for l1 in L1_WEIGHTS]
    return [Run(planted.n_latents, seed, *setting) for setting in settings]


Fronts = dict[float, list[list[Found]]]
"""By learning rate, for each seed what each of `L1_WEIGHTS` gives."""


def measure_fronts(
    planted: Planted, seeds: range, train: Callable[[list[Run]], list[Found]]
) -> Fronts:
    """Train ReLU with all learning rates, weights and seeds."""
    fronts: Fronts = {rate: [] for rate in LEARNING_RATES}
    for seed in seeds:
        found = train(list_front(planted, seed))
        for i, rate in enumerate(LEARNING_RATES):
            of_rate = found[i * len(L1_WEIGHTS) : (i + 1) * len(L1_WEIGHTS)]
            fronts[rate].append(of_rate)
    return fronts


class AtL0(NamedTuple):
    """A front where it has a certain L0."""

    cosine: float
    share: float
    nmse: float
    n_dead: float
    l1_weight: float


def read_front(front: list[Found], l0: float) -> AtL0 | None:
    """Read a front at an L0, on the line between the weights around it.

    L0, NMSE and weights are on logarithmic axes. None if all weights give more, or all
    give less.
    """
    by_l0 = sorted(zip(front, L1_WEIGHTS, strict=True), key=lambda item: item[0].l0)
    log_l0_W = np.log([found.l0 for found, _ in by_l0])
    if not log_l0_W[0] <= np.log(l0) <= log_l0_W[-1]:
        return None

    def read(values_W: list[float]) -> float:
        return float(np.interp(np.log(l0), log_l0_W, values_W))

    return AtL0(
        read([found.cosine for found, _ in by_l0]),
        read([found.share for found, _ in by_l0]),
        float(np.exp(read([np.log(found.nmse) for found, _ in by_l0]))),
        read([found.n_dead for found, _ in by_l0]),
        float(np.exp(read([np.log(weight) for _, weight in by_l0]))),
    )


class Line(NamedTuple):
    """A line of a table: one setting, with all seeds."""

    place: tuple[str, ...]
    """What it is compared in: planted activations, and a kind or an L0."""
    by: str
    """Who trained, or with which settings."""
    found: list[Found] | list[AtL0]
    """For each seed; empty if the L0 is not reached."""
    setting: str
    """The learning rate, and for ReLU the weight of the L1 norm."""

    def cells(self, *measures: str) -> list[str]:
        """The cells of the table, with these measures."""
        values = [
            spread([getattr(found, measure) for found in self.found], measure)
            for measure in measures
        ]
        return [*self.place, self.by, *values, self.setting]


def spread(values: list[float], measure: str) -> str:
    """A mean over seeds and the standard deviation between them."""
    if not values:
        return "–"
    n_digits = {"l0": 2, "n_dead": 0}.get(measure, 3)
    text = f"{np.mean(values):.{n_digits}f}"
    if len(values) == 1 or measure == "n_dead":
        return text
    return f"{text} ± {np.std(values, ddof=1):.{n_digits}f}"


def find_behind(lines: list[Line]) -> list[str]:
    """Where ours is behind a line of the peer's: place, peer and measure.

    It must be worse by Welch's t-test over seeds, and by a digit that is shown. There
    is no correction for the number of comparisons: it would hide some.
    """
    behind = []
    for place in dict.fromkeys(line.place for line in lines):
        ours, *others = (line for line in lines if line.place == place)
        peers = [line for line in others if line.by.startswith("dictionary_learning")]
        for peer in (line for line in peers if line.found and ours.found):
            for measure, better in (("cosine", 1), ("share", 1), ("nmse", -1)):
                x, y = (
                    np.array([getattr(found, measure) for found in line.found])
                    for line in (ours, peer)
                )
                lead = better * (x.mean() - y.mean())
                if lead <= -SHOWN and is_different(x, y):
                    name = MEASURES[measure]
                    values = f"{x.mean():.3f} against {y.mean():.3f}"
                    behind.append(f"{', '.join(place)}: {name} {values}, {peer.by}")
    return behind


def is_different(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two means differ by Welch's t-test."""
    if len(x) < 2 or len(y) < 2:
        return False
    if x.std() == y.std() == 0:
        return bool(x[0] != y[0])
    return bool(ttest_ind(x, y, equal_var=False).pvalue < SIGNIFICANCE)


def lines_at_l0(planted: Planted, by: str, fronts: Fronts) -> list[Line]:
    """A line for each L0: the learning rate with the lowest mean NMSE.

    A rate with a seed that does not reach the L0 is left out.
    """
    lines = []
    for l0 in (factor * planted.l0 for factor in L0_FACTORS):
        place = planted.name, f"{l0:g}"
        at_rate = {
            rate: [read_front(front, l0) for front in of_seeds]
            for rate, of_seeds in fronts.items()
        }
        reached = {rate: found for rate, found in at_rate.items() if None not in found}
        if not reached:
            lines.append(Line(place, by, [], "–"))
            continue
        rate = min(reached, key=lambda r: np.mean([found.nmse for found in reached[r]]))
        weight = np.mean([found.l1_weight for found in reached[rate]])
        setting = f"{rate:g}, L1 {weight:.2f}"
        lines.append(Line(place, by, reached[rate], setting))
    return lines


def measure_best(
    place: tuple[str, ...],
    by: str,
    planted: Planted,
    seeds: range,
    train: Callable[[list[Run]], list[Found]],
) -> Line:
    """The learning rate with which the first seed finds directions best; all seeds."""
    first_seed, *others = seeds
    runs = list_runs(planted, first_seed)
    best, run = max(
        zip(train(runs), runs, strict=True), key=lambda item: item[0].cosine
    )
    again = train([replace(run, seed=seed) for seed in others]) if others else []
    line = Line(place, by, [best, *again], f"{run.learning_rate:g}")
    print(*line.cells(*MEASURES), flush=True)
    return line


class Case(NamedTuple):
    """The lines of planted activations, for each table."""

    kinds: list[Line]
    at_l0: list[Line]
    changed: list[Line]


def measure_case(planted: Planted, seeds: range) -> Case:
    """Train all kinds, ours and the peer's, and ours with other settings."""
    case = Case([], [], [])
    with tempfile.TemporaryDirectory() as folder:
        acts = record(planted, Path(folder) / "planted.h5")
        for kind in KINDS:
            place = planted.name, kind
            for by, train in trainers(planted, acts, kind, {"": {}}):
                case.kinds.append(measure_best(place, by, planted, seeds, train))
        for by, train in trainers(planted, acts, "relu", FRONT_CHANGES):
            fronts = measure_fronts(planted, seeds, train)
            case.at_l0.extend(lines_at_l0(planted, by, fronts))
        case.at_l0.sort(key=lambda line: float(line.place[1]))
        # The wide case would take as long as all others together.
        for kind in CHANGES if planted.width <= WIDEST_CHANGED else ():
            for name, changes in CHANGES[kind].items():
                settings = read_settings(kind, **changes)
                train = partial(train_ours, planted, acts, settings)
                place = planted.name, kind
                case.changed.append(measure_best(place, name, planted, seeds, train))
    return case


def trainers(
    planted: Planted,
    acts: Activations,
    kind: str,
    changes: dict[str, dict[str, object]],
) -> Iterator[tuple[str, Callable[[list[Run]], list[Found]]]]:
    """Who trains a kind, ours first, with their names in tables."""
    for name, changed in changes.items():
        settings = read_settings(kind, **changed)
        yield f"vitproto{name}", partial(train_ours, planted, acts, settings)
    settings = read_settings(kind)
    batches = [
        x_BD.numpy().copy()
        for _, x_BD in zip(
            range(settings.n_steps), stream(acts, settings), strict=False
        )
    ]
    for norm, scale in SCALES.items():
        train = partial(train_peer, planted, batches, kind, scale(planted.width))
        yield f"dictionary_learning, norm {norm}", train


def stream(acts: Activations, settings: SaeSettings) -> RandomBatches:
    """The batches of our training, for the peer."""
    return RandomBatches(
        acts,
        batch_size=settings.batch_size,
        seed=settings.stream_seed,
        n_mixed=settings.n_mixed,
        first_batch=0,
    )


def peer_version() -> str:
    """The version of dictionary_learning and, where pip knows it, its commit."""
    installed = importlib.metadata.distribution("dictionary-learning")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id", "")
    return f"{installed.version} (commit {commit[:7]})" if commit else installed.version


def write_page(cases: list[Case], n_seeds: int, peer: str) -> str:
    """Write what was measured for each of `CASES` as a page."""
    at_l0 = [measure for measure in MEASURES if measure != "l0"]

    def table(names: list[str], measures: list[str], lines: list[Line]) -> TextTable:
        columns = dict.fromkeys(names, "<")
        columns |= {MEASURES[measure]: ">" for measure in measures}
        cells = [line.cells(*measures) for line in lines]
        return TextTable({**columns, "Learning rate": "<"}, cells)

    lines = [line for case in cases for line in (*case.kinds, *case.at_l0)]
    settings = read_settings("batchtopk")
    rates, weights = (
        ", ".join(f"{value:g}" for value in values)
        for values in (LEARNING_RATES, L1_WEIGHTS)
    )
    seeds = (
        f"The first of {n_seeds} seeds chooses it. The line is their mean ± the "
        "standard deviation between them."
        if n_seeds > 1
        else "There is one seed, so small differences mean nothing."
    )
    planted_rows = [
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
        f"dictionary_learning {peer}. Patches are sparse sums of known directions; "
        f"training sees {settings.n_patches:,} of them, in batches of "
        f"{settings.batch_size:,}. Ours have the settings of "
        f"`config/presets/methods/{PRESET.name}`, but for Matryoshka's prefixes, which "
        "are fixed as the peer's are. The peer has the same batches, also minus their "
        "mean, and the same numbers of latents, learning rates, warm-up, decay and "
        "time until a latent counts as dead. Its prefixes end where ours do, its "
        "thresholds are measured from a third of the training on, JumpReLU's bandwidth "
        "and weight of sparsity grow with the norm of its activations, and all else is "
        "its own default. It limits the norm of gradients to 1, except ReLU's. Whether "
        "they reach that depends on the norm of the activations, so both usual norms "
        "are shown.",
        TextTable(
            {
                "Planted": "<",
                "Width": ">",
                "Directions": ">",
                "Latents": ">",
                "Directions in a patch": ">",
            },
            planted_rows,
        ),
        f"Measured on {N_TEST:,} new patches: the largest cosine of each direction "
        "with a row of the decoder, the share of directions for which it exceeds "
        f"{FOUND:g}, the error relative to that of a constant, the active latents of a "
        "patch, and latents that no patch activates.",
        "## Kinds that are asked for an L0",
        "All are asked for as many active latents as a patch has directions. Each line "
        f"shows the learning rate with the largest mean cosine, of {rates}. {seeds}",
        table(
            ["Planted", "Kind", "By"],
            [*MEASURES],
            [line for case in cases for line in case.kinds],
        ),
        "## ReLU at equal L0",
        "ReLU's L0 follows from its weight of the L1 norm. Each line is read where a "
        f"straight line between neighbours of the weights {weights} has the L0, with "
        "L0, NMSE and weight on logarithmic axes. It shows the learning rate with the "
        f"lowest NMSE there, of {rates}, as a mean over {n_seeds} "
        f"seed{'s' if n_seeds > 1 else ''} ± their standard deviation; – where no rate "
        "reaches the L0. The peer starts with an encoder a tenth as long as the "
        f"decoder; ours starts at {read_settings('relu').encoder_start:g} times.",
        table(
            ["Planted", "L0", "By"],
            at_l0,
            [line for case in cases for line in case.at_l0],
        ),
        "## Where ours is behind",
        describe_behind(lines),
        "## What the settings bring",
        "Other settings than the preset's. `n_aux: 0` leaves dead latents alone. Where "
        "there are twice as many latents as directions, those that are left over have "
        "nothing to find, so read how many are dead beside how many are found. Each "
        "line has the learning rate that is best for it. Where several do equally "
        "well, chance decides which, and with it the error and the dead.",
        table(
            ["Planted", "Kind", "Settings"],
            [*MEASURES],
            [line for case in cases for line in case.changed],
        ),
    )


def describe_behind(lines: list[Line]) -> str:
    """The lines in which ours is behind the peer's, in sentences."""
    behind = find_behind(lines)
    n_compared = 3 * sum(
        line.by.startswith("dictionary_learning") and len(line.found) > 1
        for line in lines
    )
    where = "".join(f"\n\n- {text}" for text in behind) if behind else ""
    return (
        f"Of {n_compared} comparisons with a line of the peer's in mean cosine, share "
        f"found and NMSE, ours is worse by {SHOWN:g} or more in "
        f"{len(behind) or 'none'}, by Welch's t-test over seeds at {SIGNIFICANCE:.0%}, "
        f"which is not corrected for their number{':' if behind else '.'}{where}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--n_seeds", type=int, default=3, help="seeds of each setting shown"
    )
    n_seeds = parser.parse_args().n_seeds
    peer = peer_version()  # before hours of work, since it may be missing
    cases = [measure_case(planted, range(n_seeds)) for planted in CASES]
    write_text(write_page(cases, n_seeds, peer), OUT)
    print(f"wrote {OUT}")
