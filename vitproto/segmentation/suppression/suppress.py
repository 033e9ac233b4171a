"""Suppress the latents of one class after the other, and count what changes.

M test images, P patches, D width, J latents of a class, U that are kept, C classes,
H × W pixels, O doses, K kinds of edits.

In memory are, of all test images, the logits before, the chosen latents where they are
active, and the counts of one class, 8 bytes × K O M C: for 2,000 images of 256 patches,
150 classes and 55 edits some 300 MB, little, and 130 MB.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64, UInt16
from torch import Tensor
from tqdm import tqdm

from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.pixels import (
    PixelCounts,
    count_pixels,
    count_pixels_on,
    true_C,
)
from vitproto.segmentation.suppression.edited_logits import EDITS_AT_ONCE, EditedLogits
from vitproto.segmentation.suppression.edits import (
    Activity,
    ClassEdits,
    SuppressionSettings,
    class_edits,
)
from vitproto.segmentation.suppression.latent_tables import ChosenClass

IMAGES_PER_CORE = 4
"""Images that are read at a time."""


class _Active(NamedTuple):
    """Where the chosen latents of an image are active, one entry each."""

    i_patch: np.ndarray
    i_kept: np.ndarray
    """Which of the latents that are kept."""
    value: np.ndarray


@dataclass(frozen=True)
class Before:
    """What is known of the test images before any edit."""

    logits_MPC: Float32[np.ndarray, "m p c"]
    true_MC: Int64[np.ndarray, "m c"]
    """Pixels of each class in the mask of each image."""
    predicted_MC: Int64[np.ndarray, "m c"]
    """Labelled pixels that each class is predicted for."""
    hit_MC: Int64[np.ndarray, "m c"]
    """Those of which the mask says the same."""
    mean_length: float
    """Of the activations that are edited, over all patches."""
    kept: list[int]
    """The latents whose values are known: those chosen for any class."""
    active_M: list[_Active]

    def latents(
        self, i_test: int, latents_J: Sequence[int]
    ) -> Float32[np.ndarray, "p j"]:
        """The values of some of the chosen latents on the patches of an image."""
        active = self.active_M[i_test]
        dense_PU = np.zeros((self.logits_MPC.shape[1], len(self.kept)), np.float32)
        dense_PU[active.i_patch, active.i_kept] = active.value
        return dense_PU[:, [self.kept.index(latent) for latent in latents_J]]


@dataclass(frozen=True)
class ClassCounts:
    """What each edit for one class does to each test image."""

    edits: ClassEdits
    predicted_KOMC: Int32[np.ndarray, "k o m c"]
    hit_KOMC: Int32[np.ndarray, "k o m c"]
    n_changed_KO: Int64[np.ndarray, "k o"]
    """Patches of the class whose predicted class changes, over all images."""
    n_others_changed_KO: Int64[np.ndarray, "k o"]
    """The same of patches with other labels."""
    n_to_OC: Int64[np.ndarray, "o c"]
    """What the class's patches change to when its latents are suppressed."""
    n_patches: int
    """Of the class, in the test images."""
    n_others: int
    """Patches with other labels."""
    mean_length_O: Float64[np.ndarray, " o"]
    """Of the edits, over all patches, those without label too."""


class _Changes(NamedTuple):
    """What one image adds, as in `ClassCounts`."""

    n_changed_KO: np.ndarray
    n_others_changed_KO: np.ndarray
    n_to_OC: np.ndarray
    length_O: np.ndarray
    """The sum of the lengths of the edits of its patches."""


