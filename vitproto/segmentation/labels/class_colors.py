"""A colour for each class, the same in every picture.

C classes; M colours.
"""

from functools import cache

import numpy as np
from jaxtyping import Float64, UInt8, UInt16
from PIL import Image

FIRST = (
    *((0, 114, 178), (230, 159, 0), (86, 180, 233), (213, 94, 0)),
    *((0, 158, 115), (204, 121, 167), (240, 228, 66)),
)
"""Colours of the first classes, often the most frequent ones: Okabe and Ito's, which
are distinct with any kind of colour vision. No set of 150 colours is."""
STEPS = (0, 28, 57, 85, 113, 142, 170, 198, 227, 255)
"""Values of each channel: candidates for other classes are all their combinations."""
LIGHTNESS = (0.33, 0.93)
"""Lightness of the darkest and the lightest candidate; 0 is black, 1 white."""
CHROMA = (0.06, 0.22)
"""Minimum and maximum chroma of candidates: unlabelled pixels are grey, and strong
colours glare."""

UNLABELLED = ((214, 214, 214), (168, 168, 168))
"""The greys of the hatching of unlabelled pixels."""
HATCH = 4
"""Width of the stripes, in pixels."""


def paint(label_HW: UInt16[np.ndarray, "h w"]) -> Image.Image:
    """Paint a mask: each class in its colour, unlabelled pixels hatched."""
    highest = int(label_HW.max())
    color_L3 = np.zeros((highest + 1, 3), np.uint8)
    color_L3[1:] = class_colors(highest)
    painted_HW3 = color_L3[label_HW]
    y_H1, x_1W = np.ogrid[: label_HW.shape[0], : label_HW.shape[1]]
    stripe_HW = (x_1W + y_H1) // HATCH % 2
    hatched_HW3 = np.array(UNLABELLED, np.uint8)[stripe_HW]
    is_blank_HW1 = (label_HW == 0)[:, :, None]
    return Image.fromarray(np.where(is_blank_HW1, hatched_HW3, painted_HW3))


def class_colors(n_classes: int) -> UInt8[np.ndarray, "c 3"]:
    """Red, green and blue of the classes with the labels 1, 2, …

    After `FIRST`, each colour is the candidate that differs most, to the eye, from the
    colours of all classes before it. So a class keeps its colour if there are more
    classes.

    Raises:
        ValueError: there are more classes than colours.
    """
    color_M3 = _colors()
    if n_classes > len(color_M3):
        raise ValueError(
            f"there are {len(color_M3)} colours for {n_classes} classes: show masks "
            "with fewer classes"
        )
    return color_M3[:n_classes]


@cache
def _colors() -> UInt8[np.ndarray, "m 3"]:
    """All colours, in the order of the classes."""
    color_M3 = np.concatenate([np.array(FIRST, np.uint8), _candidates()])
    lab_M3 = to_oklab(color_M3)
    chosen = list(range(len(FIRST)))
    nearest_M = np.min([_square_M(lab_M3, m) for m in chosen], axis=0)
    while len(chosen) < len(color_M3):
        chosen.append(int(nearest_M.argmax()))
        nearest_M = np.minimum(nearest_M, _square_M(lab_M3, chosen[-1]))
    return color_M3[chosen]


def _square_M(lab_M3: Float64[np.ndarray, "m 3"], m: int) -> Float64[np.ndarray, " m"]:
    """The squared distance of each colour from colour m; -1 for m, which is taken."""
    square_M = np.square(lab_M3 - lab_M3[m]).sum(axis=1)
    square_M[m] = -1
    return square_M


def _candidates() -> UInt8[np.ndarray, "m 3"]:
    """All combinations that are not grey, glaring, nearly black or nearly white."""
    channels = np.meshgrid(STEPS, STEPS, STEPS, indexing="ij")
    all_M3 = np.stack([channel.ravel() for channel in channels], 1).astype(np.uint8)
    lab_M3 = to_oklab(all_M3)
    is_fit_M = (lab_M3[:, 0] >= LIGHTNESS[0]) & (lab_M3[:, 0] <= LIGHTNESS[1])
    chroma_M = np.hypot(lab_M3[:, 1], lab_M3[:, 2])
    is_fit_M &= (chroma_M >= CHROMA[0]) & (chroma_M <= CHROMA[1])
    return all_M3[is_fit_M]


def to_oklab(color_M3: UInt8[np.ndarray, "m 3"]) -> Float64[np.ndarray, "m 3"]:
    """Convert sRGB to Björn Ottosson's Oklab, where equal distances look equal."""
    share_M3 = color_M3 / 255
    linear_M3 = np.where(
        share_M3 <= 0.04045, share_M3 / 12.92, ((share_M3 + 0.055) / 1.055) ** 2.4
    )
    cone_M3 = np.cbrt(_mix(linear_M3, _TO_CONES))
    return _mix(cone_M3, _TO_LAB)


_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def _mix(
    value_M3: Float64[np.ndarray, "m 3"], weights: tuple[tuple[float, ...], ...]
) -> Float64[np.ndarray, "m 3"]:
    """Weighted sums of the three columns. The bits of a matrix product may differ."""
    columns = [
        sum(weight * column_M for weight, column_M in zip(row, value_M3.T, strict=True))
        for row in weights
    ]
    return np.stack(columns, axis=1)
