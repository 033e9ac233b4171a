"""Show what the suppression of a class's latents does to segmented images."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.cli import run as run_stage
from vitproto.data.data_root import check_root
from vitproto.data.image_list import check_same_images, read_image_list
from vitproto.device import pick_device
from vitproto.features.pictures import color_range
from vitproto.folders import whole_folder
from vitproto.prototypes import checkpoint
from vitproto.prototypes.sae.autoencoder import SparseAutoencoder
from vitproto.segmentation.before_after import (
    BeforeAfter,
    ChosenLatents,
    Suppressor,
    find_images,
    read_chosen,
)
from vitproto.segmentation.encoder_tail import Tail
from vitproto.segmentation.linear_probe import load_probe
from vitproto.segmentation.patch_labels import PatchLabels, read_patch_labels
from vitproto.segmentation.pictures import Row, draw_rows, window_heat
from vitproto.study.fingerprint import fingerprint
from vitproto.threads import one_core_each

MISSING = "not in the validation images"


def show_suppression(
    root: Path,
    images: Path,
    shards: tuple[Path, ...],
    patch_labels: Path,
    probe: Path,
    checkpoints: Path,
    class_latents: Path,
    latent_activity: Path,
    out: Path,
    *,
    dataset: str,
    sae: str,
    run: str,
    layer: int,
    probe_layer: int,
    classes: tuple[int, ...],
    n_images: int,
    dose: float,
    device: str,
    compute_dtype: Literal["float32", "bfloat16"],
    cfg: EncoderSettings,
) -> None:
    """Show, for some classes, the test images that show most of them, before and after.

    Writes a picture for each class, NNNNN.png, and pictures.json, which holds all the
    numbers, also for classes that have no picture, and why.

    Args:
        root: the folder of the data set.
        images: its image list.
        shards: all shards of its activations.
        patch_labels: the labels of its patches, with the masks of the test images.
        probe: the chosen linear probe.
        checkpoints: the JSON file that lists the checkpoints of the SAE's family.
        class_latents: the CSV file of latents by class.
        latent_activity: the CSV file of what latents do on training images.
        out: the folder to create.
        dataset: what the configuration calls the data set.
        sae: what tables call the SAE.
        run: which of its family's runs it is, such as k128-seed0.
        layer: of the SAE, the block, counted from 0.
        probe_layer: of the probe.
        classes: labels of the classes to show, counted from 1.
        n_images: how many images to show for each class.
        dose: the multiple of its largest value that each latent is set to.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
        compute_dtype: how a GPU computes the encoder's remaining blocks, where the
            SAE's layer is not the probe's.
        cfg: the encoder that recorded the activations; it is loaded only then.
    """
    check_root(root, dataset)
    torch_device = pick_device(device)
    listed = read_image_list(images)
    acts = Activations.open(shards, layer)
    ids = listed["image_id"].tolist()
    check_same_images(acts.image_ids, str(shards[0]), ids, str(images))
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    _check_labels(classes, labels, patch_labels)
    fit = checkpoint.find_run(checkpoints, run)
    autoencoder = checkpoint.load_as(fit.path, SparseAutoencoder)
    linear_probe = load_probe(probe)
    for file, width in ((fit.path, autoencoder.width), (probe, linear_probe.width)):
        if width != acts.width:
            raise ValueError(
                f"{file} takes activations of width {width}, but those in {shards[0]} "
                f"have {acts.width}: give what was fitted to this encoder"
            )
    if linear_probe.n_classes != labels.n_classes:
        raise ValueError(
            f"{probe} predicts {linear_probe.n_classes} classes, but {patch_labels} "
            f"names {labels.n_classes}: train the probe with these labels"
        )
    tail = None
    if layer != probe_layer:
        encoder = load_encoder(cfg, compute_dtype, (layer, probe_layer))
        tail = Tail(encoder.to(torch_device), layer, probe_layer)
    suppressor = Suppressor(
        autoencoder.to(torch_device),
        linear_probe.to(torch_device),
        tail,
        labels.grid,
        labels.masks_MHW.shape[1] // labels.grid[0],
        dose,
    )
    preprocessing = Preprocessing.from_json(str(acts.attributes["preprocessing"]))
    paths = [root / path for path in listed["path"]]
    source = _Source(acts, labels, preprocessing, paths, ids, torch_device)
    chosen = read_chosen(class_latents, latent_activity, classes)
    told = []
    with whole_folder(out) as partial:
        for label in dict.fromkeys(classes):
            about = _show_class(label, chosen[label], source, suppressor, n_images)
            if about.picture is not None:
                about.picture.save(partial / about.numbers["picture"])
            else:
                name, note = about.numbers["class_name"], about.numbers["note"]
                logging.info("no picture of %d %s: %s", label, name, note)
            told.append(about.numbers)
        settings = {"n_images": n_images, "dose": dose, "classes": classes}
        numbers = {
            **{"dataset": dataset, "sae": sae, "run": run, "layer": layer},
            "probe_layer": probe_layer,
            "checkpoint_sha256": fit.sha256,
            "activations": acts.attributes,
            "code": fingerprint("show_suppression"),
            "settings": settings,
            "classes": told,
        }
        (partial / "pictures.json").write_text(json.dumps(numbers) + "\n")
    n_shown = sum(bool(one["picture"]) for one in told)
    logging.info("%s: %d of %d classes shown", out, n_shown, len(told))


@dataclass(frozen=True)
class _Source:
    """Where images come from, with their masks and activations."""

    acts: Activations
    labels: PatchLabels
    preprocessing: Preprocessing
    paths: list[Path]
    image_ids: list[str]
    device: torch.device


@dataclass(frozen=True)
class _Shown:
    """What is told of a class, and its picture, if it has one."""

    numbers: dict[str, Any]
    picture: Image.Image | None


def _show_class(
    label: int,
    chosen: ChosenLatents,
    source: _Source,
    suppressor: Suppressor,
    n_images: int,
) -> _Shown:
    """Suppress the latents of a class on the images that show most of it."""
    found = find_images(source.labels.masks_MHW, label, n_images)
    name = source.labels.classes[label - 1]
    notes = [chosen.note] if chosen.note else []
    if not found:
        notes.append(MISSING)
    numbers = {
        "label": label,
        "class_name": name,
        "latents": chosen.latents_J,
        "largest": chosen.largest_J,
        "note": "; ".join(notes),
        **{"picture": "", "width": 0, "images": []},
    }
    if notes:
        return _Shown(numbers, None)

    def suppress(m: int) -> tuple[Image.Image, BeforeAfter]:
        i = int(source.labels.i_test_M[m])
        pixels_CHW = source.preprocessing.read(source.paths[i])
        acts_PD = source.acts.read_images(np.array([i]))[0].to(source.device)
        image = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
        return image, suppressor(acts_PD, pixels_CHW, chosen)

    with one_core_each() as workers:
        results = list(workers.map(suppress, found))
    height, width = source.labels.masks_MHW.shape[1:]
    rows, images = [], []
    for m, (image, result) in zip(found, results, strict=True):
        i = int(source.labels.i_test_M[m])
        mask_HW = source.labels.masks_MHW[m]
        is_class_HW = mask_HW == label
        n_before, n_after = (
            int((is_class_HW & (predicted_HW == label)).sum())
            for predicted_HW in (result.before_HW, result.after_HW)
        )
        about = {
            "image_id": source.image_ids[i],
            "n_pixels": int(is_class_HW.sum()),
            "n_found_before": n_before,
            "n_found_after": n_after,
            "highest": float(str(result.activity_P.max())),
        }
        caption = (
            f"{about['image_id']}: of {about['n_pixels']:,} pixels of {name}, "
            f"{n_before:,} are found, and {n_after:,} after suppression"
        )
        rows.append(
            Row(
                image.crop((0, 0, width, height)),
                mask_HW,
                result.before_HW,
                result.after_HW,
                window_heat(result.activity_P, source.preprocessing),
                caption,
            )
        )
        images.append(about)
    activity_MP = np.stack([result.activity_P for _, result in results])
    picture = draw_rows(rows, source.labels.classes, color_range(activity_MP)[1])
    numbers |= {"picture": f"{label:05d}.png", "width": picture.width, "images": images}
    return _Shown(numbers, picture)


def _check_labels(classes: tuple[int, ...], labels: PatchLabels, path: Path) -> None:
    for label in classes:
        if not 1 <= label <= labels.n_classes:
            raise ValueError(
                f"the label {label} is to be shown, but {path} names "
                f"{labels.n_classes} classes: write labels from 1 to {labels.n_classes}"
            )


if __name__ == "__main__":
    run_stage(show_suppression)
