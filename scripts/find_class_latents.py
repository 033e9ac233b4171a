"""Find the latents of an autoencoder that detect each class of patches."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.csv_file import write_csv
from vitproto.core.device import pick_device
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.suppression.autoencoders import (
    FittedAutoencoder,
    load_autoencoder,
)
from vitproto.segmentation.suppression.class_directions import directions_for
from vitproto.segmentation.suppression.class_latents import (
    RankingSettings,
    parse_picked,
    rank,
)
from vitproto.segmentation.suppression.latent_tables import to_activity
from vitproto.segmentation.suppression.sparse_latents import gather_latents


def find_class_latents(
    shards: tuple[Path, ...],
    patch_labels: Path,
    directions: Path,
    class_latents: Path,
    activity: Path,
    *,
    picked: tuple[str, ...],
    device: str,
    fitted: FittedAutoencoder,
    cfg: RankingSettings,
) -> None:
    """Find, for each class, the latents that detect its training patches best.

    Args:
        shards: All shards of the activations that the autoencoder reads.
        patch_labels: The HDF5 file with the labels of their patches.
        directions: The safetensors file with the direction of each class.
        class_latents: The CSV file to write, with a row per class, criterion and rank.
        activity: The CSV file to write, with a row per latent: the number of patches of
            training images on which it is active, and its largest value there.
        picked: Latents to suppress, chosen by hand, by label, such as 29:8541,5818;
            other classes use the best ones.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        fitted: The autoencoder.
        cfg: How latents are ranked.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, fitted.layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    autoencoder = load_autoencoder(fitted, acts, shards[0])
    by_hand = parse_picked(picked, labels.n_classes, autoencoder.n_prototypes)
    directions_CD = directions_for(directions, acts, shards[0], labels.n_classes)
    drawn = {"min_purity": cfg.min_purity, "n_patches": cfg.n_patches, "seed": cfg.seed}
    latents = gather_latents(acts, autoencoder, labels, **drawn, device=torch_device)
    rows_SD = autoencoder.W_dec_SD.numpy()
    table = rank(latents, labels.classes, rows_SD, directions_CD, by_hand, cfg)
    write_csv(activity, to_activity(latents))
    write_csv(class_latents, table)
    n_with = table.loc[table["is_chosen"], "label"].nunique()
    n_active_S = latents.n_active_S
    logging.info(
        "%s: latents for %d of %d classes, ranked on %s patches; %d of %d latents are "
        "active",
        *(class_latents, n_with, labels.n_classes, f"{latents.n_drawn_C.sum():,}"),
        *((n_active_S > 0).sum(), len(n_active_S)),
    )


if __name__ == "__main__":
    run(find_class_latents)
