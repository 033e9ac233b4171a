"""The type of a setting says which values it may have."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from vitproto.core.bounds import (
    AtLeast,
    Below,
    Count,
    Index,
    Items,
    NotNegative,
    Positive,
    Says,
    Share,
    check_bounds,
    describe,
)

Dose = Annotated[float, Below(1)]


@dataclass(frozen=True)
class Settings:
    n_steps: Count = 1
    seed: Index = 0
    rate: Positive = 1.0
    decay: NotNegative = 0.0
    purity: Share = 1.0
    doses: Annotated[tuple[Dose, ...], Items(least=1, different=True)] = (0.0,)
    listed: Annotated[tuple[Index, ...], Items(least=0, different=True)] = ()
    folder: str | None = None

    def __post_init__(self):
        check_bounds(self)


def test_values_at_the_bounds_are_taken():
    Settings(n_steps=1, seed=0, rate=1e-9, decay=0.0, purity=1.0, listed=(0, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0: write a whole number of at least 1"),
        ({"seed": -1}, "seed is -1: write a whole number of at least 0"),
        ({"rate": 0.0}, "rate is 0.0: write a number above 0"),
        ({"rate": float("nan")}, "rate is nan: write a number above 0"),
        ({"decay": -0.1}, "decay is -0.1: write a number of at least 0"),
        ({"purity": 1.5}, "purity is 1.5: write a number above 0 and up to 1"),
        ({"doses": ()}, r"doses is \(\): write a list of different numbers"),
        ({"doses": (0.5, 0.5)}, r"doses is \(0.5, 0.5\): write a list of different"),
        (
            {"doses": (0.0, 1.0)},
            "doses is .*: write a list of different numbers below 1",
        ),
        ({"listed": (3, -1)}, r"listed is \(3, -1\): write a list of different whole"),
    ],
)
def test_values_outside_the_bounds_are_refused_with_what_to_write(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (bool, "true or false"),
        (str, "text"),
        (Literal["relu", "topk", "batchtopk"], "relu, topk or batchtopk"),
        (Annotated[int, AtLeast(2)], "a whole number of at least 2"),
        (tuple[float, float], "a list of two numbers"),
        (Count | None, "a whole number of at least 1"),
        (Positive | tuple[Positive, ...], "a number above 0, or a list of them"),
        (Annotated[str, Says("a folder")], "a folder"),
        (Annotated[str, Says("a folder")] | None, "a folder"),
    ],
)
def test_a_type_is_described_in_words(hint, words):
    assert describe(hint) == words
