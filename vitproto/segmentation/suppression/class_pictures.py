"""Show what suppression does to the images that show most of a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.threads import one_core_each
from vitproto.pictures.image_sheet import color_range
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.suppression.before_after import (
    BeforeAfter,
    Suppressor,
    find_images,
)
from vitproto.segmentation.suppression.inputs import Suppressible
from vitproto.segmentation.suppression.pictures import Row, draw_rows, window_heat
from vitproto.segmentation.suppression.terms import ChosenClass


@dataclass(frozen=True)
class ClassPicture:
    """What pictures.json says of a class, and its picture, if it has one."""

    numbers: dict[str, Any]
    image: Image.Image | None


def find_classes(
    labels: Sequence[int], chosen: Sequence[ChosenClass], class_latents: Path
) -> list[ChosenClass]:
    """Find the classes with these labels, each once.

    Args:
        labels: counted from 1.
        chosen: all classes.
        class_latents: where these were read, for the message.

    Raises:
        ValueError: there is no such label.
    """
    by_label = {each.label: each for each in chosen}
    for label in labels:
        if label not in by_label:
            raise ValueError(
                f"label {label} is to be shown, but {class_latents} has the labels "
                f"{min(by_label)} to {max(by_label)}: write some of these"
            )
    return [by_label[label] for label in dict.fromkeys(labels)]


class ClassPictures:
    """Draws a picture of one class after the other."""

    def __init__(
        self, ready: Suppressible, files: list[Path], dose: float, device: torch.device
    ):
        """Prepare the autoencoder on the device.

        Args:
            ready: the autoencoder, activations and probe.
            files: all images, in the order of its labels.
            dose: how much latents are suppressed, as in `SuppressionSettings.doses`.
            device: where to compute.
        """
        labels, acts = ready.labels, ready.acts
        self._acts, self._labels, self._device = acts, labels, device
        self._files = [files[i] for i in labels.i_test_M]
        self._preprocessing = Preprocessing.from_json(
            str(acts.attributes["preprocessing"])
        )
        self._suppressor = Suppressor(
            autoencoder=ready.autoencoder.to(device),
            activity=ready.activity,
            logits=ready.logits,
            grid=labels.grid,
            patch_side=labels.patch_side,
            dose=dose,
        )

    def draw(self, shown: ChosenClass, n_images: int) -> ClassPicture:
        """Suppress the latents of a class on the images that show most of it.

        Args:
            shown: the class.
            n_images: how many images to show.
        """
        i_tests = find_images(self._labels.masks_MHW, shown.label, n_images)
        largest_J = self._suppressor.activity.largest_S[list(shown.latents)]
        notes = list(shown.notes)
        if not shown.latents and not notes:
            notes.append("no latents are chosen")
        if shown.latents and not (largest_J > 0).any():
            notes.append("its latents are never active")
        if not i_tests:
            notes.append("not in the validation images")
        numbers = {
            "label": shown.label,
            "class_name": shown.name,
            "latents": shown.latents,
            "largest": largest_J.tolist(),
            "note": "; ".join(notes),
            **{"picture": "", "width": 0, "images": []},
        }
        if notes:
            return ClassPicture(numbers, None)

        def suppress(i_test: int) -> BeforeAfter:
            i_image = self._labels.i_test_M[i_test : i_test + 1]
            acts_PD = self._acts.read_images(i_image)[0].to(self._device)
            return self._suppressor(i_test, acts_PD, shown.latents)

        with one_core_each() as workers:
            results = list(workers.map(suppress, i_tests))
        rows, images = [], []
        for i_test, result in zip(i_tests, results, strict=True):
            counts = _count(i_test, shown.label, self._labels, result)
            rows.append(self._row(i_test, shown.name, result, counts))
            images.append(counts)
        high = color_range(np.stack([result.activity_P for result in results]))[1]
        image = draw_rows(rows, self._labels.classes, high)
        file = f"{shown.label:05d}.png"
        numbers |= {"picture": file, "width": image.width, "images": images}
        return ClassPicture(numbers, image)

    def _row(
        self, i_test: int, name: str, result: BeforeAfter, counts: dict[str, Any]
    ) -> Row:
        pixels_CHW = self._preprocessing.read(self._files[i_test])
        image = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
        mask_HW = self._labels.masks_MHW[i_test]
        height, width = mask_HW.shape
        return Row(
            image=image.crop((0, 0, width, height)),
            true_HW=mask_HW,
            before_HW=result.before_HW,
            after_HW=result.after_HW,
            heat_HW=window_heat(result.activity_P, self._preprocessing),
            caption=(
                f"{counts['image_id']}: of {counts['n_pixels']:,} pixels of {name}, "
                f"{counts['n_found_before']:,} are found, and "
                f"{counts['n_found_after']:,} after suppression"
            ),
        )


def _count(
    i_test: int, label: int, labels: PatchLabels, result: BeforeAfter
) -> dict[str, Any]:
    """Count the pixels of a class that an image shows, and those that are found."""
    is_class_HW = labels.masks_MHW[i_test] == label
    n_before, n_after = (
        int((predicted_HW[is_class_HW] == label).sum())
        for predicted_HW in (result.before_HW, result.after_HW)
    )
    return {
        "image_id": labels.image_ids[labels.i_test_M[i_test]],
        "n_pixels": int(is_class_HW.sum()),
        "n_found_before": n_before,
        "n_found_after": n_after,
        "highest": float(str(result.activity_P.max())),
    }
