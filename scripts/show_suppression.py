"""Show what the suppression of a class's latents does to segmented images."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from vitproto.activations.encoder import EncoderSettings
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.folders import whole_folder
from vitproto.core.threads import one_core_each
from vitproto.data.data_root import check_root
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.pictures.image_sheet import color_range
from vitproto.segmentation.labels.patch_labels import (
    PatchLabels,
    image_files,
    read_patch_labels,
)
from vitproto.segmentation.probes.linear_probe import check_trained_on, load_probe
from vitproto.segmentation.suppression.autoencoders import load_autoencoder
from vitproto.segmentation.suppression.before_after import (
    BeforeAfter,
    Suppressor,
    find_images,
)
from vitproto.segmentation.suppression.edited_logits import (
    AtEarlierLayer,
    AtProbeLayer,
    EditedLogits,
)
from vitproto.segmentation.suppression.encoder_tail import load_tail
from vitproto.segmentation.suppression.latent_tables import (
    ChosenClass,
    read_activity,
    read_chosen,
)
from vitproto.segmentation.suppression.pictures import Row, draw_rows, window_heat
from vitproto.study.family import FittedFamily


def show_suppression(
    root: Path,
    images: Path,
    shards: tuple[Path, ...],
    patch_labels: Path,
    probe: Path,
    checkpoints: Path,
    class_latents: Path,
    activity: Path,
    pictures: Path,
    *,
    dataset: str,
    fit_dataset: str,
    encoder: str,
    probe_layer: int,
    layer: int,
    method: str,
    run: str,
    classes: tuple[int, ...],
    n_images: int,
    dose: float,
    compute_dtype: Literal["float32", "bfloat16"],
    device: str,
    encoder_cfg: EncoderSettings,
) -> None:
    """Show, for some classes, the test images that show most of them, before and after.

    Writes a picture for each class, NNNNN.png, and pictures.json, which holds all the
    numbers, also of classes that have no picture, and why.

    Args:
        root: the folder of the data set.
        images: its image list.
        shards: all shards of its activations, of both layers.
        patch_labels: the HDF5 file with labels of patches and masks of test images.
        probe: the safetensors file with the linear probe.
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        class_latents: the CSV file with the chosen latents of each class.
        activity: the CSV file with what each latent did in training.
        pictures: the folder to create.
        dataset: its name in the configuration.
        fit_dataset: the data set that the autoencoder was fitted to.
        encoder: what recorded the activations, as tables call it.
        probe_layer: which block the probe reads, counted from 0.
        layer: which block is edited, counted from 0.
        method: how the autoencoder was made.
        run: which run of the family.
        classes: labels of the classes to show, counted from 1.
        n_images: how many images to show for each class.
        dose: the multiple of its largest value that each latent is set to.
        compute_dtype: how a GPU computes the encoder, at an earlier layer.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    check_root(root, dataset)
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    files = image_files(labels, patch_labels, root, images)
    paths = [files[i] for i in labels.i_test_M]
    fitted = load_probe(probe)
    probed = Activations.open(shards, probe_layer)
    fitted.check(probe, probed, labels.n_classes)
    check_trained_on(probe, probed, shards[0])
    on_device = fitted.to(torch_device)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    autoencoder = load_autoencoder(checkpoints, family, run, acts, shards[0])
    n_latents = autoencoder.n_prototypes
    logits: EditedLogits = AtProbeLayer(on_device)
    if layer != probe_layer:
        tail = load_tail(
            *(encoder_cfg, compute_dtype, layer, probe_layer),
            *(acts, shards[0], torch_device),
        )
        logits = AtEarlierLayer(tail, on_device, paths)
    read = read_chosen(class_latents, labels.classes, n_latents)
    chosen = {one.label: one for one in read}
    suppressor = Suppressor(
        autoencoder=autoencoder.to(torch_device),
        activity=read_activity(activity, n_latents),
        logits=logits,
        grid=labels.grid,
        patch_side=labels.patch_side,
        dose=dose,
    )
    preprocessing = Preprocessing.from_json(str(acts.attributes["preprocessing"]))
    source = _Source(acts, labels, preprocessing, paths, torch_device)
    told = []
    with whole_folder(pictures) as partial:
        for label in dict.fromkeys(classes):
            if label not in chosen:
                raise ValueError(
                    f"label {label} is to be shown, but {class_latents} has the labels "
                    f"{min(chosen)} to {max(chosen)}: write some of these"
                )
            shown = _show_class(chosen[label], source, suppressor, n_images)
            told.append(shown.numbers)
            if shown.picture is None:
                why = shown.numbers["note"]
                logging.info("no picture of %d %s: %s", label, chosen[label].name, why)
            else:
                shown.picture.save(partial / shown.numbers["picture"])
        numbers = {
            "dataset": dataset,
            **{"encoder": encoder, "probe_layer": probe_layer, "layer": layer},
            **{"method": method, "run": run},
            "activations": acts.attributes,
            "code": fingerprint("show_suppression"),
            "settings": {"n_images": n_images, "dose": dose, "classes": classes},
            "classes": told,
        }
        (partial / "pictures.json").write_text(json.dumps(numbers) + "\n")
    n_shown = sum(bool(one["picture"]) for one in told)
    logging.info("%s: %d of %d classes shown", pictures, n_shown, len(told))


