"""Choose the prototypes of a run to show."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from vitproto.core.bounds import Index, Items, check_bounds
from vitproto.features.top_images import TopImages

Reason = Literal["in_range", "listed", "sampled"]


@dataclass(frozen=True)
class Choice:
    """Which prototypes are shown: those in ranges, those listed, and a sample."""

    log_freq_range: tuple[float, float]
    """Lowest and highest log10 of the frequency, the share of patches that score above
    0: -3 and -1 mean one in a thousand to one in ten."""
    log_value_range: tuple[float, float]
    """Lowest and highest log10 of the mean value, the mean score of those patches."""
    n_in_range: Index
    """Most prototypes from both ranges: a sample, if there are more."""
    listed: Annotated[tuple[Index, ...], Items(least=0, different=True)]
    """More prototypes, counted from 0, in every run."""
    n_sampled: Index
    """More prototypes, drawn from all that are live."""
    seed: Index
    """Decides what is drawn. A smaller draw is part of a larger one."""

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("log_freq_range", "log_value_range"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(
                    f"{name} goes from {low:g} to {high:g}: write the lower number "
                    "first"
                )


class Chosen(NamedTuple):
    """The prototypes to show."""

    reasons: dict[int, tuple[Reason, ...]]
    """Why each prototype is shown; prototypes ascend."""
    n_in_range: int
    """Number of prototypes in both ranges, shown or not."""


def choose(cfg: Choice, top: TopImages) -> Chosen:
    """Choose the prototypes to show, and say why.

    Raises:
        ValueError: a listed prototype does not exist.
    """
    n_prototypes = len(top.lowest_K)
    for prototype in cfg.listed:
        if prototype >= n_prototypes:
            raise ValueError(
                f"prototype {prototype} is listed, but there are only {n_prototypes}: "
                f"list numbers from 0 to {n_prototypes - 1}"
            )
    in_range = np.flatnonzero(is_in_range(cfg, top.frequency_K, top.mean_value_K))
    alive = np.flatnonzero(top.is_alive_K)
    shown: dict[Reason, list[int]] = {
        "in_range": _draw(in_range, cfg.n_in_range, [cfg.seed, 0]),
        "listed": list(cfg.listed),
        "sampled": _draw(alive, cfg.n_sampled, [cfg.seed, 1]),
    }
    every = sorted({prototype for group in shown.values() for prototype in group})
    reasons = {
        prototype: tuple(why for why, group in shown.items() if prototype in group)
        for prototype in every
    }
    return Chosen(reasons, len(in_range))


def is_in_range(
    cfg: Choice,
    frequency_K: Float64[np.ndarray, " k"],
    mean_value_K: Float64[np.ndarray, " k"],
) -> Bool[np.ndarray, " k"]:
    """Whether each prototype is in both ranges, ends included.

    A prototype is in no range if no patch scores above 0: it has no logarithms.
    """
    within_K = frequency_K > 0
    for value_K, (low, high) in (
        (frequency_K, cfg.log_freq_range),
        (mean_value_K, cfg.log_value_range),
    ):
        log_K = np.log10(value_K, where=within_K, out=np.full_like(value_K, np.nan))
        within_K = within_K & (low <= log_K) & (log_K <= high)
    return within_K


def _draw(candidates: np.ndarray, n: int, seed: list[int]) -> list[int]:
    return np.random.default_rng(seed).permutation(candidates)[:n].tolist()
