"""Sums, comparisons, sequences and code: every drawn answer is worked out again from the question."""

from __future__ import annotations

import contextlib
import io
import re
from random import Random

import pytest

from tunesmith.nano.text import numbers
from tunesmith.nano.text.turns import Sample


def draw(task: str, number: int = 150) -> list[tuple[Sample, str, list[int]]]:
    rng = Random(task)
    found = [numbers.TASKS[task][1](rng) for _ in range(number)]
    return [(s, q := s.messages[0]["content"], list(map(int, re.findall(r"\d+", q)))) for s in found]


@pytest.mark.parametrize(("task", "sign"), [("add", 1), ("subtract", -1)])
def test_sums(task: str, sign: int) -> None:
    for sample, asked, (a, b) in draw(task):
        if asked.startswith("Subtract"):
            a, b = b, a
        assert int(sample.answer) == a + sign * b, asked


def test_products() -> None:
    assert all(int(sample.answer) == a * b for sample, _, (a, b) in draw("multiply"))


def test_comparisons() -> None:
    for sample, asked, found in draw("compare"):
        if len(found) == 2:
            assert int(sample.answer) == (max if "大" in asked or "bigger" in asked else min)(found)
        else:
            assert sample.answer in (("奇数", "odd") if found[0] % 2 else ("偶数", "even"))


def test_sequences() -> None:
    for sample, _, found in draw("sequence"):
        steps = {b - a for a, b in zip(found, [*found[1:], int(sample.answer)], strict=True)}
        assert len(found) == 4 and len(steps) == 1


def test_stories() -> None:
    for sample, asked, (a, b) in draw("story sum"):
        gains = re.search("又|buys|finds|gets", asked)
        assert int(sample.answer.rstrip("个。.")) == (a + b if gains else a - b) >= 0


def test_code_prints_what_is_said() -> None:
    for sample, asked, _ in draw("code"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(asked.split("\n", 1)[1], {})  # noqa: S102 - a line that we wrote
        assert output.getvalue().rstrip("\n") == sample.answer
