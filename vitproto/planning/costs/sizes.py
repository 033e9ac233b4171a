"""Sizes and rates of a study that the costs of several stages share.

Bytes follow from shapes. N images, P patches, D width, K prototypes, S latents.
"""

from collections.abc import Mapping
from typing import Any

from vitproto.planning.costs.job import Cost, Number, Written
from vitproto.study.family import Family
from vitproto.study.imported import is_imported_sae
from vitproto.study.run import Run
from vitproto.study.run_table import expand_runs, families

Config = Mapping[str, Any]

# What a process takes before it holds any data, measured: Python with pandas; with
# charts or pictures too; with torch; with open_clip, or torch and compiled kernels.
PANDAS, CHARTS, TORCH, KERNELS = 90e6, 170e6, 280e6, 430e6

# Bytes, measured: of an HDF5 file beside its values, in all and for each image; of the
# checksum of a patch; of a row of ap.csv, in the file and in memory; of the picture and
# of the thumbnail of one image.
HEADER, NAME, CHECKSUM = 4100, 40, 4
AP_ROW, AP_ROW_READ = 125, 300
PICTURE, THUMBNAIL = 40_000, 8_000

N_TRAITS = 312
"""The traits of CUB-200-2011, which drawn data sets imitate."""
TRAIN_SHARE = 0.5
"""The share of training images in CUB-200-2011, and in data sets that are drawn."""


def count_images(config: Config, name: str) -> int:
    """The number of images in a data set, as the configuration says."""
    dataset = config["datasets"][name]
    if "draw" in dataset:
        draw = dataset["draw"]
        if "n_training" in draw:
            return draw["n_training"] + draw["n_validation"]
        return draw["n_species"] * draw["n_images_per_species"]
    return dataset["n_images"]


class StudySizes:
    """The sizes and rates of one study."""

    def __init__(self, config: Config):
        self.config = config
        self.rates = config["throughput"]
        self.families = families(expand_runs(config["runs"], config["encoders"]))
        self.item = 2 if config["record"]["dtype"] == "float16" else 4
        """Bytes of a recorded value."""
        is_cpu = config["how"]["device"] == "cpu"
        self.has_gpu = not is_cpu and self.rates["gpu_flops"] > 0
        self.flops = self.rates["gpu_flops" if self.has_gpu else "cpu_flops"]
        """Operations a second where stages that can use a GPU run."""

    def cost(
        self, seconds: Number, n_bytes: Number, memory: Number, written: Written
    ) -> Cost:
        """The cost of a job that computes, starts, and reads or writes files.

        Args:
            seconds: what its computation takes.
            n_bytes: what it reads or writes.
            memory: its peak, in bytes.
            written: the files that it writes, by folder.
        """
        seconds += self.rates["job_s"] + n_bytes / self.rates["disk_bytes"]
        return Cost(seconds, memory, written)

    def ks(self, family: Family) -> list[int]:
        """The number of prototypes of each run of a family."""
        return [run.n_prototypes for run in self.families[family]]

    def configurations(self, family: Family) -> list[Run]:
        """One run of each number of prototypes and setting: the first seed's."""
        first: dict[tuple, Run] = {}
        for run in self.families[family]:
            key = run.n_prototypes, run.learning_rate, run.sparsity
            first.setdefault(key, run)
        return list(first.values())

    def width(self, family: Family) -> int:
        return self.config["encoders"][family.encoder]["width"]

    def n_patches(self, encoder: str) -> int:
        """Patches of an image."""
        e = self.config["encoders"][encoder]
        return (e["image_size"] // e["patch_size"]) ** 2

    def n_bytes_of_image(self, encoder: str) -> Number:
        """An image's activations on disk: all layers, with CLS and checksums."""
        e = self.config["encoders"][encoder]
        n_patches = self.n_patches(encoder)
        n_bytes = (n_patches + 1) * e["width"] * self.item + CHECKSUM * n_patches
        return NAME + n_bytes * len(e["layers"])

    @property
    def n_images(self) -> int:
        """Images of the evaluated data set."""
        return count_images(self.config, self.config["dataset"])

    @property
    def n_fitted(self) -> int:
        """Images of the data set that prototypes are fitted to."""
        return count_images(self.config, self.config["fit_dataset"])

    def is_sae(self, family: Family) -> bool:
        is_trained = family.method in self.config["methods"]["saes"]
        return is_trained or is_imported_sae(self.config, family.method)

    def n_weights(self, family: Family) -> int:
        """Weights that a prototype has for each dimension."""
        return 2 if self.is_sae(family) else 1

    @property
    def subsets(self) -> list[Number]:
        """The number of images in each subset that prototypes are chosen on."""
        cfg, n_all = self.config["selection"], TRAIN_SHARE * self.n_images
        sizes = [
            size
            for n in cfg["n_train"]
            if n != "all"
            for size in [n] * len(cfg["seeds"])
        ]
        return [*sizes, n_all] if "all" in cfg["n_train"] else sizes
