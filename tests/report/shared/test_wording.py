"""Numbers as readers see them."""

import pytest

from vitproto.report.shared.wording import write_count, write_measure


def test_one_is_not_written_as_several():
    counts = [write_count(n, "prototype") for n in (0, 1, 2048)]
    assert counts == ["0 prototypes", "1 prototype", "2,048 prototypes"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.2, "−0.200"),
        (0.0, "0.000"),
        (0.0005001, "0.001"),
        (0.0004, "0.0004"),
        (-0.00004, "−4e−05"),
        (float("nan"), "–"),
    ],
)
def test_a_number_that_is_not_0_is_not_written_as_0(value, text):
    assert write_measure(value) == text
