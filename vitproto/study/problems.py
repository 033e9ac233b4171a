"""A problem in a configuration, and where it stands."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vitproto.core.project import PROJECT

METHODS = sorted(
    {
        *(file.stem.removeprefix("fit_") for file in PROJECT.glob("scripts/fit_*.py")),
        *("randomtrain", "kmeansdistance"),  # fit_random and fit_kmeans fit two each
    }
    - {"sae"}
)
"""Methods that every study has; the SAEs that it names or imports come on top."""

Config = Mapping[str, Any]
KeyPath = tuple[str | int, ...]
"""Keys and positions in lists, from the outermost in: `("runs", 8, "seed")`."""


class Problem(NamedTuple):
    """A mistake in a configuration, with its remedy."""

    path: KeyPath
    text: str

    def within(self, *outer: str | int) -> "Problem":
        """The same problem, with more keys at the start of its path."""
        return Problem((*outer, *self.path), self.text)
