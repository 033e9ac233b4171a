"""Find the direction at a layer along which a probe's logit of each class rises."""

import logging
from pathlib import Path

import numpy as np

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.probes.linear_probe import load_probe, trained_on
from vitproto.segmentation.suppression.class_directions import (
    probe_directions,
    save_directions,
)
from vitproto.segmentation.suppression.gradient_directions import (
    directions_before_probe,
)
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder


def find_class_directions(
    probe: Path,
    directions: Path,
    *,
    layer: int,
    n_gradient_images: int,
    device: str,
    labelled: LabelledImages,
    probed: ProbedEncoder,
) -> None:
    """Write the direction at `layer` along which each class's logit rises.

    At the probe's own layer these are the probe's weights minus their mean, and neither
    images nor encoder are read. At an earlier layer they are mean gradients through
    the encoder's blocks in between. A class without patches in the training images
    then has none, but NaN.

    Args:
        probe: The safetensors file of the probe.
        directions: The safetensors file to write.
        layer: The block of the directions, from 0.
        n_gradient_images: Largest number of training images of a class whose gradients
            are averaged.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        labelled: The images whose gradients are averaged.
        probed: The probe's layer, and the encoder.
    """
    probe_layer = probed.probe_layer
    probed.check_reached_from(layer)
    if n_gradient_images < 1:
        raise ValueError(f"n_gradient_images is {n_gradient_images}: write 1 or more")
    head, made_with = load_probe(probe), trained_on(probe)
    check_same_encoder(made_with, MadeWith("the configuration", {}, probe_layer))
    if layer == probe_layer:
        directions_CD = probe_directions(head)
    else:
        labels = read_patch_labels(labelled.patch_labels)
        directions_CD = directions_before_probe(
            *(head, probe, layer, probed, labelled, labels, n_gradient_images, device)
        )
    settings = {
        "layer": layer,
        "found_for": made_with.attributes,
        "probe_layer": probe_layer,
        "n_gradient_images": n_gradient_images,
        "code": fingerprint("find_class_directions"),
    }
    save_directions(directions, directions_CD, settings)
    n_found = int(np.isfinite(directions_CD).all(axis=1).sum())
    logging.info(
        "%s: directions of %d of %d classes", directions, n_found, head.n_classes
    )


if __name__ == "__main__":
    run(find_class_directions)
