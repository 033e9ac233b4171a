"""Write what is wrong with a data set as a list."""

from collections.abc import Iterator, Sequence

N_SHOWN = 20
"""Problems that the log of a job writes out; the others are counted."""


def count_problems(problems: Sequence[str]) -> str:
    """How many there are: `no problem`, `1 problem`, `2 problems`."""
    if not problems:
        return "no problem"
    return f"{len(problems):,} problem{'' if len(problems) == 1 else 's'}"


def describe(problems: Sequence[str]) -> Iterator[str]:
    """The first problems, a line each, and how many more there are."""
    yield from (f"- {problem}" for problem in problems[:N_SHOWN])
    if len(problems) > N_SHOWN:
        yield f"- and {len(problems) - N_SHOWN:,} more, which make check-data lists"