@dataclass(frozen=True)
class _Source:
    """Where images come from, with their masks and activations."""

    acts: Activations
    labels: PatchLabels
    preprocessing: Preprocessing
    paths: list[Path]
    device: torch.device


@dataclass(frozen=True)
class _Shown:
    """What is told of a class, and its picture, if it has one."""

    numbers: dict[str, Any]
    picture: Image.Image | None


def _show_class(
    one: ChosenClass, source: _Source, suppressor: Suppressor, n_images: int
) -> _Shown:
    """Suppress the latents of a class on the images that show most of it."""
    found = find_images(source.labels.masks_MHW, one.label, n_images)
    largest_J = suppressor.activity.largest_S[list(one.latents)]
    notes = list(one.notes)
    if not one.latents and not notes:
        notes.append("no latents are chosen")
    if one.latents and not (largest_J > 0).any():
        notes.append("its latents are never active")
    if not found:
        notes.append("not in the validation images")
    numbers = {
        "label": one.label,
        "class_name": one.name,
        "latents": one.latents,
        "largest": largest_J.tolist(),
        "note": "; ".join(notes),
        **{"picture": "", "width": 0, "images": []},
    }
    if notes:
        return _Shown(numbers, None)

    def suppress(i_test: int) -> BeforeAfter:
        i_image = source.labels.i_test_M[i_test : i_test + 1]
        acts_PD = source.acts.read_images(i_image)[0].to(source.device)
        return suppressor(i_test, acts_PD, one.latents)

    with one_core_each() as workers:
        results = list(workers.map(suppress, found))
    rows, images = [], []
    for i_test, result in zip(found, results, strict=True):
        about = _count(i_test, one.label, source.labels, result)
        rows.append(_to_row(i_test, one.name, source, result, about))
        images.append(about)
    high = color_range(np.stack([result.activity_P for result in results]))[1]
    picture = draw_rows(rows, source.labels.classes, high)
    file = f"{one.label:05d}.png"
    numbers |= {"picture": file, "width": picture.width, "images": images}
    return _Shown(numbers, picture)


def _count(
    i_test: int, label: int, labels: PatchLabels, result: BeforeAfter
) -> dict[str, Any]:
    """How much of a class is found in an image, in pixels?"""
    is_class_HW = labels.masks_MHW[i_test] == label
    n_found = [
        int((predicted_HW[is_class_HW] == label).sum())
        for predicted_HW in (result.before_HW, result.after_HW)
    ]
    return {
        "image_id": labels.image_ids[labels.i_test_M[i_test]],
        "n_pixels": int(is_class_HW.sum()),
        "n_found_before": n_found[0],
        "n_found_after": n_found[1],
        "highest": float(str(result.activity_P.max())),
    }


def _to_row(
    i_test: int, name: str, source: _Source, result: BeforeAfter, about: dict[str, Any]
) -> Row:
    pixels_CHW = source.preprocessing.read(source.paths[i_test])
    image = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
    mask_HW = source.labels.masks_MHW[i_test]
    height, width = mask_HW.shape
    return Row(
        image=image.crop((0, 0, width, height)),
        true_HW=mask_HW,
        before_HW=result.before_HW,
        after_HW=result.after_HW,
        heat_HW=window_heat(result.activity_P, source.preprocessing),
        caption=(
            f"{about['image_id']}: of {about['n_pixels']:,} pixels of {name}, "
            f"{about['n_found_before']:,} are found, and {about['n_found_after']:,} "
            "after suppression"
        ),
    )


if __name__ == "__main__":
    run(show_suppression)
