"""What is printed and written: every figure with its interval, differences, and no number that JSON lacks."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from tunesmith.eval.desk import Outcome
from tunesmith.eval.measure import Measure, mean_of, stack
from tunesmith.eval.report import Line, finite, lines_of, print_legend, rows_of, summary, tables


def outcome(rights: list[bool], alike: str = "same") -> Outcome:
    rows = [{"record": number} for number in range(len(rights))]
    measures = [
        Measure("right", mean_of(rights), yes_no=True, percent=True, about="it is right"),
        Measure("loss", stack([(1.5, 2)] * len(rights), 2), about="lower is better"),
    ]
    return Outcome(rows, [{"answer": str(right)} for right in rights], measures, alike)


def shown(lines: list[Line], *names: str) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in tables(names, lines):
        console.print(table)
    print_legend(console, lines)
    return console.export_text()


def test_figures_side_by_side() -> None:
    lines = lines_of("answer", [outcome([True] * 30 + [False] * 10), outcome([True] * 10 + [False] * 30)], seed=0)
    text = shown(lines, "mine", "other")
    assert "75.0% [" in text and "25.0% [" in text and "mine minus other" in text
    assert "+50.0% [" in text and "20:0" in text and "<0.001" in text
    assert "right: it is right" in text and "McNemar" in text
    right = summary(lines)["answer"]["right"]
    assert right["rows"] == 40
    assert [model["value"] for model in right["models"]] == [0.75, 0.25]
    assert (right["differences"][0]["won"], right["differences"][0]["lost"]) == (20, 0)


def test_one_model_has_no_differences() -> None:
    lines = lines_of("answer", [outcome([True, False])], seed=0)
    text = shown(lines, "mine")
    assert "minus" not in text and "McNemar" not in text
    assert "0.75 [0.75, 0.75]" in text


def test_other_rows_are_not_compared() -> None:
    outcomes = [outcome([True, False]), outcome([True], alike="others")]
    lines = lines_of("answer", outcomes, seed=0)
    assert lines[0].differences == (None,)
    assert "other rows or tokens" in shown(lines, "mine", "other")
    assert rows_of(outcomes) == [{"record": 0}, {"record": 1}]


def test_rows_hold_what_every_model_did() -> None:
    assert rows_of([outcome([True]), outcome([False])]) == [
        {"record": 0, "models": [{"answer": "True"}, {"answer": "False"}]}
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value: float) -> None:
    assert finite({"a": [value, 1.5], "b": (2, "x", None)}) == {"a": [None, 1.5], "b": [2, "x", None]}
    assert json.loads(json.dumps(finite(value), allow_nan=False)) is None
