"""Show what suppression does to the images that show most of a class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.threads import one_core_each
from vitproto.pictures.overlay import draw_heat
from vitproto.segmentation.labels.class_colors import class_colors
from vitproto.segmentation.suppression.before_after import (
    BeforeAfter,
    Suppressor,
    find_images,
)
from vitproto.segmentation.suppression.inputs import Suppressible
from vitproto.segmentation.suppression.pictures import (
    save_mask,
    save_window,
    shown_size,
)
from vitproto.segmentation.suppression.terms import ChosenClass


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
    """Writes the pictures of one class after the other."""

    def __init__(
        self,
        ready: Suppressible,
        files: list[Path],
        doses: tuple[float, ...],
        device: torch.device,
        folder: Path,
    ):
        """Prepare the autoencoder on the device.

        Args:
            ready: the autoencoder, activations and probe.
            files: all images, in the order of its labels.
            doses: how much latents are suppressed, as in `SuppressionSettings.doses`.
            device: where to compute.
            folder: where pictures go.
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
            doses=doses,
        )
        self._folder = folder

    def show(self, shown: ChosenClass, n_images: int) -> dict[str, Any]:
        """Suppress the latents of a class on the images that show most of it.

        Args:
            shown: the class.
            n_images: how many images to show.

        Returns:
            What pictures.json says of the class.
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
            **{"highest": 0.0, "images": []},
        }
        if notes:
            return numbers

        def suppress(i_test: int) -> BeforeAfter:
            i_image = self._labels.i_test_M[i_test : i_test + 1]
            acts_PD = self._acts.read_images(i_image)[0].to(self._device)
            return self._suppressor(i_test, acts_PD, shown.latents)

        with one_core_each() as workers:
            results = list(workers.map(suppress, i_tests))
        high = max(float(result.activity_P.max()) for result in results)
        images = [
            self._show_image(i_test, shown.label, result, high)
            for i_test, result in zip(i_tests, results, strict=True)
        ]
        return numbers | {"highest": high, "images": images}

    def _show_image(
        self, i_test: int, label: int, result: BeforeAfter, high: float
    ) -> dict[str, Any]:
        """Write the pictures of an image, and say where they are and what they show."""
        true_HW = self._labels.masks_MHW[i_test]
        height, width = true_HW.shape
        window, true, before = (
            f"{i_test:06d}.jpg",
            f"{i_test:06d}-true.png",
            f"{i_test:06d}-predicted.png",
        )
        # They are the same for all classes.
        if not (self._folder / window).exists():
            pixels_CHW = self._preprocessing.read(self._files[i_test])
            image = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
            save_window(image.crop((0, 0, width, height)), self._folder / window)
            save_mask(true_HW, self._folder / true)
            save_mask(result.before_HW, self._folder / before)
        after = []
        for i_dose, after_HW in enumerate(result.after):
            after.append(f"{i_test:06d}-class{label}-dose{i_dose}.png")
            save_mask(after_HW, self._folder / after[-1])
        maps = (true_HW, result.before_HW, *result.after)
        is_class_HW = true_HW == label
        n_before, *n_after = (
            int((predicted_HW[is_class_HW] == label).sum())
            for predicted_HW in (result.before_HW, *result.after)
        )
        shown_width, shown_height = shown_size((width, height))
        return {
            "image_id": self._labels.image_ids[self._labels.i_test_M[i_test]],
            "n_pixels": int(is_class_HW.sum()),
            "n_found_before": n_before,
            "n_found_after": n_after,
            "labels": sorted({int(one) for part in maps for one in np.unique(part)}),
            **{"window": window, "true": true, "before": before, "after": after},
            **{"width": shown_width, "height": shown_height},
            "heat": draw_heat(result.activity_P, self._labels.grid, 0.0, high),
        }


def describe_colors(
    shown: Sequence[dict[str, Any]], classes: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The name and colour of every class that pictures show, by label.

    Args:
        shown: what `ClassPictures.show` returned.
        classes: the names of all classes; the first one has label 1.
    """
    labels = {
        label
        for each in shown
        for image in each["images"]
        for label in image["labels"]
        if label
    }
    color_C3 = class_colors(max(labels, default=0))
    return {
        str(label): {
            "name": classes[label - 1],
            "color": "#" + color_C3[label - 1].tobytes().hex(),
        }
        for label in sorted(labels)
    }
