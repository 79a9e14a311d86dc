"""Numbers as the card writes them."""

from __future__ import annotations

import math

import pytest

from tunesmith.eval.compare import Difference, Interval
from tunesmith.report.numbers import beyond, bracket, duration, memory, number, short


@pytest.mark.parametrize(
    ("value", "percent", "sign", "shown"),
    [
        (7.43476, False, "", "7.435"),
        (-0.26824, False, "+", "−0.2682"),
        (219887.2, False, "", "219,887"),
        (1.6e10, False, "", "1.600e+10"),
        (0.925, True, "", "92.5 %"),
        (0.925, True, "+", "+92.5 %"),
        (math.nan, True, "", "–"),
        (None, False, "", "–"),
    ],
)
def test_number(value: float | None, percent: bool, sign: str, shown: str) -> None:
    assert number(value, percent, sign) == shown


def test_short_and_brackets() -> None:
    assert (short(0.0217345), short(0.925, percent=True), short(math.nan)) == ("0.0217", "92 %", "–")
    assert bracket(Interval(0.5, 0.25, 0.75), percent=True) == "[25.0, 75.0]"
    assert bracket(Interval(0.5, math.nan, math.nan)) == ""


def test_a_difference_is_beyond_chance_where_0_lies_outside() -> None:
    assert beyond(Difference(Interval(-2, -3, -1), 0.01)) and beyond(Difference(Interval(2, 1, 3), 0.01))
    assert not beyond(Difference(Interval(1, -1, 3), 0.5)) and not beyond(Difference(Interval(0, 0, 0), 1))


def test_times_and_bytes() -> None:
    assert [duration(seconds) for seconds in (49.6, 125, 7384)] == ["50 s", "2 min 05 s", "2 h 03 min"]
    assert (memory(677 * 2**20), memory(3 * 2**29)) == ("677 MiB", "1.50 GiB")
