"""What will a study cost? Worked out from its configuration before anything runs.

Bytes follow from shapes. Memory follows from what a stage holds at a time, on top of
what its libraries take. Time is operations, bytes and scores divided by the rates in
the configuration's `throughput`. N images, P patches, D width, K prototypes, S latents.
"""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.planning.jobs import GPU_STAGES, Job
from vitproto.study.run import Run
from vitproto.study.run_table import Family, expand_runs, families

Config = Mapping[str, Any]
Number = int | float

N_TRAITS = 312
"""Of CUB-200-2011, which drawn data sets imitate."""
N_THREADS = 8
"""Of a job that has several, as the rules say."""
TRAIN_SHARE = 0.5
"""Of the images of CUB-200-2011 half are for training; so of those that are drawn."""

N_CLASSES, N_DRAWN_CLASSES = 150, 15
"""Of ADE20K, and of scenes that the project draws."""
VALIDATION_SHARE = 0.09
"""Of the images of ADE20K."""
CLASSES_SHOWN = 10
"""By an image of ADE20K, roughly."""
ACTIVE_SHARE = 0.02
"""Of the latents of an autoencoder that limits their number by a penalty, roughly."""
TOWERS = 2
"""Of open_clip's models; that of text is as large as that of images, roughly."""
MASK_S = 0.002
"""Seconds to read a mask and look up what its patches show, measured."""
CPU_OPERATIONS_PER_LOGIT, GPU_OPERATIONS_PER_LOGIT = 2, 400
"""What the class of a pixel takes for each class, counted in operations of products:
measured, and what moving a logit through a GPU's memory takes."""

# What a process takes before it holds any data, measured: Python with pandas; with
# charts or pictures too; with torch; with open_clip, or torch and compiled kernels.
PANDAS, CHARTS, TORCH, KERNELS = 90e6, 170e6, 280e6, 430e6

# Bytes, measured: of an HDF5 file beside its values, in all and for each image; of a
# row of ap.csv, in the file and in memory; of the picture of one image.
HEADER, NAME = 7500, 40
AP_ROW, AP_ROW_READ = 125, 300
PICTURE = 40_000


class Written(NamedTuple):
    """Bytes that a job writes, by the folder that they go to."""

    activations: Number = 0
    """`storage.activations`."""
    checkpoints: Number = 0
    """`storage.checkpoints`."""
    results: Number = 0
    """`results`."""
    scratch: Number = 0
    """Also in `results`, while the job runs."""
    weights: Number = 0
    """`storage.weights`."""
    scores: Number = 0
    """`storage.scores`."""

    def less(self, n_bytes: Number) -> "Written":
        """What is left to write if so many bytes are there, wherever that is."""
        left = [max(0, written - n_bytes) for written in self]
        return Written(*left)._replace(scratch=self.scratch)


@dataclass(frozen=True)
class Cost:
    """What one job takes."""

    seconds: Number
    memory: Number
    """Bytes, at its peak; not those of a GPU."""
    written: Written


@dataclass(frozen=True)
class StageCost:
    """What the jobs of a stage take together."""

    stage: str
    n_jobs: int
    hours: Number
    gpu_hours: Number
    """The part of `hours` with a GPU."""
    written: Number
    """Bytes."""
    memory: Number
    """Bytes, of the largest job."""


def count_images(config: Config, name: str) -> int:
    """How many images does a data set have, as far as the configuration knows?"""
    dataset = config["datasets"][name]
    if "draw" in dataset:
        draw = dataset["draw"]
        if "n_training" in draw:
            return draw["n_training"] + draw["n_validation"]
        return draw["n_species"] * draw["n_images_per_species"]
    return dataset["n_images"]


