"""What a broken text seems to be, whatever the Python version words it like."""

from __future__ import annotations

import json

import pytest

from tunesmith.data.json_faults import explain, refuse_foreign
from tunesmith.errors import DataError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [1, 2,]}', "comma too many"),
        ('{"a": 1, }', "comma too many"),
        ("{a: 1}", "Expecting property name enclosed in double quotes, but there is 'a: 1}'."),
        ('{"a": nan}', "'nan' is Python's spelling"),
        ('{"a": undefined}', "Expecting value, but there is 'undefined}'."),
        ('{"a" 1}', "':' delimiter, but there is '1}'."),
        ('{"a": "\\x41"}', "backslash"),
        ('{"a": "\\u12"}', "backslash|escape"),
        ('{"a": 1} # note', "no comments"),
        ('{"a": 1} {', "one object a line"),
        ('{"a": 1', "ends in the middle"),
    ],
)
def test_explanations(text: str, words: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert any(word in explain(caught.value) for word in words.split("|")), explain(caught.value)


@pytest.mark.parametrize("head", [b'[{"a": 1}]', b'\xef\xbb\xbf\n {"a": 1}', '{"a": "\u4f60'.encode()[:-1], b"[]"])
def test_json_is_let_through(head: bytes) -> None:
    refuse_foreign(head, "data.json")


@pytest.mark.parametrize(
    "head", [b"", b"\xef\xbb\xbf", b"<html>", b"\x28\xb5\x2f\xfd", b"text", b"\xc4\xe3\xba\xc3", b"{\0"]
)
def test_anything_else_is_refused_in_one_paragraph(head: bytes) -> None:
    with pytest.raises(DataError, match=r"data\.json") as caught:
        refuse_foreign(head, "data.json")
    assert "\n" not in str(caught.value)
