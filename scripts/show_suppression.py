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
from vitproto.segmentation.suppression.class_pictures import ClassPictures, find_classes
from vitproto.segmentation.suppression.inputs import SuppressionInputs, open_inputs
from vitproto.segmentation.suppression.probed_encoder import ProbedEncoder


def show_suppression(
    pictures: Path,
    *,
    classes: tuple[int, ...],
    n_images: int,
    dose: float,
    device: str,
    inputs: SuppressionInputs,
    labelled: LabelledImages,
    fitted: FittedAutoencoder,
    probed: ProbedEncoder,
) -> None:
    """Show, for some classes, the test images that show most of them, before and after.

    Writes a picture for each class, NNNNN.png, and pictures.json with all the numbers,
    and the reasons why classes have no picture.

    Args:
        pictures: The folder to create.
        classes: Labels of the classes to show, from 1.
        n_images: Number of images to show for each class.
        dose: How much latents are suppressed, one of the study's doses.
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
    sheets = ClassPictures(ready, files, dose, torch_device)
    drawn = []
    with whole_folder(pictures) as partial:
        for shown in to_show:
            picture = sheets.draw(shown, n_images)
            drawn.append(picture.numbers)
            if picture.image is None:
                why = picture.numbers["note"]
                logging.info("no picture of %d %s: %s", shown.label, shown.name, why)
            else:
                picture.image.save(partial / picture.numbers["picture"])
        numbers = {
            "dataset": labelled.dataset,
            **{"encoder": fitted.encoder, "probe_layer": probed.probe_layer},
            **{"layer": fitted.layer, "method": fitted.method, "run": fitted.run},
            "activations": ready.acts.attributes,
            "code": fingerprint("show_suppression"),
            "settings": {"n_images": n_images, "dose": dose, "classes": classes},
            "classes": drawn,
        }
        (partial / "pictures.json").write_text(json.dumps(numbers) + "\n")
    n_shown = sum(bool(about["picture"]) for about in drawn)
    logging.info("%s: %d of %d classes shown", pictures, n_shown, len(drawn))


if __name__ == "__main__":
    run(show_suppression)
