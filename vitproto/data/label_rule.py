"""Which answers of annotators count as a trait that is shown, absent, or unknown.

An answer is a number below 16: its certainty, 1 to 4, plus `PRESENT` if the annotator
said that the image shows the trait. 0 means that there is no answer.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, UInt8

from vitproto.core.bounds import AtLeast, AtMost, Items, Says, check_bounds

PRESENT = 8
"""Added to the certainty of an answer that says that the trait is present."""

Certainty = Annotated[int, AtLeast(1), AtMost(4)]


@dataclass(frozen=True)
class LabelRule:
    """What the answers of annotators count as. Their certainties are those of
    CUB-200-2011: 1 not visible, 2 guessing, 3 probably, 4 definitely."""

    present: Annotated[
        tuple[Certainty, ...],
        Items(least=1, different=True),
        Says(
            "a list of different certainties, from 1 (not visible) to 4 (definitely), "
            "such as [3, 4]"
        ),
    ]
    """Certainties with which a trait that is said to be present counts as shown. With
    others it counts as absent, as does a trait about which nothing is said."""
    unknown: Annotated[
        tuple[Certainty, ...],
        Items(least=0, different=True),
        Says(
            "a list of different certainties, from 1 (not visible) to 4 (definitely), "
            "such as [1], or [] for none"
        ),
    ]
    """Certainties whose answers do not count at all, present or absent: the image is
    left out of that trait's AP. `[1]`: not visible is unknown; `[]`: absent."""

    def __post_init__(self) -> None:
        check_bounds(self)
        both = sorted(set(self.present) & set(self.unknown))
        if both:
            raise ValueError(
                f"certainty {both[0]} counts both as present and as unknown: write it "
                "in one of the lists"
            )

    def apply(
        self, answers: UInt8[np.ndarray, "*shape"]
    ) -> tuple[Bool[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
        """Say for each answer whether the trait is shown, and whether it is known."""
        code = np.arange(2 * PRESENT)
        is_shown = (code & PRESENT > 0) & np.isin(code % PRESENT, self.present)
        is_known = ~np.isin(code % PRESENT, self.unknown)
        return is_shown[answers], is_known[answers]


OTHER_RULES = {
    "definitely present": LabelRule(present=(4,), unknown=()),
    "guesses too": LabelRule(present=(2, 3, 4), unknown=()),
    "not visible is unknown": LabelRule(present=(3, 4), unknown=(1,)),
    "guesses are unknown too": LabelRule(present=(3, 4), unknown=(1, 2)),
}
"""Rules that one could also follow, to see what the rule changes."""
