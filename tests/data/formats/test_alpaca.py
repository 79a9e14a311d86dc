"""Alpaca: how instruction, input and history become turns, and every fault named with its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.formats.alpaca import matches, parse
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("tasks.json", 0, 2)


def turns(**record: Any) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in parse(record, ORIGIN).messages]


@pytest.mark.parametrize(
    ("instruction", "extra", "question"),
    [
        ("Translate.", "天气", "Translate.\n天气"),
        (" Translate:\n", " a\n", " Translate:\n\n a\n"),
        ("Hello", "", "Hello"),
        ("Hello", None, "Hello"),
        ("", "only input", "only input"),
    ],
)
def test_question(instruction: str, extra: str | None, question: str) -> None:
    assert turns(instruction=instruction, input=extra, output=" yes ") == [("user", question), ("assistant", " yes ")]


def test_input_may_be_left_out() -> None:
    assert turns(instruction="Hello", output="Hi", id=1) == [("user", "Hello"), ("assistant", "Hi")]


def test_system_and_history() -> None:
    conversation = parse(
        {"instruction": "c", "output": "C", "system": "Be brief.", "history": [["a", "A"], ["b ", " B"]]}, ORIGIN
    )
    assert conversation.origin == ORIGIN
    assert conversation.messages == (
        Message("system", "Be brief."),
        Message("user", "a"),
        Message("assistant", "A"),
        Message("user", "b "),
        Message("assistant", " B"),
        Message("user", "c"),
        Message("assistant", "C"),
    )
    for nothing in (None, "", []):
        assert len(turns(instruction="c", output="C", system=nothing or None, history=nothing or [])) == 2


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"instruction": ..., "instrution": "a"}, "instrution", "Rename it to 'instruction'"),
        ({"output": ..., "ouput": "a"}, "ouput", "Rename it to 'output'"),
        ({"inputs": "a"}, "inputs", "Rename it to 'input'"),
        ({"History": [["a", "b"]]}, "History", "Rename it to 'history'"),
        ({"instruction": ...}, "instruction", "it is missing"),
        ({"instruction": None}, "instruction", "it is null"),
        ({"instruction": ["a"]}, "instruction", "it is a list, not a text"),
        ({"instruction": " "}, "instruction", "a record without a question"),
        ({"input": 5}, "input", "it is a number, not a text"),
        ({"input": float("nan")}, "input", "it is a number, not a text"),
        ({"output": ...}, "output", "it is missing: a record without an answer"),
        ({"output": None}, "output", "it is null: a record without an answer"),
        ({"output": ""}, "output", "it is empty: a record without an answer"),
        ({"output": "\n "}, "output", "it is blank (white space only): a record without an answer"),
        ({"output": {"text": "a"}}, "output", "it is an object, not a text"),
        ({"output": "half \udc00"}, "output", "\\udc00"),
        ({"system": 1}, "system", "it is a number, not a text"),
        ({"history": "a"}, "history", "it is str, not a list"),
        ({"history": {"a": "b"}}, "history", "it is an object, not a list"),
        ({"history": [["a", "b"], "c"]}, "history[1]", "not a pair"),
        ({"history": [["a", "b", "c"]]}, "history[0]", "a list of 3, not a pair"),
        ({"history": [["a", None]]}, "history[0][1]", "it is null, not a text"),
        ({"history": [["a", "A"], ["b", " "]]}, "history[1][1]", "a turn without an answer"),
        ({"history": [["", "b"]]}, "history[0][0]", "a turn without a question"),
        ({"image": "a.jpg"}, "image", "Rename it to 'images'"),
        ({"images": ["a.jpg"]}, "images", "there are 1 pictures, but '<image>' stands 0 times"),
        ({"tools": "{}"}, "tools", "it is an object, not a list of tools"),
        ({"system_prompt": "a"}, "system_prompt", "it holds a system text"),
        ({"label": True}, "label", "preference data"),
        ({"output": ..., "chosen": "a", "rejected": "b"}, "chosen", "preference data"),
    ],
)
def test_faults_are_named(change: dict[str, Any], field: str, words: str) -> None:
    record = {"instruction": "Say yes.", "output": "yes", **change}
    with pytest.raises(RecordError) as caught:
        parse({name: value for name, value in record.items() if value is not ...}, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_tools_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    record = {"instruction": "What is it?", "input": "<image>", "output": "A.", "images": ["a.jpg"], "tools": "[{}]"}
    found = parse(record, Origin(str(tmp_path / "x.json"), 0))
    assert found.messages[0].content == "What is it?\n<image_00>" and found.tools == "[{}]"
    assert found.images == (ImageRef("<image_00>", str(tmp_path / "a.jpg")),)


def test_empty_cells_of_a_table_count_as_absent() -> None:
    empty = dict.fromkeys(("input", "system", "history", "images", "tools", "image", "label"), "")
    assert turns(instruction="a", output="b", **empty) == [("user", "a"), ("assistant", "b")]


def test_matches() -> None:
    assert matches({"instruction": "a"}) and matches({"instrution": "a", "output": "b"})
    assert not any(map(matches, ({"messages": []}, {"input": "a", "output": "b"}, {}, [], None)))
    assert not matches({"instruction": "a", "chosen": "b", "rejected": "c"})
