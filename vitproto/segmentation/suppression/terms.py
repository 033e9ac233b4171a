"""What suppression is made of and measured in: edits, autoencoders, thresholds.

Loads no torch, so that tables and pages start fast.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Edit = Literal[
    "latents",
    "random_latents",
    "frequent_latents",
    "random_directions",
    "other_class",
    "class_direction",
]
EDITS: tuple[Edit, ...] = get_args(Edit)
"""All edits, in the order of the tables."""

LEAST_IOU = 0.05
"""A class with a lower IoU before any edit has next to nothing to lose."""
HALF = 0.5
"""The loss at which collateral is compared: the class has lost half of its IoU."""
GONE = 0.95
"""A class that has lost this share of its IoU is gone: a longer edit shows nothing."""
LEAST_IMAGES = 10
"""A class that fewer images show has no interval of its own."""
LEAST_CLASSES = 10
"""A mean over fewer classes has no interval: docs/suppression_coverage.md begins here,
and so few numbers do not show how skewed their population is."""
EXCESS_KURTOSIS = 1.8
"""What intervals over classes take the excess kurtosis of effects to be: that of
an edit that removes 15 % of the classes and leaves the others alone."""


class Place(NamedTuple):
    """An SAE and the layer that the probe reads. Places sort in the order of tables."""

    encoder: str
    probe_layer: int
    layer: int
    method: str
    run: str

    def __str__(self) -> str:
        return (
            f"{self.method} {self.run} in layer {self.layer} of {self.encoder}, read "
            f"by a probe of layer {self.probe_layer}"
        )


@dataclass(frozen=True)
class ChosenClass:
    """A class and the latents to suppress."""

    label: int
    name: str
    latents: tuple[int, ...]
    """Each once, best first; may be empty."""
    notes: tuple[str, ...]
    """Why there are no latents."""
