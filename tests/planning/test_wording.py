"""Durations and sizes are short, in a unit that fits."""

import pytest

from vitproto.planning.wording import duration, size


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (4.04, "4.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1.0 min"),
        (70, "1.2 min"),
        (12.3 * 60, "12 min"),
        (59.6 * 60, "1.0 h"),
        (3.24 * 3600, "3.2 h"),
        (1234.4 * 3600, "1,234 h"),
    ],
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words


def test_sizes_are_in_words():
    assert [size(n) for n in (0, 999, 1000, 25.4e6, 999.6e6, 1.43e12)] == [
        *("0 B", "999 B", "1 kB", "25.4 MB", "1 GB", "1.43 TB"),
    ]
