"""One colour and one marker per method, the same in all charts of a study.

Methods of a family share a hue. At most `MAX_EMPHASISED` have a colour of their own;
others are pale and dashed, and controls are grey: all have markers of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARKERS = "osD^vPX*<>phd"
DASHES = ("-", (0, (4, 1.2)), (0, (1, 0.8)))
"""Lines that differ without colour: whole, dashed and dotted."""

Style = dict[str, Any]
"""Arguments of Matplotlib: `color`, `marker` and `linestyle`."""

HUES = {
    "autoencoders": ("#2c57e4", "#7cbaf7"),
    "clusterings": ("#a74f0d", "#381600"),
    "samples": ("#23907d",),
    "components": ("#510f45",),
    "imported": ("#d6b30f",),
}
"""The colours of each family. Any two differ by a ΔE2000 of 15 or more, also under
simulated deuteranopia and protanopia."""

FAMILIES = {
    "random": "samples",
    "randomtrain": "samples",
    "kmeans": "clusterings",
    "kmeansdistance": "clusterings",
    "pca": "components",
}
"""The families of the methods that have a name of their own."""

DIRECTIONLESS = ("gaussian",)
"""Controls among these: directions that know nothing of activations."""

MAX_EMPHASISED = 6
"""Most methods with a colour of their own."""

CONTROL = "0.5"
PALE_SHARE = 0.55
"""The share of white in the colour of a method that is not emphasised."""


@dataclass(frozen=True)
class StudyMethods:
    """The methods of a study."""

    methods: tuple[str, ...]
    """All of them, in the order of the study's runs."""
    saes: tuple[str, ...]
    """Those that are kinds of autoencoders of the study."""
    controls: tuple[str, ...]
    """Autoencoders that nothing trained."""

    def family_of(self, method: str) -> str | None:
        """The family of a method; None for a control."""
        if method in self.controls or method in DIRECTIONLESS:
            return None
        if method in self.saes:
            return "autoencoders"
        return FAMILIES.get(method, "imported")

    def styles(self) -> Mapping[str, Style]:
        """The style of each method.

        The first method of each family is emphasised, then the second ones, in the
        order of the study's runs, as long as there are colours.
        """
        members: dict[str, list[str]] = {}
        for method in self.methods:
            family = self.family_of(method)
            if family is not None:
                members.setdefault(family, []).append(method)
        wishes = [
            (place, own[place], HUES[family][place])
            for family, own in members.items()
            for place in range(min(len(own), len(HUES[family])))
        ]
        colors = {
            method: color
            for _, method, color in sorted(wishes, key=lambda wish: wish[0])[
                :MAX_EMPHASISED
            ]
        }
        return {
            method: self._style(i, method, colors.get(method))
            for i, method in enumerate(self.methods)
        }

    def _style(self, i: int, method: str, color: str | None) -> Style:
        family = self.family_of(method)
        dash = 0
        if family is None:
            color, dash = CONTROL, 1
        elif color is None:
            color, dash = _mix_with_white(HUES[family][0]), 2
        # Where markers come again, other dashes keep apart what has no colour.
        n_before, i_marker = divmod(i, len(MARKERS))
        linestyle = DASHES[(dash + n_before) % len(DASHES)] if dash else DASHES[0]
        return {"color": color, "marker": MARKERS[i_marker], "linestyle": linestyle}


def _mix_with_white(color: str) -> str:
    """A paler colour: `#2c57e4` becomes `#a0b3f3`."""
    parts = bytes.fromhex(color.removeprefix("#"))
    return "#" + bytes(round(c + PALE_SHARE * (255 - c)) for c in parts).hex()
