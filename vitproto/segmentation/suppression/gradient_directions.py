"""Directions of classes at a layer before the probe's, through the encoder."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vitproto.activations.encoder import load_encoder
from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.core.device import pick_device
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import LinearProbe, trained_on
from vitproto.segmentation.suppression.encoder_tail import Tail, mean_class_gradients
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder


def directions_before_probe(
    head: LinearProbe,
    probe: Path,
    layer: int,
    probed: ProbedEncoder,
    images: LabelledImages,
    labels: PatchLabels,
    n_images: int,
    device: str,
) -> Float32[np.ndarray, "c d"]:
    """Find the mean gradient of each class's logit, see `mean_class_gradients`.

    Args:
        head: the probe.
        probe: its file, for messages.
        layer: the block whose output would be edited, counted from 0.
        probed: the probe's layer, and the encoder.
        images: where the images lie.
        labels: theirs; training images alone are used.
        n_images: training images of each class, at most.
        device: auto, cpu, cuda or cuda:1.

    Returns:
        NaN for a class that no training image shows.

    Raises:
        ValueError: data set, encoder, probe and labels do not belong together.
    """
    files = images.files(labels)
    torch_device = pick_device(device)
    settings = probed.encoder_cfg
    layers = (layer, probed.probe_layer)
    encoder = load_encoder(settings, probed.compute_dtype, layers)
    made = trained_on(probe)
    encoder = encoder.reading_as_recorded(made.attributes)
    loaded = MadeWith(f"the encoder {settings.model}", encoder.attributes(), None)
    check_same_encoder(made, loaded)
    expected = (labels.n_classes, encoder.width)
    if (head.n_classes, head.width) != expected:
        raise ValueError(
            f"{probe} is a probe of {head.n_classes} classes on {head.width} values, "
            f"but {images.patch_labels} has {expected[0]} classes and {settings.model} "
            f"{expected[1]} values: train the probe on these"
        )
    if labels.n_patches != encoder.n_patches:
        raise ValueError(
            f"{images.patch_labels} labels {labels.n_patches} patches of an image, but "
            f"{settings.model} has {encoder.n_patches}: label patches for this encoder"
        )
    i_train_N = labels.i_train_N
    return mean_class_gradients(
        Tail(encoder.to(torch_device), *layers),
        head,
        [files[i] for i in i_train_N],
        labels.labels_NP[i_train_N],
        n_images,
        torch_device,
    )
