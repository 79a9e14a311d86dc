"""Plain texts."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats.text import matches, parse
from tunesmith.data.types import Conversation, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.jsonl", 2, 3)


def test_a_text_is_kept_as_it_is() -> None:
    assert parse({"text": " 天\r\n<s> ", "url": "x"}, ORIGIN) == Conversation((), ORIGIN, text=" 天\r\n<s> ")


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({}, "text", "it is missing: a record without a text"),
        ({"texts": "a"}, "texts", "Rename it to 'text'"),
        ({"text": None}, "text", "it is null"),
        ({"text": ""}, "text", "it is empty: a record that says nothing"),
        ({"text": "\n\u3000"}, "text", "it is blank"),
        ({"text": ["a"]}, "text", "it is a list, not a text"),
        ({"text": "\ud800"}, "text", "surrogate"),
        ({"text": "a", "images": ["a.jpg"]}, "images", "it holds pictures"),
        ({"text": "a", "label": False}, "label", "preference data"),
    ],
)
def test_faults_are_named(record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches({"text": "a"}) and matches({"Text": "a", "id": 1})
    assert not any(map(matches, ({"text": "a", "summary": "b"}, {"text": "a", "messages": []}, {}, [], None)))
