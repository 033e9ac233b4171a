"""A run: one set of prototypes, which tables compare with others."""

import re
from dataclasses import dataclass

_NUMBER = r"\d[\d.e+-]*"


@dataclass(frozen=True)
class Run:
    """One run of a family, as it differs from the others.

    One job fits a family together: the same images, encoder, layer and method. Either
    all runs of a family have a learning rate, or none has.
    """

    n_prototypes: int
    seed: int
    learning_rate: float | None = None
    """The largest in training; None for methods without gradients."""
    sparsity: float | None = None
    """Weight of the L1 norm, or number of latents that may be active; None for methods
    that are not sparse."""

    @property
    def name(self) -> str:
        """The name of this run in paths and files.

        Examples are `k128-seed0` and `k512-lr0.001-sparsity0.0008-seed0`.
        """
        words = [f"k{self.n_prototypes}"]
        if self.learning_rate is not None:
            words.append(f"lr{self.learning_rate:.12g}")
        if self.sparsity is not None:
            words.append(f"sparsity{self.sparsity:.12g}")
        return "-".join([*words, f"seed{self.seed}"])

    @classmethod
    def parse(cls, name: str) -> "Run":
        """The run of a name such as `k128-seed0`."""
        match = re.fullmatch(
            rf"k([1-9]\d*)(?:-lr({_NUMBER}))?(?:-sparsity({_NUMBER}))?-seed(\d+)", name
        )
        if match is None:
            raise ValueError(
                f"{name!r} names no run: write it like k128-seed0, or "
                "k512-lr0.001-sparsity0.0008-seed0"
            )
        return cls(
            n_prototypes=int(match[1]),
            seed=int(match[4]),
            learning_rate=None if match[2] is None else float(match[2]),
            sparsity=None if match[3] is None else float(match[3]),
        )

    def __lt__(self, other: "Run") -> bool:
        """Order runs by number of prototypes, learning rate, sparsity and seed."""
        return self._order < other._order

    @property
    def _order(self) -> tuple[int | float, ...]:
        return (
            self.n_prototypes,
            -1.0 if self.learning_rate is None else self.learning_rate,
            -1.0 if self.sparsity is None else self.sparsity,
            self.seed,
        )
