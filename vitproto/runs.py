"""A run: one set of prototypes whose scores the tables compare."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Run:
    """What tells the runs of one family apart.

    A family is what one job fits together: the same images, encoder, layer and
    method.
    """

    n_prototypes: int
    seed: int

    @property
    def name(self) -> str:
        """How paths and files call this run, such as `k128-seed0`."""
        return f"k{self.n_prototypes}-seed{self.seed}"

    @classmethod
    def parse(cls, name: str) -> "Run":
        """The run of a name such as `k128-seed0`."""
        match = re.fullmatch(r"k([1-9]\d*)-seed(\d+)", name)
        if match is None:
            raise ValueError(f"{name!r} names no run: write it like k128-seed0")
        return cls(n_prototypes=int(match[1]), seed=int(match[2]))
