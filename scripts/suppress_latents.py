"""Suppress the latents of each class, and measure what a linear probe still finds."""

import logging
import time
from pathlib import Path

import torch

from vitproto.core.csv_file import write_csv
from vitproto.core.device import pick_device
from vitproto.launch.cli import run
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.suppression.autoencoders import FittedAutoencoder
from vitproto.segmentation.suppression.class_directions import directions_for
from vitproto.segmentation.suppression.edits import SuppressionSettings
from vitproto.segmentation.suppression.inputs import SuppressionInputs, open_inputs
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder
from vitproto.segmentation.suppression.suppress import suppress
from vitproto.segmentation.suppression.suppression_tables import tabulate


def suppress_latents(
    directions: Path,
    suppression: Path,
    changes: Path,
    *,
    device: str,
    inputs: SuppressionInputs,
    labelled: LabelledImages,
    fitted: FittedAutoencoder,
    probed: ProbedEncoder,
    cfg: SuppressionSettings,
) -> None:
    """Suppress the latents of each class, and measure what a linear probe still finds.

    At the probe's own layer this needs only recorded activations. At an earlier layer
    the encoder runs on the test images, for every class and edit.

    Args:
        directions: the safetensors file with the direction of each class.
        suppression: the CSV file to write, with a row for each class, edit and dose.
        changes: the CSV file to write, with the classes that patches change to.
        device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        inputs: what is suppressed, and who looks at it.
        labelled: the images; the test images are measured.
        fitted: the autoencoder; repeated in each row.
        probed: the probe's layer, repeated in each row, and the encoder.
        cfg: to what latents are set, and against which controls.
    """
    began = time.perf_counter()
    torch_device = pick_device(device)
    ready = open_inputs(inputs, labelled, fitted, probed, torch_device)
    acts, labels, chosen = ready.acts, ready.labels, ready.chosen
    shard, n_classes = inputs.shards[0], labels.n_classes
    directions_CD = directions_for(directions, acts, shard, n_classes)
    results = suppress(
        *(acts, labels, ready.autoencoder, ready.activity, chosen),
        torch.from_numpy(directions_CD),
        *(ready.logits, torch_device, cfg),
    )
    place = {
        **{"encoder": fitted.encoder, "probe_layer": probed.probe_layer},
        **{"layer": fitted.layer, "method": fitted.method, "run": fitted.run},
    }
    n_images = len(labels.i_test_M)
    tables = tabulate(results, n_images, labels.classes, place, cfg)
    write_csv(suppression, tables.effects)
    write_csv(changes, tables.changes)
    logging.info(
        "%s: %d of %d classes measured on %d images, edited at layer %d and probed at "
        "layer %d, in %.1f s",
        *(suppression, tables.n_measured, len(chosen), n_images),
        *(fitted.layer, probed.probe_layer, time.perf_counter() - began),
    )


if __name__ == "__main__":
    run(suppress_latents)