def wrong_counts(config: Config, lists: Path) -> list[str]:
    """Which data sets are much smaller or larger than the configuration says?

    Args:
        config: the study.
        lists: the folder with the lists of images, as far as they have been made.

    Returns:
        A sentence for each that differs by more than a tenth.
    """
    found = []
    for name, dataset in config["datasets"].items():
        file, planned = lists / f"{name}.images.csv", count_images(config, name)
        if "draw" in dataset or not file.is_file():
            continue
        with file.open(encoding="utf-8", newline="") as rows:
            n_images = sum(1 for _ in csv.reader(rows)) - 1  # without the header
        if abs(n_images - planned) > 0.1 * n_images:
            found.append(
                f"{file} lists {n_images} images, the plan is for {planned}: write "
                f"datasets: {name}: n_images: {n_images}"
            )
    return found


def by_stage(jobs: Iterable[Job], config: Config) -> list[StageCost]:
    """Add up what jobs take, in the order in which their stages come."""
    study = _Study(config)
    costs: dict[str, list[Cost]] = {}
    for job in jobs:
        costs.setdefault(job.stage, []).append(study.estimate(job))
    return [_add_up(stage, of_stage, study) for stage, of_stage in costs.items()]


def written_by(jobs: Iterable[Job], config: Config) -> list[Written]:
    """What does each of some jobs write?"""
    study = _Study(config)
    return [study.estimate(job).written for job in jobs]


def estimator(config: Config) -> Callable[[Job], Cost]:
    """What tells what a job of a study takes."""
    return _Study(config).estimate


def _add_up(stage: str, costs: list[Cost], study: "_Study") -> StageCost:
    hours = sum(cost.seconds for cost in costs) / 3600
    kept = [cost.written._replace(scratch=0) for cost in costs]
    return StageCost(
        stage=stage,
        n_jobs=len(costs),
        hours=hours,
        gpu_hours=hours if stage in GPU_STAGES and study.has_gpu else 0.0,
        written=sum(sum(written) for written in kept),
        memory=max(cost.memory for cost in costs),
    )


