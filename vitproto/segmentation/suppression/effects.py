"""The effects of edits on a class and on the others, with what each image adds.

M test images, C classes, K kinds of edits, O doses; E edits: kind · O + dose.

The *loss* of a class is the share of its IoU that an edit takes: with IoU b before and
a after,

    (b - a) / max(a, b)

which is 1 if the class is gone, 0 if nothing changes, and -1 at most if it gains: a
gain is relative to the IoU after, so that no class with little IoU outweighs the rest.
*Collateral* is the mean loss of the other classes, *specificity* is loss - collateral.
Only classes with edits of their own and an IoU of at least `LEAST_IOU` before are
counted: the others have next to nothing to lose, or are not compared. So if the same
edit is made for each class, the mean specificity is 0, and one that wipes out
everything has a specificity of 0 in every class.

The *influence* of an image on a number is its derivative by the image's weight. The
sum of their squares estimates the variance from drawing the images (the infinitesimal
jackknife, Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, §6).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from vitproto.segmentation.probes.metrics import Counts
from vitproto.segmentation.suppression.counts_file import EditedClass, SuppressionCounts
from vitproto.segmentation.suppression.intervals import effective_number
from vitproto.segmentation.suppression.terms import LEAST_IOU


@dataclass(frozen=True)
class EditEffects:
    """What an edit does, with one or more draws.

    Attributes:
        loss_NO, collateral_NO: of each draw; NaN where undefined.
        loss_OM, collateral_OM: the influence of each image on their means over draws.
        iou_O, accuracy_O, others_iou_O, others_accuracy_O: scores of the class, and
            means over the other classes that the masks show; means over draws.
        changed_O, others_changed_O: the share of the class's patches, and of other
            labelled patches, whose predicted class changes; means over draws.
    """

    loss_NO: Float64[np.ndarray, "n o"]
    collateral_NO: Float64[np.ndarray, "n o"]
    loss_OM: Float32[np.ndarray, "o m"]
    collateral_OM: Float32[np.ndarray, "o m"]
    iou_O: Float64[np.ndarray, " o"]
    accuracy_O: Float64[np.ndarray, " o"]
    others_iou_O: Float64[np.ndarray, " o"]
    others_accuracy_O: Float64[np.ndarray, " o"]
    changed_O: Float64[np.ndarray, " o"]
    others_changed_O: Float64[np.ndarray, " o"]


@dataclass(frozen=True)
class ClassEffects:
    """What all edits for one class do.

    Attributes:
        length_O: mean length of the edits, as a share of the mean length of the
            activations.
        iou_before, accuracy_before, others_iou_before, others_accuracy_before: scores
            of the class, and means over the other classes that the masks show.
        edits: by name, in the order of tables; controls that the class lacks are not
            there.
        n_images: images that show the class.
        n_effective: their effective number, weighted by their pixels of the class.
        n_others: other classes that are compared.
        is_predicted: whether the probe predicts the class anywhere.
        is_alone: whether the masks show no other class.
    """

    length_O: Float64[np.ndarray, " o"]
    iou_before: float
    accuracy_before: float
    others_iou_before: float
    others_accuracy_before: float
    edits: dict[str, EditEffects]
    n_images: int
    n_effective: float
    n_others: int
    is_predicted: bool
    is_alone: bool

    @property
    def is_judged(self) -> bool:
        """Whether the edits show how much the class relies on its latents.

        They do not if it or all others have nothing to lose, or if its latents are
        never active, so that edits have no length.
        """
        is_edited = bool((self.length_O > 0).any())
        return self.iou_before >= LEAST_IOU and self.n_others > 0 and is_edited


def can_lose(counts: SuppressionCounts) -> Bool[np.ndarray, " c"]:
    """Find the classes that have something to lose; those not shown have not."""
    return np.nan_to_num(_before(counts).iou_C) >= LEAST_IOU


def compared_classes(counts: SuppressionCounts) -> Bool[np.ndarray, " c"]:
    """Find the classes that are compared: they can lose, and their edits have a length.

    An edit that harms all classes alike has a mean specificity of 0 over exactly those
    classes that also count as others.
    """
    return can_lose(counts) & counts.edited_classes()


def measure_class(
    counts: SuppressionCounts,
    edited: EditedClass,
    compared_C: Bool[np.ndarray, " c"],
) -> ClassEffects:
    """Measure what the edits for a class do.

    Args:
        counts: of the autoencoder.
        edited: a class of it with one or more kinds of edits.
        compared_C: the classes over which collateral is the mean, but for this one.
    """
    c, before = edited.chosen.label - 1, _before(counts)
    n_classes = len(before.true_C)
    changed = _Changed(counts, edited, before)
    after = changed.after
    is_other_C = compared_C.copy()
    is_other_C[c] = False
    n_others = int(is_other_C.sum())
    is_shown_C = before.true_C > 0
    is_shown_C[c] = False
    shape = (len(edited.kinds_K), len(edited.length_OM))

    def by_kind(values_E: np.ndarray) -> np.ndarray:
        return values_E.reshape(*shape, *values_E.shape[1:])

    loss_EC = relative_loss(before.iou_C, after.iou_C)
    loss_KO = by_kind(loss_EC[:, c])
    collateral_KO = by_kind(_means(loss_EC, is_other_C))
    loss_KOM = by_kind(changed.influence(np.eye(n_classes)[c]))
    collateral_KOM = by_kind(changed.influence(is_other_C / max(n_others, 1)))
    scores_KO = [
        by_kind(part_E)
        for part_E in (
            *(after.iou_C[:, c], after.accuracy_C[:, c]),
            *(_means(part, is_shown_C) for part in (after.iou_C, after.accuracy_C)),
            _share(edited.n_changed_KO.ravel(), edited.n_patches),
            _share(edited.n_others_changed_KO.ravel(), edited.n_others),
        )
    ]
    edits = {}
    for edit in dict.fromkeys(edited.kinds_K):
        k = edited.draws_of(edit)
        edits[edit] = EditEffects(
            *(loss_KO[k], collateral_KO[k]),
            *(
                part_KOM[k].mean(axis=0).astype(np.float32)
                for part_KOM in (loss_KOM, collateral_KOM)
            ),
            *(part_KO[k].mean(axis=0) for part_KO in scores_KO),
        )
    scores = (before.iou_C, before.accuracy_C)
    return ClassEffects(
        edited.length_OM.mean(axis=1) / counts.length_M.mean(),
        *(float(part_C[c]) for part_C in scores),
        *(float(_means(part_C[None], is_shown_C)[0]) for part_C in scores),
        edits,
        n_images=int((counts.true_MC[:, c] > 0).sum()),
        n_effective=effective_number(counts.true_MC[:, c]),
        n_others=n_others,
        is_predicted=bool(before.predicted_C[c] > 0),
        is_alone=not is_shown_C.any(),
    )


def relative_loss(
    before: Float64[np.ndarray, "*#s"], after: Float64[np.ndarray, "*#s"]
) -> Float64[np.ndarray, "*s"]:
    """(before - after) / the larger of both, from -1 to 1; NaN if both are 0."""
    larger = np.maximum(before, after)
    return np.divide(
        before - after, larger, out=np.full(larger.shape, np.nan), where=larger > 0
    )


def _before(counts: SuppressionCounts) -> Counts:
    parts = (counts.true_MC, counts.predicted_MC, counts.hit_MC)
    return Counts(*(part.sum(axis=0) for part in parts))


class _Changed:
    """Counts after each edit: sums over images, and the influence of each image."""

    def __init__(self, counts: SuppressionCounts, edited: EditedClass, before: Counts):
        """`before` are the sums before any edit."""
        self._counts, self._edited, self._before = counts, edited, before
        n_edits, n_classes = len(edited.start_E) - 1, len(before.true_C)
        self._edit_X = np.repeat(np.arange(n_edits), np.diff(edited.start_E))
        cell_X = self._edit_X * n_classes + edited.class_X

        def total(change_X: Int64[np.ndarray, " x"]) -> Int64[np.ndarray, "e c"]:
            # Sums of integers below 2^53, exact in float64.
            sum_Y = np.bincount(cell_X, change_X, n_edits * n_classes)
            return sum_Y.astype(np.int64).reshape(n_edits, n_classes)

        self.after = Counts(
            before.true_C[None],
            before.predicted_C + total(edited.predicted_X),
            before.hit_C + total(edited.hit_X),
        )

    def influence(
        self, weight_C: Float64[np.ndarray, " c"]
    ) -> Float64[np.ndarray, "e m"]:
        """The influence of each image on a weighted sum of losses.

        By the chain rule: of IoU = hit / union, an image with h hits and union u has
        the influence (h - IoU · u) / union.
        """
        is_used_C = weight_C > 0
        index_C = np.cumsum(is_used_C) - 1
        before_C, after_EC = self._before.iou_C[is_used_C], self.after.iou_C
        after_EC = after_EC[:, is_used_C]
        by_before_EC, by_after_EC = _slopes(before_C, after_EC)
        union_C, union_EC = (
            (part.true_C + part.predicted_C - part.hit_C)[..., is_used_C]
            for part in (self._before, self.after)
        )
        by_before_EC *= weight_C[is_used_C] / np.maximum(union_C, 1)
        by_after_EC *= weight_C[is_used_C] / np.maximum(union_EC, 1)

        counts, edited = self._counts, self._edited
        hit_MC = counts.hit_MC[:, is_used_C].astype(np.float64)
        union_MC = counts.true_MC + counts.predicted_MC - counts.hit_MC
        union_MC = union_MC[:, is_used_C].astype(np.float64)
        by_union_EC = by_before_EC * before_C + by_after_EC * after_EC
        # No matrix product: its last bits depend on the number of cores.
        influence_EM = np.einsum("ec,mc->em", by_before_EC + by_after_EC, hit_MC)
        influence_EM -= np.einsum("ec,mc->em", by_union_EC, union_MC)

        kept_X = is_used_C[edited.class_X]
        edit_X, image_X = self._edit_X[kept_X], edited.image_X[kept_X]
        class_X = index_C[edited.class_X[kept_X]]
        hit_X = edited.hit_X[kept_X]
        union_X = edited.predicted_X[kept_X] - hit_X
        change_X = by_after_EC[edit_X, class_X] * (
            hit_X - after_EC[edit_X, class_X] * union_X
        )
        n_images = len(hit_MC)
        influence_EM += np.bincount(
            edit_X * n_images + image_X, change_X, influence_EM.size
        ).reshape(influence_EM.shape)
        return influence_EM


def _slopes(
    before_C: Float64[np.ndarray, " c"], after_EC: Float64[np.ndarray, "e c"]
) -> tuple[Float64[np.ndarray, "e c"], Float64[np.ndarray, "e c"]]:
    """The derivatives of `relative_loss` by the IoU before and by the one after."""
    before_EC = np.broadcast_to(before_C, after_EC.shape)
    is_loss_EC = after_EC <= before_EC
    larger_EC = np.where(is_loss_EC, before_EC, after_EC)
    larger_EC = np.where(larger_EC > 0, larger_EC, np.inf)
    by_before_EC = np.where(is_loss_EC, after_EC / larger_EC**2, 1 / larger_EC)
    by_after_EC = np.where(is_loss_EC, -1 / larger_EC, -before_EC / larger_EC**2)
    return by_before_EC, by_after_EC


def _means(
    value_EC: Float64[np.ndarray, "e c"], is_meant_C: Bool[np.ndarray, " c"]
) -> Float64[np.ndarray, " e"]:
    """Means over some classes; NaN if there are none."""
    if not is_meant_C.any():
        return np.full(len(value_EC), np.nan)
    return value_EC[:, is_meant_C].mean(axis=1)


def _share(n_E: Int64[np.ndarray, " e"], n_all: int) -> Float64[np.ndarray, " e"]:
    return n_E / n_all if n_all else np.full(len(n_E), np.nan)
