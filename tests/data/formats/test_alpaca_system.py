"""Alpaca in the official layout of TransNormerLLM: the instruction is the system text where there is an input."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats import alpaca, alpaca_system, detect
from tunesmith.data.types import Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("tasks.json", 0, 2)


def turns(**record: Any) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in alpaca_system.parse(record, ORIGIN).messages]


@pytest.mark.parametrize(
    ("instruction", "extra", "expected"),
    [
        ("Translate.", "天气", [("system", "Translate."), ("user", "天气")]),
        (" Translate:\n", " a\n", [("system", " Translate:\n"), ("user", " a\n")]),
        ("Hello", "", [("user", "Hello")]),
        ("Hello", None, [("user", "Hello")]),
        ("Hello", " ", [("user", "Hello")]),
        ("", "only input", [("user", "only input")]),
        ("\n", "only input", [("user", "only input")]),
    ],
)
def test_which_text_is_whose(instruction: str, extra: str | None, expected: list[tuple[str, str]]) -> None:
    found = turns(instruction=instruction, input=extra, output=" yes ", id=1)
    assert found == [*expected, ("assistant", " yes ")]


@pytest.mark.parametrize(
    ("record", "field", "said"),
    [
        ({"input": "x", "output": "y"}, "instruction", "missing"),
        ({"instruction": "x"}, "output", "missing"),
        ({"instruction": "x", "output": " "}, "output", "blank"),
        ({"instruction": "", "input": " ", "output": "y"}, "instruction", "its input is blank too"),
        ({"instruction": "x", "input": 5, "output": "y"}, "input", "not a text"),
        ({"instruction": "x", "imput": "z", "output": "y"}, "imput", "'input' is missing"),
        ({"instruction": "x", "output": "y", "history": [["a", "b"]]}, "history", "data.format: alpaca"),
        ({"instruction": "x", "output": "y", "system": "Be kind."}, "system", "data.format: alpaca"),
        ({"instruction": "x", "output": "y", "images": ["a.jpg"]}, "images", "does not read"),
    ],
)
def test_faults_name_their_field(record: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(RecordError) as caught:
        alpaca_system.parse(record, ORIGIN)
    assert caught.value.field == field and said in str(caught.value)


def test_it_is_never_found_out() -> None:
    task = {"instruction": "x", "input": "z", "output": "y", "history": [], "system": ""}
    assert not alpaca_system.matches(task) and detect([task]) is alpaca
    assert turns(**task)[0] == ("system", "x")
