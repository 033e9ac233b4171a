"""Suppress the latents of one class after the other, and count what changes.

M test images, P patches, D width, J latents of a class, U latents chosen for any class,
C classes, H × W pixels, O doses, K kinds of edits. E edits: a kind at a dose.

Memory holds, for all test images, the logits before (300 MB for 2,000 images of 256
patches and 150 classes), the chosen latents where they are active (little), and the
counts of one class (8 bytes × K O M C, 1 GB with 82 kinds at 5 doses).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int32, Int64, UInt16
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
from vitproto.segmentation.suppression.class_counts import (
    Active,
    Before,
    ClassCounts,
)
from vitproto.segmentation.suppression.edited_logits import EDITS_AT_ONCE, EditedLogits
from vitproto.segmentation.suppression.edits import (
    Activity,
    ClassEdits,
    SuppressionSettings,
    class_edits,
)
from vitproto.segmentation.suppression.kept_classes import KeptClasses
from vitproto.segmentation.suppression.terms import ChosenClass

IMAGES_PER_CORE = 4
"""Images that are read at a time."""


class _Changes(NamedTuple):
    """What the edits for a class change in one image, or the sum over images.

    The fields are those of `ClassCounts`, but for the last.
    """

    n_changed_KO: Int64[np.ndarray, "k o"]
    n_others_changed_KO: Int64[np.ndarray, "k o"]
    n_to_OC: Int64[np.ndarray, "o c"]
    length_O: Float64[np.ndarray, " o"]
    """The lengths of edits, summed over patches."""

    @classmethod
    def none(cls, n_kinds: int, n_doses: int, n_classes: int) -> "_Changes":
        """Zeros."""
        return cls(
            *np.zeros((2, n_kinds, n_doses), np.int64),
            np.zeros((n_doses, n_classes), np.int64),
            np.zeros(n_doses),
        )


def look_before(
    acts: Activations,
    labels: PatchLabels,
    autoencoder: SparseAutoencoder,
    chosen: Sequence[ChosenClass],
    logits: EditedLogits,
    device: torch.device,
    workers: ThreadPoolExecutor,
) -> Before:
    """Compute logits, pixel counts and chosen latents of the unedited test images.

    Args:
        acts: activations of the autoencoder's layer; each image is read once.
        labels: of the same images.
        autoencoder: on `device`.
        chosen: the classes whose latents are kept.
        logits: on `device`.
        device: where to compute.
        workers: with one core each.
    """
    i_test_M, n_classes = labels.i_test_M, labels.n_classes
    kept = sorted({latent for choice in chosen for latent in choice.latents})
    n_images = len(i_test_M)
    logits_MPC = np.empty((n_images, acts.n_patches, n_classes), np.float32)
    true_MC, predicted_MC, hit_MC = np.zeros((3, n_images, n_classes), np.int64)
    length_M = np.empty(n_images)
    active_M: list[Active] = []

    @torch.inference_mode()
    def look(i_test: int, recorded_PD: Tensor) -> Active:
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
        return Active(i_patch.astype(np.int32), i_kept.astype(np.int32), value)

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
        *(length_M, kept, active_M),
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
    kept: KeptClasses,
) -> Iterator[tuple[Before, ChosenClass, ClassCounts | None]]:
    """Suppress one class after the other; counts of one class are in memory at a time.

    On a CPU one core does all work on an image, so the number of cores does not change
    a bit.

    Args:
        acts: activations of the autoencoder's layer.
        labels: of the same images, with one or more test images.
        autoencoder: on the CPU.
        activity: the activity of its latents in training.
        chosen: the classes and their latents, if any.
        directions_CD: along which the logit of each class rises most over the mean.
        logits: on `device`.
        device: where to compute.
        cfg: doses, draws and seed.
        kept: the counts that earlier jobs have kept, and where to keep others.

    Yields:
        The test images before any edit, always the same; the class; and its counts,
        None if it has no latents or the masks of the test images do not show it.
    """
    latents_of = {choice.label: choice.latents for choice in chosen if choice.latents}
    with one_core_each() as workers:
        on_device = autoencoder.to(device)
        before = look_before(acts, labels, on_device, chosen, logits, device, workers)
        is_shown_C = before.true_MC.any(axis=0)
        measured = {label for label in latents_of if is_shown_C[label - 1]}
        # Each image once per class that is measured.
        n_images = len(before.true_MC)
        with progress_bar(len(measured) * n_images, "images") as progress:
            for choice in chosen:
                if choice.label not in measured:
                    yield before, choice, None
                    continue
                # By a worker, since bits of products can depend on the number of cores.
                edits = workers.submit(
                    class_edits,
                    *(choice.label, latents_of, autoencoder, activity),
                    *(directions_CD[choice.label - 1], labels.n_classes, cfg),
                ).result()
                counts = kept.read(edits, before)
                if counts is not None:
                    progress.update(n_images)
                else:
                    counts = count_changes(
                        *(edits, before, labels, logits, device, workers, progress)
                    )
                    kept.write(counts, before)
                yield before, choice, counts


def count_changes(
    edits: ClassEdits,
    before: Before,
    labels: PatchLabels,
    logits: EditedLogits,
    device: torch.device,
    workers: ThreadPoolExecutor,
    progress: tqdm,
) -> ClassCounts:
    """Count what each edit for a class does to each test image.

    An image that a dose does not edit keeps its counts and is not counted again.

    Args:
        edits: for the class.
        before: the test images before any edit.
        labels: of their patches and pixels.
        logits: on `device`.
        device: where to compute.
        workers: with one core each.
        progress: advanced once per test image.
    """
    n_kinds, n_doses = len(edits.kinds_K), len(edits.doses_O)
    n_images, n_patches, n_classes = before.logits_MPC.shape
    directions_KJD = edits.directions_KJD.to(device)
    pixels_shape = (n_kinds, n_doses, n_images, n_classes)
    counter = _ImageCounter(
        *(edits, before, labels, logits, device),
        prepared_KJX=workers.submit(logits.prepare, directions_KJD).result(),
        predicted_KOMC=np.empty(pixels_shape, np.int32),
        hit_KOMC=np.empty(pixels_shape, np.int32),
    )
    total = _Changes.none(n_kinds, n_doses, n_classes)
    length_OM = np.empty((n_doses, n_images))
    for i_test, changes in enumerate(workers.map(counter.count, range(n_images))):
        for sum_, part in zip(total, changes, strict=True):
            sum_ += part
        length_OM[:, i_test] = changes.length_O / n_patches
        progress.update()
    labels_MP = labels.labels_NP[labels.i_test_M]
    is_class_MP = labels_MP == edits.label
    return ClassCounts(
        edits=edits,
        predicted_KOMC=counter.predicted_KOMC,
        hit_KOMC=counter.hit_KOMC,
        n_changed_KO=total.n_changed_KO,
        n_others_changed_KO=total.n_others_changed_KO,
        n_to_OC=total.n_to_OC,
        n_patches=int(is_class_MP.sum()),
        n_others=int(((labels_MP != 0) & ~is_class_MP).sum()),
        length_OM=length_OM,
    )


class _Image(NamedTuple):
    """A test image before any edit."""

    i_test: int
    best_P: Int64[np.ndarray, " p"]
    """The predicted class of each patch, from 0."""
    is_class_P: Bool[np.ndarray, " p"]
    """Patches labelled with the class whose latents are suppressed."""
    is_other_P: Bool[np.ndarray, " p"]
    """Patches with other labels; patches without label are neither."""


@dataclass(frozen=True)
class _ImageCounter:
    """Counts what the edits for one class do to one test image after the other."""

    edits: ClassEdits
    before: Before
    labels: PatchLabels
    logits: EditedLogits
    device: torch.device
    prepared_KJX: Tensor
    predicted_KOMC: Int32[np.ndarray, "k o m c"]
    """Output: pixel counts, written image by image."""
    hit_KOMC: Int32[np.ndarray, "k o m c"]

    @torch.inference_mode()
    def count(self, i_test: int) -> _Changes:
        """Apply all edits to an image: write its pixel counts, return its patches'."""
        before, (n_kinds, n_doses, _, n_classes) = self.before, self.hit_KOMC.shape
        latents_PJ = torch.from_numpy(before.latents(i_test, self.edits.latents_J))
        length_OP, coefficients_KOPJ = self.edits.sized(latents_PJ)
        before_PC = torch.from_numpy(before.logits_MPC[i_test]).to(self.device)
        labels_P = self.labels.labels_NP[self.labels.i_test_M[i_test]]
        is_class_P = labels_P == self.edits.label
        is_other_P = (labels_P != 0) & ~is_class_P
        image = _Image(i_test, _best(before_PC), is_class_P, is_other_P)

        # Doses that edit no patch of the image leave everything as it is.
        self.predicted_KOMC[:, :, i_test] = before.predicted_MC[i_test]
        self.hit_KOMC[:, :, i_test] = before.hit_MC[i_test]
        changes = _Changes.none(n_kinds, n_doses, n_classes)
        changes.length_O[:] = length_OP.sum(dim=1).numpy()
        is_edited_O = (length_OP > 0).any(dim=1).numpy()

        for k_E, o_E in _batches_of_edits(n_kinds, is_edited_O):
            after_EPC = self.logits.after(
                *(i_test, before_PC, self.prepared_KJX[k_E]),
                coefficients_KOPJ[k_E, o_E].to(self.device),
            )
            self._count_pixels(image, k_E, o_E, after_EPC)
            self._count_patches(image, k_E, o_E, after_EPC, changes)
        return changes

    def _count_pixels(
        self, image: _Image, k_E: list[int], o_E: list[int], after_EPC: Tensor
    ) -> None:
        """Write the pixels that each class is predicted for, and the correct ones."""
        mask_HW = self.labels.masks_MHW[image.i_test]
        counts = _count(after_EPC, mask_HW, self.labels.grid)
        self.predicted_KOMC[k_E, o_E, image.i_test] = counts.predicted_EC
        self.hit_KOMC[k_E, o_E, image.i_test] = counts.hit_EC

    def _count_patches(
        self,
        image: _Image,
        k_E: list[int],
        o_E: list[int],
        after_EPC: Tensor,
        changes: _Changes,
    ) -> None:
        """Write how many patches change their predicted class, and to which."""
        best_EP = _best(after_EPC)
        changes_EP = best_EP != image.best_P
        changes.n_changed_KO[k_E, o_E] = changes_EP[:, image.is_class_P].sum(axis=1)
        changes.n_others_changed_KO[k_E, o_E] = changes_EP[:, image.is_other_P].sum(
            axis=1
        )
        for e, (k, o) in enumerate(zip(k_E, o_E, strict=True)):
            if self.edits.kinds_K[k] == "latents":
                new_X = best_EP[e, changes_EP[e] & image.is_class_P]
                n_classes = self.hit_KOMC.shape[-1]
                changes.n_to_OC[o] = np.bincount(new_X, minlength=n_classes)


def _batches_of_edits(
    n_kinds: int, is_edited_O: Bool[np.ndarray, " o"]
) -> Iterator[tuple[list[int], list[int]]]:
    """All kinds of edits at the doses that edit an image, `EDITS_AT_ONCE` at a time.

    Yields:
        The kind and the dose of each edit.
    """
    doses = np.flatnonzero(is_edited_O).tolist()
    edits = [(k, o) for o in doses for k in range(n_kinds)]
    for first in range(0, len(edits), EDITS_AT_ONCE):
        k_E, o_E = zip(*edits[first : first + EDITS_AT_ONCE], strict=True)
        yield list(k_E), list(o_E)


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
