"""Find the latents of an autoencoder that detect each class of patches."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.suppression.autoencoders import load_autoencoder
from vitproto.segmentation.suppression.class_directions import (
    check_found_for,
    load_directions,
)
from vitproto.segmentation.suppression.class_latents import (
    RankingSettings,
    parse_picked,
    rank,
)
from vitproto.segmentation.suppression.sparse_latents import gather_latents
from vitproto.study.family import FittedFamily


def find_class_latents(
    shards: tuple[Path, ...],
    patch_labels: Path,
    directions: Path,
    checkpoints: Path,
    class_latents: Path,
    activity: Path,
    *,
    fit_dataset: str,
    encoder: str,
    layer: int,
    method: str,
    run: str,
    picked: tuple[str, ...],
    device: str,
    cfg: RankingSettings,
) -> None:
    """Find, for each class, the latents that detect its training patches best.

    Args:
        shards: all shards of the activations that the autoencoder takes.
        patch_labels: the HDF5 file with the labels of their patches.
        directions: the safetensors file with the direction of each class at this
            layer.
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        class_latents: the CSV file to write, with a row per class, criterion and rank.
        activity: the CSV file to write, with a row per latent: on how many patches of
            training images it is active, and its largest value there.
        fit_dataset: the data set that the autoencoder was fitted to.
        encoder: what recorded the activations.
        layer: which block, counted from 0.
        method: how the autoencoder was made.
        run: which run of the family, such as k4096-seed0.
        picked: latents chosen by hand to be suppressed, by label, such as
            29:8541,5818; other classes take the best.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    family = FittedFamily(fit_dataset, encoder, layer, method)
    autoencoder = load_autoencoder(checkpoints, family, run, acts, shards[0])
    n_latents = autoencoder.n_prototypes
    by_hand = parse_picked(picked, labels.n_classes, n_latents)
    check_found_for(directions, acts, shards[0])
    class_directions_CD = load_directions(directions, labels.n_classes, acts.width)
    found = gather_latents(
        acts,
        autoencoder,
        labels,
        min_purity=cfg.min_purity,
        n_patches=cfg.n_patches,
        seed=cfg.seed,
        device=torch_device,
    )
    table = rank(
        found,
        labels.classes,
        autoencoder.W_dec_SD.numpy(),
        class_directions_CD,
        by_hand,
        cfg,
    )
    per_latent = {
        "latent": np.arange(n_latents),
        "n_active": found.n_active_S,
        "largest": found.largest_S,
    }
    for path, rows in ((activity, pd.DataFrame(per_latent)), (class_latents, table)):
        with whole_file(path) as partial:
            rows.to_csv(partial, index=False, lineterminator="\n")
    n_with = table.loc[table["is_chosen"], "label"].nunique()
    logging.info(
        "%s: latents for %d of %d classes, ranked on %s patches; %d of %d latents are "
        "active",
        *(class_latents, n_with, labels.n_classes, f"{found.n_drawn_C.sum():,}"),
        *((found.n_active_S > 0).sum(), n_latents),
    )


if __name__ == "__main__":
    run(find_class_latents)
