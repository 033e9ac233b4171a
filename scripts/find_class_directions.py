"""Find the direction at a layer along which a probe's logit of each class rises."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.core.device import pick_device
from vitproto.data.data_root import check_root
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import image_files, read_patch_labels
from vitproto.segmentation.probes.linear_probe import load_probe, trained_on
from vitproto.segmentation.suppression.class_directions import (
    probe_directions,
    save_directions,
)
from vitproto.segmentation.suppression.encoder_tail import Tail, mean_class_gradients


def find_class_directions(
    root: Path,
    images: Path,
    patch_labels: Path,
    probe: Path,
    directions: Path,
    *,
    dataset: str,
    layer: int,
    probe_layer: int,
    n_gradient_images: int,
    compute_dtype: Literal["float32", "bfloat16"],
    device: str,
    cfg: EncoderSettings,
) -> None:
    """Write the direction at `layer` along which each class's logit rises.

    At the probe's own layer these are the probe's weights less their mean, and neither
    images nor encoder are read. At an earlier layer they are mean gradients through
    the encoder's blocks in between. A class without patches in the training images
    has none there, and NaN stands for it.

    Args:
        root: the folder of the data set.
        images: the CSV file that lists its images.
        patch_labels: the HDF5 file with the labels of their patches.
        probe: the safetensors file of the probe.
        directions: the safetensors file to write.
        dataset: its name in the configuration.
        layer: where directions are wanted, a block counted from 0.
        probe_layer: the block whose activations the probe takes.
        n_gradient_images: training images of each class whose gradients are averaged,
            at most.
        compute_dtype: how a GPU computes; a CPU always computes in float32.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    if layer > probe_layer:
        raise ValueError(
            f"what is edited at layer {layer} never reaches a probe of layer "
            f"{probe_layer}: name a layer from 0 to {probe_layer}"
        )
    if n_gradient_images < 1:
        raise ValueError(f"n_gradient_images is {n_gradient_images}: write 1 or more")
    head = load_probe(probe)
    made_with = trained_on(probe)
    check_same_encoder(made_with, MadeWith("the configuration", {}, probe_layer))
    if layer == probe_layer:
        directions_CD = probe_directions(head)
    else:
        check_root(root, dataset)
        torch_device = pick_device(device)
        labels = read_patch_labels(patch_labels)
        files = image_files(labels, patch_labels, root, images)
        encoder = load_encoder(cfg, compute_dtype, [layer, probe_layer])
        loaded = MadeWith(f"the encoder {cfg.model}", encoder.attributes(), None)
        check_same_encoder(made_with, loaded)
        tail = Tail(encoder.to(torch_device), layer, probe_layer)
        expected = (labels.n_classes, encoder.width)
        if (head.n_classes, head.width) != expected:
            raise ValueError(
                f"{probe} is a probe of {head.n_classes} classes on {head.width} "
                f"values, but {patch_labels} has {expected[0]} classes and {cfg.model} "
                f"{expected[1]} values: train the probe on these"
            )
        if labels.labels_NP.shape[1] != encoder.n_patches:
            raise ValueError(
                f"{patch_labels} labels {labels.labels_NP.shape[1]} patches of an "
                f"image, but {cfg.model} has {encoder.n_patches}: label patches for "
                "this encoder"
            )
        i_train_N = labels.i_train_N
        directions_CD = mean_class_gradients(
            tail,
            head,
            [files[i] for i in i_train_N],
            labels.labels_NP[i_train_N],
            n_gradient_images,
            torch_device,
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
