"""The data of a prototype that is shown."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from vitproto.features.choice import Chosen, Reason
from vitproto.features.top_images import TopImages


@dataclass(frozen=True)
class ShownImage:
    """An image that drives a prototype."""

    image_id: str
    path: str
    """Relative to the data set's root."""
    score: float
    """The score of its best patch."""
    patch_scores: list[list[float]]
    """The scores of all patches, in rows, as in the encoder's input."""


@dataclass(frozen=True)
class Feature:
    """A prototype with the images that drive it."""

    prototype: int
    """Counted from 0."""
    reasons: tuple[Reason, ...]
    """Why it is shown."""
    frequency: float
    """The share of patches that score above 0."""
    mean_value: float | None
    """The mean score of these patches; None if there are none."""
    images: list[ShownImage]
    """Best first."""

    @property
    def picture(self) -> str:
        """The name of the file with its images."""
        return f"{self.prototype:05d}.png"


def to_feature(
    prototype: int, chosen: Chosen, top: TopImages, images: list[ShownImage]
) -> Feature:
    """Collect the data of a chosen prototype."""
    is_driven = top.n_above_K[prototype] > 0
    return Feature(
        prototype=prototype,
        reasons=chosen.reasons[prototype],
        frequency=float(top.frequency_K[prototype]),
        mean_value=float(top.mean_value_K[prototype]) if is_driven else None,
        images=images,
    )


def to_image(
    image_id: str, path: str, scores_HW: Float32[np.ndarray, "h w"]
) -> ShownImage:
    """An image with the scores of its patches, in the fewest digits for float32."""
    rows = [[float(str(score)) for score in row] for row in scores_HW]
    return ShownImage(image_id, path, max(map(max, rows)), rows)
