"""Suppress the latents of each class and measure what a linear probe still sees."""

import logging
import time
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from vitproto.activations.encoder import EncoderSettings
from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.data.data_root import check_root
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import image_files, read_patch_labels
from vitproto.segmentation.probes.linear_probe import check_trained_on, load_probe
from vitproto.segmentation.suppression.autoencoders import load_autoencoder
from vitproto.segmentation.suppression.class_directions import (
    check_found_for,
    load_directions,
)
from vitproto.segmentation.suppression.edited_logits import (
    AtEarlierLayer,
    AtProbeLayer,
    EditedLogits,
)
from vitproto.segmentation.suppression.edits import SuppressionSettings
from vitproto.segmentation.suppression.effects import (
    CHANGE_COLUMNS,
    change_rows,
    class_rows,
    resample,
)
from vitproto.segmentation.suppression.encoder_tail import load_tail
from vitproto.segmentation.suppression.latent_tables import read_activity, read_chosen
from vitproto.segmentation.suppression.suppress import suppress
from vitproto.study.family import FittedFamily


def suppress_latents(
    root: Path,
    images: Path,
    shards: tuple[Path, ...],
    patch_labels: Path,
    probe: Path,
    checkpoints: Path,
    class_latents: Path,
    activity: Path,
    directions: Path,
    suppression: Path,
    changes: Path,
    *,
    dataset: str,
    fit_dataset: str,
    encoder: str,
    probe_layer: int,
    layer: int,
    method: str,
    run: str,
    compute_dtype: Literal["float32", "bfloat16"],
    device: str,
    encoder_cfg: EncoderSettings,
    cfg: SuppressionSettings,
) -> None:
    """Suppress the latents of each class and measure what a linear probe still sees.

    At the probe's own layer this takes recorded activations alone. At an earlier one
    the encoder runs on the test images, for every class and edit.

    Args:
        root: the folder of the data set.
        images: its image list.
        shards: all shards of its activations, of both layers.
        patch_labels: the HDF5 file with labels of patches and masks of test images.
        probe: the safetensors file with the linear probe.
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        class_latents: the CSV file with the chosen latents of each class.
        activity: the CSV file with what each latent did in training.
        directions: the safetensors file with the direction of each class.
        suppression: the CSV file to write, with a row for each class, edit and dose.
        changes: the CSV file to write: what the patches of each class change to.
        dataset: its name in the configuration.
        fit_dataset: the data set that the autoencoder was fitted to.
        encoder: what recorded the activations; repeated in each row.
        probe_layer: which block the probe reads, counted from 0; repeated in each row.
        layer: which block is edited, counted from 0; repeated in each row.
        method: how the autoencoder was made; repeated in each row.
        run: which run of the family; repeated in each row.
        compute_dtype: how a GPU computes the encoder, at an earlier layer.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    began = time.perf_counter()
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    fitted = load_probe(probe)
    probed = Activations.open(shards, probe_layer)
    fitted.check(probe, probed, labels.n_classes)
    check_trained_on(probe, probed, shards[0])
    on_device = fitted.to(torch_device)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    autoencoder = load_autoencoder(checkpoints, family, run, acts, shards[0])
    check_found_for(directions, acts, shards[0])
    n_latents = autoencoder.n_prototypes
    logits: EditedLogits = AtProbeLayer(on_device)
    if layer != probe_layer:
        check_root(root, dataset)
        files = image_files(labels, patch_labels, root, images)
        tail = load_tail(
            *(encoder_cfg, compute_dtype, layer, probe_layer),
            *(acts, shards[0], torch_device),
        )
        paths = [files[i] for i in labels.i_test_M]
        logits = AtEarlierLayer(tail, on_device, paths)
    chosen = read_chosen(class_latents, labels.classes, n_latents)
    found = suppress(
        *(acts, labels, autoencoder, read_activity(activity, n_latents), chosen),
        torch.from_numpy(load_directions(directions, labels.n_classes, acts.width)),
        *(logits, torch_device, cfg),
    )
    weights_RM = resample(len(labels.i_test_M), cfg)
    rows, changed = [], []
    for before, one, counts in found:
        rows += class_rows(one, before, counts, weights_RM, cfg.doses)
        if counts is not None:
            changed += change_rows(one, counts, cfg.doses, labels.classes)
    place = {
        "encoder": encoder,
        "probe_layer": probe_layer,
        "layer": layer,
        "method": method,
        "run": run,
    }
    tables = {
        suppression: pd.DataFrame([place | row for row in rows]),
        changes: pd.DataFrame(
            [place | row for row in changed], columns=[*place, *CHANGE_COLUMNS]
        ),
    }
    for path, table in tables.items():
        with whole_file(path) as partial:
            table.to_csv(partial, index=False, lineterminator="\n")
    n_measured = len({row["label"] for row in rows if row["loss"] is not None})
    logging.info(
        "%s: %d of %d classes measured on %d images, edited at layer %d and probed at "
        "layer %d, in %.1f s",
        *(
            suppression,
            n_measured,
            len(chosen),
            len(labels.i_test_M),
            layer,
            probe_layer,
        ),
        time.perf_counter() - began,
    )


if __name__ == "__main__":
    run(suppress_latents)
