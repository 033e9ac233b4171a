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
    """The score of its best patch, or of its lowest, by which it was picked."""
    patch_scores: list[list[float]]
    """The scores of all patches, in rows, as in the encoder's input."""


@dataclass(frozen=True)
class FoundTrait:
    """A trait that a prototype was chosen for."""

    trait: str
    page: str
    """The page of the trait, relative to the page of the prototype."""
    n_train: int
    """The training images that chose."""
    test_ap: float | None
    """The AP on the test images; None if none of them shows the trait."""


@dataclass(frozen=True)
class ClassRate:
    """How a prototype scores the images of a class."""

    class_name: str
    n_images: int
    rate: float
    """The share of images that score above 0."""
    mean_score: float


@dataclass(frozen=True)
class Role:
    """What a study of traits found out about a prototype."""

    traits: list[FoundTrait]
    """Those it was chosen for, the highest AP first."""
    classes: list[ClassRate]
    """The highest mean score first; empty if images have no classes."""


NO_ROLE = Role([], [])
"""That of a prototype where nothing looked for traits."""


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
    """Those with the highest scores, best first."""
    lowest: list[ShownImage]
    """Those with the lowest scores, lowest first; empty if no score is below 0, or none
    above."""
    role: Role
    """What a study of traits found out about it."""


def to_feature(
    prototype: int,
    chosen: Chosen,
    top: TopImages,
    images: list[ShownImage],
    lowest: list[ShownImage],
    role: Role,
) -> Feature:
    """Collect the data of a chosen prototype."""
    is_driven = top.n_above_K[prototype] > 0
    return Feature(
        prototype=prototype,
        reasons=chosen.reasons[prototype],
        frequency=float(top.frequency_K[prototype]),
        mean_value=float(top.mean_value_K[prototype]) if is_driven else None,
        images=images,
        lowest=lowest,
        role=role,
    )


def to_image(
    image_id: str, path: str, scores_HW: Float32[np.ndarray, "h w"], score: float
) -> ShownImage:
    """An image with the scores of its patches, in the fewest digits for float32."""
    rows = [[float(str(score)) for score in row] for row in scores_HW]
    return ShownImage(image_id, path, float(str(np.float32(score))), rows)
