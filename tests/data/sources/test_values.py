"""One JSON value: a record, or the error in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.values import skip, take, whole
from tunesmith.data.types import Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("a.json", 3, 7)


def test_an_object_and_where_it_ends() -> None:
    assert take('x {"a": [1]} y', 2, ORIGIN) == ({"a": [1]}, 12)


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1]", "a list inside the list"), ("12", "but 12"), ('{"a": {"b": 1, "b": 2}}', "'b'.*stands twice")],
)
def test_bad_records(text: str, words: str) -> None:
    error, end = take(text, 0, ORIGIN)
    assert isinstance(error, RecordError) and error.origin == ORIGIN and end == len(text)
    with pytest.raises(RecordError, match=words):
        raise error


def nested(depth: int) -> str:
    return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_depth_has_a_limit() -> None:
    value, _ = take(nested(limits.MAX_DEPTH), 0, ORIGIN)
    assert isinstance(value, dict)
    error, _ = take(nested(limits.MAX_DEPTH + 1), 0, ORIGIN)
    assert isinstance(error, RecordError) and "100 deep" in str(error)
    brackets = json.dumps({"a": "[" * 500, "b": [{}] * 300})
    assert take(brackets, 0, ORIGIN)[0] == json.loads(brackets)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": 1, "a": ' + "[" * 100_000, "9" * 5000])
def test_what_python_refuses_has_a_place(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        take(text, 0, ORIGIN)
    with pytest.raises(json.JSONDecodeError):
        whole(text)


@pytest.mark.parametrize("text", ["[1] 2", '{"a": 1, "a": 2}', "[1", "[" * 150 + "]" * 150])
def test_whole_is_strict(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        whole(text)


@pytest.mark.parametrize("value", [[1, {"a": None}], {"a": "x"}, 3])
def test_whole(value: Any) -> None:
    assert whole(f" {json.dumps(value)}\n") == value


def test_skip() -> None:
    assert skip(" \t\n\rx", 0) == 4 and skip("x", 0) == 0 and skip("\u2028", 0) == 0
