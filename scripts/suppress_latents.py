"""Suppress the latents of each class, and count what a probe still finds."""

import dataclasses
import logging
import time
from pathlib import Path

import torch

from vitproto.core.csv_file import write_csv
from vitproto.core.device import pick_device
from vitproto.core.unfinished import Unfinished
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.suppression.autoencoders import FittedAutoencoder
from vitproto.segmentation.suppression.class_directions import directions_for
from vitproto.segmentation.suppression.edits import SuppressionSettings
from vitproto.segmentation.suppression.inputs import SuppressionInputs, open_inputs
from vitproto.segmentation.suppression.kept_classes import KeptClasses
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder
from vitproto.segmentation.suppression.recorded_counts import record_counts
from vitproto.segmentation.suppression.suppress import suppress


def suppress_latents(
    directions: Path,
    counts: Path,
    changes: Path,
    *,
    device: str,
    inputs: SuppressionInputs,
    labelled: LabelledImages,
    fitted: FittedAutoencoder,
    probed: ProbedEncoder,
    cfg: SuppressionSettings,
) -> None:
    """Suppress the latents of each class, and count what a probe still finds.

    At the probe's own layer this needs only recorded activations. At an earlier layer
    the encoder runs on the test images, for every class and edit. It resumes by class.

    Args:
        directions: The safetensors file with the direction of each class.
        counts: The HDF5 file to write, with pixel counts of each edit and test image.
        changes: The CSV file to write, with the classes that patches change to.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        inputs: The files of the autoencoder, its latents, the probe and the labels.
        labelled: The images; the test images are measured.
        fitted: The autoencoder; named in both files.
        probed: The probe's layer, named in both files, and the encoder.
        cfg: To what latents are set, and against which controls.
    """
    began = time.perf_counter()
    torch_device = pick_device(device)
    ready = open_inputs(inputs, labelled, fitted, probed, torch_device)
    acts, labels, chosen = ready.acts, ready.labels, ready.chosen
    directions_CD = directions_for(directions, acts, inputs.shards[0], labels.n_classes)
    place = probed.place_of(fitted)
    made = {**dataclasses.asdict(cfg), "code": fingerprint("suppress_latents")}
    read = ready.identify(inputs, labelled, fitted, directions)
    unfinished = Unfinished(counts, place | made | read | {"device": torch_device.type})
    results = suppress(
        *(acts, labels, ready.autoencoder, ready.activity, chosen),
        torch.from_numpy(directions_CD),
        *(ready.logits, torch_device, cfg, KeptClasses(unfinished)),
    )
    table, n_measured = record_counts(counts, results, labels, place, made, cfg)
    write_csv(changes, table)
    unfinished.forget()
    logging.info(
        "%s: %d of %d classes measured on %d images, edited at layer %d and probed at "
        "layer %d, in %.1f s",
        *(counts, n_measured, len(chosen), len(labels.i_test_M)),
        *(fitted.layer, probed.probe_layer, time.perf_counter() - began),
    )


if __name__ == "__main__":
    run(suppress_latents)