def look_before(
    acts: Activations,
    labels: PatchLabels,
    autoencoder: SparseAutoencoder,
    chosen: Sequence[ChosenClass],
    logits: EditedLogits,
    device: torch.device,
    workers: ThreadPoolExecutor,
) -> Before:
    """What do the test images say before any edit? Each is read once.

    Args:
        acts: of the autoencoder's layer.
        labels: of the same images.
        autoencoder: on `device`.
        chosen: the classes whose latents are kept.
        logits: on `device`.
        device: where to compute.
        workers: with one core each.
    """
    i_test_M, n_classes = labels.i_test_M, labels.n_classes
    kept = sorted({latent for one in chosen for latent in one.latents})
    n_images = len(i_test_M)
    logits_MPC = np.empty((n_images, acts.n_patches, n_classes), np.float32)
    true_MC, predicted_MC, hit_MC = np.zeros((3, n_images, n_classes), np.int64)
    length_M = np.empty(n_images)
    active_M: list[_Active] = []

    @torch.inference_mode()
    def look(i_test: int, recorded_PD: Tensor) -> _Active:
        acts_PD = recorded_PD.to(device)
        before_PC = logits.before(i_test, acts_PD)
        mask_HW = labels.masks_MHW[i_test]
        logits_MPC[i_test] = before_PC.cpu().numpy()
        true_MC[i_test] = true_C(mask_HW, n_classes)
        counts = _count(before_PC[None], mask_HW, labels.grid)
        predicted_MC[i_test], hit_MC[i_test] = counts.predicted_EC[0], counts.hit_EC[0]
        length_M[i_test] = acts_PD.double().norm(dim=1).mean().item()
        latents_PU = autoencoder(acts_PD)[:, kept].cpu().numpy()
        i_patch, i_kept = np.nonzero(latents_PU)
        value = latents_PU[i_patch, i_kept]
        return _Active(i_patch.astype(np.int32), i_kept.astype(np.int32), value)

    n_at_once = IMAGES_PER_CORE * torch.get_num_threads()
    with progress_bar(n_images, "images") as progress:
        for first in range(0, n_images, n_at_once):
            images = range(first, min(first + n_at_once, n_images))
            acts_BPD = acts.read_images(i_test_M[images])
            active_M += workers.map(look, images, acts_BPD)
            progress.update(len(images))
    return Before(
        logits_MPC,
        *(true_MC, predicted_MC, hit_MC),
        *(float(length_M.mean()), kept, active_M),
    )


def suppress(
    acts: Activations,
    labels: PatchLabels,
    autoencoder: SparseAutoencoder,
    activity: Activity,
    chosen: Sequence[ChosenClass],
    directions_CD: Float[Tensor, "c d"],
    logits: EditedLogits,
    device: torch.device,
    cfg: SuppressionSettings,
) -> Iterator[tuple[Before, ChosenClass, ClassCounts | None]]:
    """Suppress one class after the other; counts of one class are in memory at a time.

    On a CPU every image of every class is one piece of work, on one core: the number
    of cores changes no bit.

    Args:
        acts: of the autoencoder's layer.
        labels: of the same images, with one or more test images.
        autoencoder: on the CPU.
        activity: of its latents in training.
        chosen: the classes, with their latents or none.
        directions_CD: along which the logit of each class rises most over the mean.
        logits: on `device`.
        device: where to compute.
        cfg: doses, draws and seed.

    Yields:
        What was before, always the same; the class; and its counts. None where the
        class has no latents or the masks of the test images do not show it.
    """
    latents_of = {one.label: one.latents for one in chosen if one.latents}
    with one_core_each() as workers:
        on_device = autoencoder.to(device)
        before = look_before(acts, labels, on_device, chosen, logits, device, workers)
        is_shown_C = before.true_MC.any(axis=0)
        measured = {label for label in latents_of if is_shown_C[label - 1]}
        # Once for each class that is measured.
        n_images = len(measured) * len(before.true_MC)
        with progress_bar(n_images, "images") as progress:
            for one in chosen:
                if one.label not in measured:
                    yield before, one, None
                    continue
                # By a worker: of products, too, bits can depend on the cores.
                edits = workers.submit(
                    class_edits,
                    *(one.label, latents_of, autoencoder, activity),
                    *(directions_CD[one.label - 1], labels.n_classes, cfg),
                ).result()
                yield (
                    before,
                    one,
                    count_changes(
                        *(edits, before, labels, logits, device, workers, progress)
                    ),
                )


