"""Show segmented images before and after a class's latents are suppressed."""

import json
import logging
from pathlib import Path

from vitproto.core.device import pick_device
from vitproto.core.folders import whole_folder
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.labelled_images import LabelledImages
from vitproto.segmentation.suppression.autoencoders import FittedAutoencoder
from vitproto.segmentation.suppression.class_pictures import (
    ClassPictures,
    describe_colors,
    find_classes,
)
from vitproto.segmentation.suppression.inputs import SuppressionInputs, open_inputs
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder


def show_suppression(
    pictures: Path,
    *,
    classes: tuple[int, ...],
    n_images: int,
    doses: tuple[float, ...],
    device: str,
    inputs: SuppressionInputs,
    labelled: LabelledImages,
    fitted: FittedAutoencoder,
    probed: ProbedEncoder,
) -> None:
    """Show, for some classes, the test images that show most of them, before and after.

    Writes windows of images, masks, and pictures.json, which says which is which, with
    all the numbers, and the reasons why classes have no pictures.

    Args:
        pictures: The folder to create.
        classes: Labels of the classes to show, from 1.
        n_images: Number of images to show for each class.
        doses: How much latents are suppressed, the study's doses.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        inputs: The files of the autoencoder, its latents, the probe and the labels.
        labelled: The images.
        fitted: The autoencoder.
        probed: The probe's layer, and the encoder.
    """
    torch_device = pick_device(device)
    ready = open_inputs(inputs, labelled, fitted, probed, torch_device)
    files = labelled.files(ready.labels)
    to_show = find_classes(classes, ready.chosen, inputs.class_latents)
    with whole_folder(pictures) as partial:
        drawn = ClassPictures(ready, files, doses, torch_device, partial)
        told = [drawn.show(shown, n_images) for shown in to_show]
        for about in (about for about in told if about["note"]):
            named = about["label"], about["class_name"], about["note"]
            logging.info("no picture of %d %s: %s", *named)
        numbers = {
            "dataset": labelled.dataset,
            **{"encoder": fitted.encoder, "probe_layer": probed.probe_layer},
            **{"layer": fitted.layer, "method": fitted.method, "run": fitted.run},
            "activations": ready.acts.attributes,
            "code": fingerprint("show_suppression"),
            "settings": {"n_images": n_images, "doses": doses, "classes": classes},
            "colors": describe_colors(told, ready.labels.classes),
            "classes": told,
        }
        (partial / "pictures.json").write_text(json.dumps(numbers) + "\n")
    n_shown = sum(bool(about["images"]) for about in told)
    logging.info("%s: %d of %d classes shown", pictures, n_shown, len(told))


if __name__ == "__main__":
    run(show_suppression)
