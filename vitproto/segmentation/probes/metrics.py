"""IoU and accuracy, from counts of pixels.

Only labelled pixels are counted. Arrays may have any axes before the axis of classes C,
such as R resamples or G probes; they are broadcast against each other.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Counts:
    """Numbers of labelled pixels by class.

    Attributes:
        true_C: pixels of the class according to the masks.
        predicted_C: pixels for which the class is predicted.
        hit_C: pixels for which both hold.
    """

    true_C: Integer[np.ndarray, "*#r c"]
    predicted_C: Integer[np.ndarray, "*#r c"]
    hit_C: Integer[np.ndarray, "*#r c"]

    @property
    def iou_C(self) -> Float64[np.ndarray, "*r c"]:
        """Intersection over union: hit / (true + predicted - hit).

        NaN if no mask shows the class; 0 if it is shown and never predicted.
        """
        union_C = self.true_C + self.predicted_C - self.hit_C
        return _share(self.hit_C, np.where(self.true_C > 0, union_C, 0))

    @property
    def accuracy_C(self) -> Float64[np.ndarray, "*r c"]:
        """The share of a class's pixels that are predicted correctly: hit / true.

        NaN if no mask shows the class.
        """
        return _share(self.hit_C, self.true_C)

    @property
    def miou(self) -> Float64[np.ndarray, "*r"]:
        """The mean IoU of the classes that the masks show; NaN if there are none."""
        iou_C = self.iou_C
        is_shown_C = ~np.isnan(iou_C)
        total = np.where(is_shown_C, iou_C, 0.0).sum(axis=-1)
        return _share(total, is_shown_C.sum(axis=-1))

    @property
    def pixel_accuracy(self) -> Float64[np.ndarray, "*r"]:
        """The share of all labelled pixels that are hits; NaN if there are none."""
        return _share(self.hit_C.sum(axis=-1), self.true_C.sum(axis=-1))


def _share(part: ArrayLike, whole: ArrayLike) -> Float64[np.ndarray, "..."]:
    """`part` / `whole`; NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    share = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
