"""What is known of a prototype that is shown."""

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
    """Of its best patch."""
    patch_scores: list[list[float]]
    """Row by row, as the patches lie in what the encoder saw."""


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
    """The mean score of those patches; None where there is none."""
    images: list[ShownImage]
    """Best first."""

    @property
    def picture(self) -> str:
        """The file that shows its images."""
        return f"{self.prototype:05d}.png"


def to_feature(
    prototype: int, chosen: Chosen, top: TopImages, images: list[ShownImage]
) -> Feature:
    """What is known of a prototype that was chosen."""
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
    """An image with the scores of its patches, as short as float32 can be told."""
    rows = [[float(str(score)) for score in row] for row in scores_HW]
    return ShownImage(image_id, path, max(map(max, rows)), rows)
