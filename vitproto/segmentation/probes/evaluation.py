"""Choose a probe on held-out training images, and measure it on the test images.

G probes, M test images, H held-out training images, P patches, C classes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import LinearProbe, TrainedProbe
from vitproto.segmentation.probes.metrics import Counts
from vitproto.segmentation.probes.pixels import (
    PixelCounts,
    count_pixels,
    count_pixels_on,
    true_C,
)

IMAGES_PER_CORE = 4
"""Images of a block that each core takes, one after the other. Each matrix product
takes the patches of one image, so cores and shards do not change a logit."""

Counted = TypeVar("Counted")

NOT_SHOWN = "not in the validation images"
NEVER_PREDICTED = "the probe never predicts it"


class Evaluation(NamedTuple):
    """Pixel counts of probes on the test images."""

    counts: Counts
    """Counts over all test images, for each probe: leading axis G."""
    n_images_C: Int64[np.ndarray, " c"]
    """Number of test images that show each class."""


def evaluate(
    activations: Activations,
    labels: PatchLabels,
    probes: Sequence[LinearProbe],
    device: torch.device,
) -> Evaluation:
    """Compare the predictions of probes for every pixel with the masks.

    Memory holds a few images and the counts of each probe and class, for any number of
    images.

    Args:
        activations: of the images that `labels` list, in the same order.
        labels: the masks of the test images.
        probes: one or more, with as many classes as the labels.
        device: where to compute logits.

    Raises:
        ValueError: no test mask shows any class, or a logit is not finite.
    """
    weight_GCD = torch.stack([probe.weight_CD for probe in probes]).to(device)
    bias_GC = torch.stack([probe.bias_C for probe in probes]).to(device)
    n_classes, i_test_M = labels.n_classes, labels.i_test_M
    true_sum_C = np.zeros(n_classes, np.int64)
    n_images_C = np.zeros(n_classes, np.int64)
    predicted_GC = np.zeros(bias_GC.shape, np.int64)
    hit_GC = np.zeros(bias_GC.shape, np.int64)

    def count(acts_PD: Tensor, m: int) -> tuple[PixelCounts, np.ndarray]:
        mask_HW = labels.masks_MHW[m]
        logits_GPC = _logits(acts_PD.to(device), weight_GCD, bias_GC)
        if device.type == "cpu":
            counts = count_pixels(logits_GPC.numpy(), mask_HW, labels.grid)
        else:
            on_device = torch.from_numpy(mask_HW.astype(np.int64)).to(device)
            counts = count_pixels_on(logits_GPC, on_device, labels.grid)
        return counts, true_C(mask_HW, n_classes)

    for counts, of_image_C in _each_image(activations, i_test_M, count, "test images"):
        predicted_GC += counts.predicted_EC
        hit_GC += counts.hit_EC
        true_sum_C += of_image_C
        n_images_C += of_image_C > 0
    if not true_sum_C.any():
        raise ValueError(
            f"none of the {len(i_test_M)} test masks shows any of the {n_classes} "
            "classes, so nothing can be measured: check the masks"
        )
    return Evaluation(Counts(true_sum_C, predicted_GC, hit_GC), n_images_C)


def evaluate_patches(
    activations: Activations,
    labels: PatchLabels,
    probes: Sequence[LinearProbe],
    held_out_H: Int64[np.ndarray, " h"],
    device: torch.device,
) -> Counts:
    """Compare the predictions of probes for labelled patches with their labels.

    Args:
        activations: of the images that `labels` list, in the same order.
        labels: the labels of their patches.
        probes: one or more, with as many classes as the labels.
        held_out_H: the images to look at, ascending.
        device: where to compute logits.

    Returns:
        Numbers of patches, for each probe: leading axis G.

    Raises:
        ValueError: none of these patches has a label.
    """
    weight_GCD = torch.stack([probe.weight_CD for probe in probes]).to(device)
    bias_GC = torch.stack([probe.bias_C for probe in probes]).to(device)
    true_sum_C = np.zeros(labels.n_classes, np.int64)
    predicted_GC, hit_GC = np.zeros((2, *bias_GC.shape), np.int64)

    def count(acts_PD: Tensor, h: int) -> tuple[np.ndarray, np.ndarray]:
        logits_GPC = _logits(acts_PD.to(device), weight_GCD, bias_GC)
        label_P = labels.labels_NP[held_out_H[h]]
        best_GP = logits_GPC.argmax(dim=-1).cpu().numpy()[:, label_P > 0]
        return best_GP, label_P[label_P > 0].astype(np.int64) - 1

    images = "held-out images"
    for best_GP, class_P in _each_image(activations, held_out_H, count, images):
        true_sum_C += np.bincount(class_P, minlength=labels.n_classes)
        for g, best_P in enumerate(best_GP):
            predicted_GC[g] += np.bincount(best_P, minlength=labels.n_classes)
            right_P = best_P[best_P == class_P]
            hit_GC[g] += np.bincount(right_P, minlength=labels.n_classes)
    if not true_sum_C.any():
        raise ValueError(
            f"no patch of the {len(held_out_H)} held-out training images has a label, "
            "so no probe can be chosen: lower held_out_every, or look at the masks"
        )
    return Counts(true_sum_C, predicted_GC, hit_GC)


def _each_image(
    activations: Activations,
    i_image_M: Int64[np.ndarray, " m"],
    count: Callable[[Tensor, int], Counted],
    what: str,
) -> Iterator[Counted]:
    """Count one image after the other, several at a time, and give them in order.

    `count` takes the activations of an image and its place in `i_image_M`.
    """
    with (
        one_core_each() as workers,
        progress_bar(len(i_image_M), what) as progress,
    ):
        n_at_once = IMAGES_PER_CORE * torch.get_num_threads()
        firsts = range(0, len(i_image_M), n_at_once)
        reads = (
            partial(activations.read_images, i_image_M[first : first + n_at_once])
            for first in firsts
        )
        for first, acts_BPD in zip(
            firsts, ahead(reads, n_threads=1, n_ahead=1), strict=True
        ):
            i_B = range(first, first + len(acts_BPD))
            yield from workers.map(count, acts_BPD, i_B)
            progress.update(len(acts_BPD))


@torch.inference_mode()
def _logits(
    acts_PD: Float32[Tensor, "p d"],
    weight_GCD: Float32[Tensor, "g c d"],
    bias_GC: Float32[Tensor, "g c"],
) -> Float32[Tensor, "g p c"]:
    n_probes, n_classes = bias_GC.shape
    logits_GPC = acts_PD.new_empty(n_probes, len(acts_PD), n_classes)
    for weight_CD, bias_C, out_PC in zip(weight_GCD, bias_GC, logits_GPC, strict=True):
        torch.addmm(bias_C, acts_PD, weight_CD.T, out=out_PC)
    return logits_GPC


def find_best(counts: Counts) -> int:
    """The index of the probe with the highest mIoU; of equal ones the first."""
    return int(np.argmax(counts.miou))


def to_probe_table(
    trained: Sequence[TrainedProbe], held_out: Counts, counts: Counts
) -> pd.DataFrame:
    """The table of a sweep: a row per probe, in order.

    Args:
        trained: the probes.
        held_out: patches of held-out images, for each probe: leading axis G. The best
            on these is the one that is used.
        counts: pixels of the test images, for each probe.
    """
    return pd.DataFrame(
        {
            "learning_rate": [probe.learning_rate for probe in trained],
            "weight_decay": [probe.weight_decay for probe in trained],
            "loss": [probe.loss for probe in trained],
            "held_out_miou": held_out.miou,
            "miou": counts.miou,
            "pixel_accuracy": counts.pixel_accuracy,
            "is_best": np.arange(len(trained)) == find_best(held_out),
        }
    )


def to_class_table(
    classes: Sequence[str], evaluation: Evaluation, i_probe: int
) -> pd.DataFrame:
    """The table of a probe: a row per class.

    Args:
        classes: the names of the classes, that of label 1 first.
        evaluation: of all probes.
        i_probe: the index of the probe.

    Returns:
        The columns of `baseline.csv`. IoU and accuracy of a class that no test image
        shows are NaN, and its note says so.
    """
    counts = evaluation.counts
    own = Counts(counts.true_C, counts.predicted_C[i_probe], counts.hit_C[i_probe])
    notes = [
        "; ".join(
            note
            for note, holds in (
                (NOT_SHOWN, n_pixels == 0),
                (NEVER_PREDICTED, n_predicted == 0),
            )
            if holds
        )
        for n_pixels, n_predicted in zip(own.true_C, own.predicted_C, strict=True)
    ]
    return pd.DataFrame(
        {
            "label": np.arange(1, len(classes) + 1),
            "class_name": list(classes),
            "n_images": evaluation.n_images_C,
            "n_pixels": own.true_C,
            "n_predicted": own.predicted_C,
            "iou": own.iou_C,
            "accuracy": own.accuracy_C,
            "note": notes,
        }
    )
