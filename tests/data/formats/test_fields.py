"""What every format asks of a field."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats._fields import (
    closest,
    empty,
    filled,
    has,
    is_preference,
    kind,
    present,
    refuse_misspelt,
    refuse_unread,
    text_of,
    verdict,
)
from tunesmith.data.types import Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.json", 0)


@pytest.mark.parametrize("text", ["", " \n", "plain", "你好 \U0001f600", "\u2028\0\x7f"])
def test_texts_are_not_changed(text: str) -> None:
    assert text_of(text, "a", ORIGIN) is text


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, b"x"])
def test_anything_else_is_no_text(value: object) -> None:
    with pytest.raises(RecordError, match=f"it is {kind(value)}, not a text"):
        text_of(value, "a", ORIGIN)


def test_blank_texts() -> None:
    for text, word in (("", "empty"), (" \u3000\t", "blank")):
        with pytest.raises(RecordError, match=f"field 'a': it is {word}.*: nothing said"):
            filled(text, "a", ORIGIN, "nothing said")


def test_closest() -> None:
    known = ("input", "output")
    assert [closest(name, known) for name in ("ouput", "Input", "output", "in", "text")] == [
        "output",
        "input",
        "output",
        None,
        None,
    ]


def test_present() -> None:
    assert present({"a": ""}, "a", ORIGIN, "nothing") == ""
    with pytest.raises(RecordError, match=r"'a': it is missing: nothing. The record has the fields 'b'"):
        present({"b": 1}, "a", ORIGIN, "nothing")
    with pytest.raises(RecordError, match="it is null: nothing"):
        present({"a": None}, "a", ORIGIN, "nothing")


def test_empty() -> None:
    assert all(map(empty, (None, "", [], {}))) and not any(map(empty, (0, False, " ", [0])))


def test_misspelt_names() -> None:
    known = ("instruction", "input")
    assert has({"instrution": 1}, "instruction", known) and not has({"inst": 1}, "instruction", known)
    assert not has([], "instruction", known)
    refuse_misspelt({"instruction": "a", "instructions": "b", "inputs": None, "x": "y"}, known, ORIGIN)
    with pytest.raises(RecordError, match="'inputs': there is no such field, and 'input' is missing. Rename"):
        refuse_misspelt({"inputs": "a"}, known, ORIGIN)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"chosen": "a", "rejected": "b"}, True),
        ({"choosen": "a"}, True),
        ({"chosen": "", "rejected": None}, False),
        ({"messages": [], "label": True}, True),
        ({"prompt": "a", "completion": "b", "label": "False "}, True),
        ({"messages": [], "kto_tag": False}, True),
        ({"messages": [], "label": "neutral"}, False),
        ({"messages": [], "label": 1}, False),
        ({"sentence1": "a", "sentence2": "b", "label": True}, False),
        ("chosen", False),
    ],
)
def test_is_preference(record: Any, found: bool) -> None:
    assert is_preference(record) is found


def test_verdict() -> None:
    assert [verdict({"label": value}) for value in (True, "FALSE", 1, "yes", None)] == [
        ("label", True),
        ("label", False),
        None,
        None,
        None,
    ]
    assert verdict({"label": "", "kto_tag": "true"}) == ("kto_tag", True)


def test_unread_fields() -> None:
    refuse_unread({"images": [], "tools": "[]", "label": "x", "image": ["a"]}, ORIGIN, "image")
    for record in ({"images": ["a"]}, {"functions": [1]}, {"chosen": "a"}, {"label": True}, {"kto_tag": False}):
        with pytest.raises(RecordError):
            refuse_unread(record, ORIGIN)