class _Study:
    """A study's sizes and rates, and what each of its stages makes of them."""

    def __init__(self, config: Config):
        self._config = config
        self._rates = config["throughput"]
        self._families = families(expand_runs(config["runs"], config["encoders"]))
        self._item = 2 if config["record"]["dtype"] == "float16" else 4
        is_cpu = config["how"]["device"] == "cpu"
        self.has_gpu = not is_cpu and self._rates["gpu_flops"] > 0
        self._flops = self._rates["gpu_flops" if self.has_gpu else "cpu_flops"]

    def estimate(self, job: Job) -> Cost:
        """What does a job take?"""
        w = job.wildcards
        match job.stage:
            case "draw_demo_birds" | "draw_demo_corpus" | "draw_demo_scenes":
                return self._draw(w["dataset"])
            case "list_cub200" | "list_image_folder" | "list_ade20k" | "read_traits":
                return self._list(job.stage, w["dataset"])
            case "fetch_weights":
                return self._fetch(w["encoder"])
            case "record_activations":
                return self._record(w["dataset"], w["encoder"], int(w["n_shards"]))
            case "show_features":
                return self._show(_family(w), Run.parse(w["run"]))
            case "fit_kmeans":
                return self._fit_kmeans(_family(w))
            case "fit_pca":
                return self._fit_pca(_family(w))
            case "fit_sae":
                return self._fit_sae(_family(w))
            case "evaluate_saes":
                return self._evaluate(_family(w))
            case "score_images":
                return self._score(_family(w))
            case "select_prototypes":
                return self._select(_family(w))
            case "fit_random" | "fit_randomtrain" | "fit_gaussian" | "import_sae":
                return self._fit_by_drawing(_family(w))
            case "label_patches":
                return self._label()
            case "train_probes":
                return self._train_probes()
            case "evaluate_probes":
                return self._evaluate_probes()
            case "find_class_directions":
                return self._find_directions(w["encoder"], int(w["layer"]))
            case "find_class_latents":
                return self._find_latents(_family(w), Run.parse(w["run"]))
            case "suppress_latents":
                return self._suppress(_family(w))
            case "show_suppression":
                return self._show_suppression(_family(w))
            case _:
                return self._report()

    # From images to activations ---------------------------------------------------

    def _draw(self, dataset: str) -> Cost:
        draw = self._config["datasets"][dataset]["draw"]
        # A drawing has few colours: as a JPEG, half a byte a pixel at most.
        n_bytes = 0.5 * draw["image_size"] ** 2 * count_images(self._config, dataset)
        return self._cost(0, 0, CHARTS, Written(results=n_bytes))

    def _list(self, stage: str, dataset: str) -> Cost:
        n_bytes = 2 * NAME * count_images(self._config, dataset)
        if stage == "read_traits":
            n_bytes += N_TRAITS * count_images(self._config, dataset)
        memory = PANDAS + 20 * n_bytes
        return self._cost(0, n_bytes, memory, Written(results=n_bytes))

    def _fetch(self, encoder: str) -> Cost:
        e = self._config["encoders"][encoder]
        n_bytes = TOWERS * 4 * 12 * e["width"] ** 2 * e["n_blocks"]
        if e["model"].startswith("timm:"):
            n_bytes /= TOWERS
        if e["checkpoint"] != "hub":
            n_bytes = 0  # the architecture alone
        return self._cost(0, n_bytes, KERNELS, Written(weights=n_bytes))

    def _record(self, dataset: str, encoder: str, n_shards: int) -> Cost:
        e = self._config["encoders"][encoder]
        n_images = math.ceil(count_images(self._config, dataset) / n_shards)
        n_tokens, width = self._n_patches(encoder) + 1, e["width"]
        n_bytes = HEADER + n_images * self._n_bytes_of_image(encoder)
        # A block has 12 D² weights, and compares all tokens with each other.
        n_blocks = max(e["layers"]) + 1
        per_token = 24 * width**2 + 4 * n_tokens * width
        n_operations = n_images * n_tokens * n_blocks * per_token
        n_weights = 12 * width**2 * e["n_blocks"]
        at_once = 2 * self._config["how"]["batch_size"] if self.has_gpu else N_THREADS
        held = n_tokens * width * 4 * len(e["layers"]) + 12 * e["image_size"] ** 2
        memory = KERNELS + 4 * n_weights + at_once * held
        seconds = n_operations / self._flops
        return self._cost(seconds, n_bytes, memory, Written(activations=n_bytes))

    # From activations to prototypes -----------------------------------------------

    def _fit_by_drawing(self, family: Family) -> Cost:
        width = self._width(family)
        n_bytes = [4 * width * k for k in self._ks(family)]
        written = Written(checkpoints=sum(n_bytes) * self._n_weights(family))
        memory = TORCH + 2 * max(n_bytes)
        return self._cost(0, sum(n_bytes), memory, written)

    def _fit_kmeans(self, family: Family) -> Cost:
        cfg, width = self._config["methods"]["kmeans"], self._width(family)
        n_sample, ks = cfg["n_sample"], self._ks(family)
        written = Written(
            checkpoints=sum(4 * width * k for k in ks),
            scratch=n_sample * width * self._item,
        )
        memory = KERNELS + max(4 * width * (max(8192, 10 * k) + 4 * k) for k in ks)
        memory += 24 * n_sample + 3 * 4096 * N_THREADS * width * 4
        twin = family._replace(method="kmeans")
        if family != twin and twin in self._families:  # the centres are there
            memory = TORCH + 8 * width * max(ks)
            return self._cost(0, 0, memory, written._replace(scratch=0))
        n_operations = sum(
            2 * n_sample * width * k * cfg["n_iters"]
            + 2 * (2 + math.log(k)) * k * max(8192, 10 * k) * width
            for k in ks
        )
        n_read = n_sample * width * self._item * (1 + cfg["n_iters"] * len(ks))
        seconds = n_operations / self._rates["cpu_flops"]
        return self._cost(seconds, n_read, memory, written)

    def _fit_pca(self, family: Family) -> Cost:
        width = self._width(family)
        n_patches = self._n_fitted * self._n_patches(family.encoder)
        n_operations = 2 * n_patches * width**2 + 20 * width**3
        block = 16 * N_THREADS * self._n_patches(family.encoder) * width * 4
        memory = TORCH + 3 * block + 6 * 8 * width**2
        written = Written(checkpoints=sum(4 * width * k for k in self._ks(family)))
        n_read = n_patches * width * self._item
        return self._cost(
            n_operations / self._rates["cpu_flops"], n_read, memory, written
        )

    def _fit_sae(self, family: Family) -> Cost:
        cfg = self._config["methods"]["saes"][family.method]
        width, ss = self._width(family), self._ks(family)
        weights = [2 * 4 * width * s for s in ss]
        n_patches = cfg["n_patches"] if cfg["trains"] != "nothing" else 0
        # Five products of patches, width and latents; on a CPU, where only few latents
        # are active, as long as two.
        n_products = 5 if cfg["activation"] == "relu" or self.has_gpu else 2
        n_operations = n_products * 2 * n_patches * width * sum(ss)
        n_read = (n_patches + 2 * cfg["n_scaling"]) * width * self._item
        n_mixed = min(
            cfg["n_mixed"],
            self._n_fitted * self._n_patches(family.encoder),
        )
        # Weights, two moments, and for all runs of a size one set of gradients.
        states = 3 * sum(weights)
        memory = KERNELS + states + sum(2 * 4 * width * s for s in set(ss))
        memory += 2 * n_mixed * width * self._item
        memory += cfg["batch_size"] * (4 * width * 4 + 4 * max(ss))
        # The states before stay until the next are written.
        scratch = 2 * states if n_patches else 0
        written = Written(checkpoints=sum(weights), scratch=scratch)
        return self._cost(n_operations / self._flops, n_read, memory, written)

    def _evaluate(self, family: Family) -> Cost:
        held_out = self._config["held_out"]
        width, ss = self._width(family), self._ks(family)
        n_patches = self._n_patches(family.encoder)
        n_held_out = self._n_fitted / held_out["every"] * n_patches
        n_correlated = min(held_out["n_correlated"], max(ss))
        n_operations = n_held_out * (
            4 * width * sum(ss) + 2 * len(ss) * n_correlated**2
        )
        n_operations += sum(width * s**2 for s in ss)
        memory = KERNELS + sum(3 * 4 * width * s for s in ss) + 4 * width * max(ss)
        group = 4 * n_patches * (4 * 2 * max(ss) + 8 * 4 * width + 8 * n_correlated)
        memory += group * (1 if self.has_gpu else N_THREADS)
        written = Written(results=sum(16 * s for s in ss))
        n_read = n_held_out * width * self._item
        return self._cost(n_operations / self._flops, n_read, memory, written)

    # From prototypes to the report ------------------------------------------------

    def _score(self, family: Family) -> Cost:
        n_images, width, ks = self._n_images, self._width(family), self._ks(family)
        n_patches = self._n_patches(family.encoder)
        n_operations = 2 * n_images * n_patches * width * sum(ks)
        weights = 4 * width * sum(ks)
        n_copies = self._n_weights(family) + 1 if self._is_sae(family) else 1
        block = 16 * N_THREADS * n_patches * width * 4
        tiles = N_THREADS * 8 * n_patches * 4 * min(1024, max(ks))
        memory = TORCH + n_copies * weights + 3 * block + tiles
        written = Written(scores=HEADER + n_images * (NAME + 4 * sum(ks)))
        n_bytes = n_images * n_patches * width * self._item + sum(written)
        return self._cost(n_operations / self._flops, n_bytes, memory, written)

    def _select(self, family: Family) -> Cost:
        n_images, ks = self._n_images, self._ks(family)
        n_ranked = sum(self._subsets) * sum(ks)
        n_rows = len(ks) * len(self._subsets) * N_TRAITS
        # Each trait may choose another prototype on each subset.
        n_chosen = [min(k, N_TRAITS * len(self._subsets)) for k in ks]
        chosen = HEADER + n_images * NAME + sum(n_chosen) * (4 * n_images + 8)
        tables = 8 * N_TRAITS * max(ks) + 2 * 4 * n_images * max(ks)
        tables += 4 * n_images * max(n_chosen)
        memory = TORCH + tables + AP_ROW_READ * n_rows + N_TRAITS * n_images
        seconds = n_ranked / self._rates["ranked_scores"]
        n_read = 4 * n_images * sum(ks)
        written = Written(results=AP_ROW * n_rows + chosen)
        return self._cost(seconds, n_read + chosen, memory, written)

    def _show(self, family: Family, run: Run) -> Cost:
        cfg, width, k = self._config["features"], self._width(family), run.n_prototypes
        n_images, n_patches = self._n_images, self._n_patches(family.encoder)
        n_shown = min(k, cfg["n_in_range"] + len(cfg["listed"]) + cfg["n_sampled"])
        n_operations = 2 * n_images * n_patches * width * k
        at_once = 1 if self.has_gpu else N_THREADS
        memory = KERNELS + (self._n_weights(family) + 1) * 4 * width * k
        memory += at_once * 3 * n_patches * k * 4 + 12 * k * cfg["n_images"]
        n_read = n_images * n_patches * width * self._item
        written = Written(results=n_shown * cfg["n_images"] * PICTURE)
        return self._cost(n_operations / self._flops, n_read, memory, written)

    def _report(self) -> Cost:
        if "selection" not in self._config:
            return self._cost(0, 0, CHARTS, Written(results=2e6))
        n_runs = sum(map(len, self._families.values()))
        n_rows = N_TRAITS * n_runs * len(self._subsets)
        written = Written(results=2e6)  # a chart or a page
        return self._cost(0, AP_ROW * n_rows, CHARTS + AP_ROW_READ * n_rows, written)

    # From masks to what suppression does --------------------------------------------

    def _label(self) -> Cost:
        """Masks of validation images are kept, compressed to a twentieth."""
        n_patches, n_test = self._n_segmented_patches, self._n_test
        window = 2 * self._segmenter["image_size"] ** 2
        n_bytes = HEADER + self._n_images * (NAME + 6 * n_patches)
        n_bytes += n_test * window / 20
        memory = KERNELS + 12 * self._n_images * n_patches + n_test * window
        seconds = self._n_images * MASK_S / N_THREADS
        return self._cost(seconds, n_bytes, memory, Written(results=n_bytes))

    def _train_probes(self) -> Cost:
        cfg, width = self._segmentation["probes"], self._segmenter["width"]
        n_probes = len(cfg["learning_rates"]) * len(cfg["weight_decays"])
        n_images = self._n_images - self._n_test
        n_patches = n_images * self._n_segmented_patches
        n_operations = (
            4 * n_patches * width * self._n_classes * n_probes * cfg["n_epochs"]
        )
        weights = 4 * width * self._n_classes * n_probes
        memory = KERNELS + 5 * weights + 6 * self._n_images * self._n_segmented_patches
        memory += 2 * min(cfg["n_mixed"], n_patches) * width * self._item
        memory += 4 * cfg["n_scaling"] * width
        memory += cfg["batch_size"] * 4 * (4 * width + 4 * self._n_classes * N_THREADS)
        n_read = (cfg["n_epochs"] * n_patches + 2 * cfg["n_scaling"]) * width
        seconds = n_operations / self._flops
        written = Written(results=weights)
        return self._cost(seconds, n_read * self._item, memory, written)

    def _evaluate_probes(self) -> Cost:
        cfg, width = self._segmentation["probes"], self._segmenter["width"]
        n_probes = len(cfg["learning_rates"]) * len(cfg["weight_decays"])
        n_patches = self._n_test * self._n_segmented_patches
        n_operations = 2 * n_patches * width * self._n_classes * n_probes
        seconds = n_operations / self._flops + self._pixel_seconds(n_probes)
        memory = self._segmented_memory + 8 * width * self._n_classes * n_probes
        n_read = n_patches * width * self._item
        written = Written(results=4 * width * self._n_classes)
        return self._cost(seconds, n_read, memory, written)

    def _find_directions(self, encoder: str, layer: int) -> Cost:
        width = self._config["encoders"][encoder]["width"]
        written = Written(results=4 * width * self._n_classes)
        if layer == self._segmentation["layer"]:
            return self._cost(0, sum(written), self._segmented_memory, written)
        n_images = self._segmentation["n_gradient_images"]
        # The encoder once, and for each class that an image shows there and back.
        n_operations = n_images * (1 + 3 * CLASSES_SHOWN) * self._encoding
        seconds = n_operations / self._flops
        return self._cost(seconds, 0, self._tail_memory, written)

    def _find_latents(self, family: Family, run: Run) -> Cost:
        cfg, width, s = (
            self._segmentation["ranking"],
            self._width(family),
            run.n_prototypes,
        )
        n_patches = (self._n_images - self._n_test) * self._n_segmented_patches
        n_ranked = min(cfg["n_patches"], n_patches)
        is_topk = run.sparsity is not None and run.sparsity >= 1
        n_active = run.sparsity if is_topk else ACTIVE_SHARE * s
        seconds = 2 * n_patches * width * s / self._flops
        seconds += n_ranked * n_active / self._rates["ranked_scores"]
        memory = self._segmented_memory + 3 * 4 * width * s + 16 * n_ranked * n_active
        memory += 3 * N_THREADS * self._n_segmented_patches * s * 4
        memory += 3 * 8 * self._n_classes * s
        written = Written(results=60 * s + 200 * self._n_classes * 2 * cfg["n_ranked"])
        return self._cost(seconds, n_patches * width * self._item, memory, written)

    def _suppress(self, family: Family) -> Cost:
        cfg = self._segmentation["suppression"]
        # The latents, the class's direction, and three controls that are drawn.
        n_edits = self._n_classes * len(cfg["doses"]) * (2 + 3 * cfg["n_draws"])
        seconds = self._pixel_seconds(n_edits)
        memory = self._segmented_memory + 2 * 4 * self._width(family) * max(
            self._ks(family)
        )
        memory += 4 * self._n_test * self._n_segmented_patches * self._n_classes
        memory += 8 * self._n_test * self._n_classes * n_edits / self._n_classes
        if family.layer != self._segmentation["layer"]:
            n_left = self._segmentation["layer"] - family.layer
            share = n_left / self._segmenter["n_blocks"]
            seconds += n_edits * self._n_test * share * self._encoding / self._flops
            memory += self._tail_memory
        n_read = self._n_test * self._n_segmented_patches * self._segmenter["width"]
        written = Written(results=400 * n_edits / cfg["n_draws"])
        return self._cost(seconds, n_read * self._item, memory, written)

    def _show_suppression(self, family: Family) -> Cost:
        cfg = self._segmentation["pictures"]
        n_shown = len(cfg["classes"]) * cfg["n_images"]
        memory = self._segmented_memory + 8 * self._width(family) * max(
            self._ks(family)
        )
        if family.layer != self._segmentation["layer"]:
            memory += self._tail_memory
        return self._cost(0, 0, memory, Written(results=5 * PICTURE * n_shown))

    def _pixel_seconds(self, n_edits: Number) -> Number:
        """To find the class of every pixel of the validation images so many times."""
        n_pixels = self._n_test * self._segmenter["image_size"] ** 2
        per_logit = (
            GPU_OPERATIONS_PER_LOGIT if self.has_gpu else CPU_OPERATIONS_PER_LOGIT
        )
        n_logits = n_edits * n_pixels * self._n_classes
        return n_logits * per_logit / self._flops

    @property
    def _encoding(self) -> Number:
        """Operations of the whole encoder on one image."""
        e = self._segmenter
        n_tokens = self._n_segmented_patches + 1
        per_token = 24 * e["width"] ** 2 + 4 * n_tokens * e["width"]
        return n_tokens * e["n_blocks"] * per_token

    @property
    def _tail_memory(self) -> Number:
        """Of a job that runs an encoder on edited tokens."""
        e = self._segmenter
        weights = 12 * 4 * e["width"] ** 2 * e["n_blocks"]
        n_tokens = self._n_segmented_patches + 1
        return KERNELS + weights + 64 * n_tokens * e["width"] * 4 * 8

    @property
    def _segmented_memory(self) -> Number:
        """Of a job that holds all labels, and the masks of validation images."""
        n_labels = self._n_images * self._n_segmented_patches
        return (
            KERNELS
            + 6 * n_labels
            + 2 * self._n_test * (self._segmenter["image_size"] ** 2)
        )

    @property
    def _segmentation(self) -> Mapping[str, Any]:
        return self._config["segmentation"]

    @property
    def _segmenter(self) -> Mapping[str, Any]:
        """The encoder that segments."""
        return self._config["encoders"][self._segmentation["encoder"]]

    @property
    def _n_segmented_patches(self) -> int:
        return self._n_patches(self._segmentation["encoder"])

    @property
    def _n_classes(self) -> int:
        is_drawn = "draw" in self._config["datasets"][self._config["dataset"]]
        return N_DRAWN_CLASSES if is_drawn else N_CLASSES

    @property
    def _n_test(self) -> int:
        """Validation images."""
        draw = self._config["datasets"][self._config["dataset"]].get("draw", {})
        return draw.get("n_validation", round(VALIDATION_SHARE * self._n_images))

    # Sizes ------------------------------------------------------------------------

    def _cost(
        self, seconds: Number, n_bytes: Number, memory: Number, written: Written
    ) -> Cost:
        """Of a job that also reads or writes so many bytes, and has to start."""
        rates = self._rates
        seconds += rates["job_s"] + n_bytes / rates["disk_bytes"]
        return Cost(seconds, memory, written)

    def _ks(self, family: Family) -> list[int]:
        return [run.n_prototypes for run in self._families[family]]

    def _width(self, family: Family) -> int:
        return self._config["encoders"][family.encoder]["width"]

    def _n_patches(self, encoder: str) -> int:
        e = self._config["encoders"][encoder]
        return (e["image_size"] // e["patch_size"]) ** 2

    def _n_bytes_of_image(self, encoder: str) -> Number:
        """On disk, of all layers, with a CLS token, which some encoders lack."""
        e = self._config["encoders"][encoder]
        n_values = (self._n_patches(encoder) + 1) * e["width"] * len(e["layers"])
        return NAME + n_values * self._item

    @property
    def _n_images(self) -> int:
        """Of the evaluated data set."""
        return count_images(self._config, self._config["dataset"])

    @property
    def _n_fitted(self) -> int:
        """Images of the data set that prototypes are fitted to."""
        return count_images(self._config, self._config["fit_dataset"])

    def _is_sae(self, family: Family) -> bool:
        methods = self._config["methods"]
        return family.method in methods["saes"] or family.method in methods["imported"]

    def _n_weights(self, family: Family) -> int:
        """How many weights a prototype has for each dimension."""
        return 2 if self._is_sae(family) else 1

    @property
    def _subsets(self) -> list[Number]:
        """The training images of each subset on which prototypes are chosen."""
        cfg, n_all = self._config["selection"], TRAIN_SHARE * self._n_images
        sizes = [
            size
            for n in cfg["n_train"]
            if n != "all"
            for size in [n] * len(cfg["seeds"])
        ]
        return [*sizes, n_all] if "all" in cfg["n_train"] else sizes


def _family(wildcards: Mapping[str, str]) -> Family:
    return Family(wildcards["encoder"], int(wildcards["layer"]), wildcards["method"])