def count_changes(
    edits: ClassEdits,
    before: Before,
    labels: PatchLabels,
    logits: EditedLogits,
    device: torch.device,
    workers: ThreadPoolExecutor,
    progress: tqdm,
) -> ClassCounts:
    """What does each edit for a class do to each test image?

    An image that a dose does not edit keeps its counts, and is not counted again.

    Args:
        edits: for the class.
        before: the test images before any edit.
        labels: of their patches and pixels.
        logits: on `device`.
        device: where to compute.
        workers: with one core each.
        progress: moves on by the test images.
    """
    n_kinds, n_doses = len(edits.kinds_K), len(edits.targets_OJ)
    n_images, n_patches, n_classes = before.logits_MPC.shape
    shape = (n_kinds, n_doses, n_images, n_classes)
    predicted_KOMC, hit_KOMC = np.empty(shape, np.int32), np.empty(shape, np.int32)
    labels_MP = labels.labels_NP[labels.i_test_M]
    directions_KJD = edits.directions_KJD.to(device)
    prepared_KJX = workers.submit(logits.prepare, directions_KJD).result()

    @torch.inference_mode()
    def count(i_test: int) -> _Changes:
        predicted_KOMC[:, :, i_test] = before.predicted_MC[i_test]
        hit_KOMC[:, :, i_test] = before.hit_MC[i_test]
        n_changed_KO, n_others_changed_KO = np.zeros((2, n_kinds, n_doses), np.int64)
        n_to_OC = np.zeros((n_doses, n_classes), np.int64)
        latents_PJ = torch.from_numpy(before.latents(i_test, edits.latents_J))
        length_OP, coefficients_KOPJ = edits.sized(latents_PJ)
        is_edited_O = (length_OP > 0).any(dim=1).tolist()
        todo = [
            (k, o) for o in range(n_doses) if is_edited_O[o] for k in range(n_kinds)
        ]
        before_PC = torch.from_numpy(before.logits_MPC[i_test]).to(device)
        best_P = _best(before_PC)
        is_class_P = labels_MP[i_test] == edits.label
        is_other_P = (labels_MP[i_test] != 0) & ~is_class_P
        for first in range(0, len(todo), EDITS_AT_ONCE):
            k_E, o_E = map(list, zip(*todo[first : first + EDITS_AT_ONCE], strict=True))
            after_EPC = logits.after(
                *(i_test, before_PC, prepared_KJX[k_E]),
                coefficients_KOPJ[k_E, o_E].to(device),
            )
            counts = _count(after_EPC, labels.masks_MHW[i_test], labels.grid)
            predicted_KOMC[k_E, o_E, i_test] = counts.predicted_EC
            hit_KOMC[k_E, o_E, i_test] = counts.hit_EC
            best_EP = _best(after_EPC)
            changes_EP = best_EP != best_P
            n_changed_KO[k_E, o_E] = changes_EP[:, is_class_P].sum(axis=1)
            n_others_changed_KO[k_E, o_E] = changes_EP[:, is_other_P].sum(axis=1)
            for e, (k, o) in enumerate(zip(k_E, o_E, strict=True)):
                if edits.kinds_K[k] == "latents":
                    to = best_EP[e, changes_EP[e] & is_class_P]
                    n_to_OC[o] = np.bincount(to, minlength=n_classes)
        length_O = length_OP.sum(dim=1).numpy()
        return _Changes(n_changed_KO, n_others_changed_KO, n_to_OC, length_O)

    total = _Changes(
        *np.zeros((2, n_kinds, n_doses), np.int64),
        np.zeros((n_doses, n_classes), np.int64),
        np.zeros(n_doses),
    )
    # Added in the order of images, whichever core was first.
    for changes in workers.map(count, range(n_images)):
        for sum_, part in zip(total, changes, strict=True):
            sum_ += part
        progress.update()
    is_class_MP = labels_MP == edits.label
    return ClassCounts(
        edits=edits,
        predicted_KOMC=predicted_KOMC,
        hit_KOMC=hit_KOMC,
        n_changed_KO=total.n_changed_KO,
        n_others_changed_KO=total.n_others_changed_KO,
        n_to_OC=total.n_to_OC,
        n_patches=int(is_class_MP.sum()),
        n_others=int(((labels_MP != 0) & ~is_class_MP).sum()),
        mean_length_O=total.length_O / (n_images * n_patches),
    )


def _count(
    logits_EPC: Tensor, mask_HW: UInt16[np.ndarray, "h w"], grid: tuple[int, int]
) -> PixelCounts:
    if logits_EPC.device.type == "cpu":
        return count_pixels(logits_EPC.numpy(), mask_HW, grid)
    mask = torch.from_numpy(mask_HW.astype(np.int32)).to(logits_EPC.device)
    return count_pixels_on(logits_EPC, mask, grid)


def _best(logits_XC: Tensor) -> np.ndarray:
    """The index of the highest logit, of equal ones the first."""
    if logits_XC.device.type == "cpu":
        return logits_XC.numpy().argmax(axis=-1)
    return logits_XC.argmax(dim=-1).cpu().numpy()
