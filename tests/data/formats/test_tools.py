"""Descriptions and calls of tools become one JSON text each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.formats._tools import calls_in, calls_of, tools_of
from tunesmith.data.types import Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.json", 0)
DEEP = "[" * 100_000 + "]" * 100_000
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab你", max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text("ab你", max_size=3), values), st.booleans(), st.booleans())
def test_calls_keep_their_arguments(arguments: dict[str, Any], wrapped: bool, text: bool) -> None:
    call = {"name": "f", "arguments": json.dumps(arguments) if text else arguments}
    given_ = {"id": "1", "type": "function", "function": call} if wrapped else call
    expected = {"name": "f", "arguments": arguments}
    assert json.loads(calls_of([given_], "c", ORIGIN)) == expected
    assert json.loads(calls_of(call, "c", ORIGIN)) == expected
    assert json.loads(calls_of([given_, given_], "c", ORIGIN)) == [expected, expected]
    assert json.loads(calls_in(json.dumps(call), "c", ORIGIN)) == expected


def test_texts_are_not_changed() -> None:
    text = ' [ {"name":"f"} ]\n'
    assert tools_of(text, "tools", ORIGIN) is text
    call = ' {"arguments":{},"name":"f", "id": 3}\n'
    assert calls_in(call, "c", ORIGIN) is call
    assert tools_of([{"name": "你"}], "tools", ORIGIN) == '[{"name": "你"}]'


def test_nothing_is_nothing() -> None:
    assert [tools_of(value, "tools", ORIGIN) for value in (None, "", "  ", [], "[]", {})] == [""] * 6
    assert [calls_of(value, "c", ORIGIN) for value in (None, [], {}, "")] == [""] * 4


@pytest.mark.parametrize(
    ("function", "value", "field", "words"),
    [
        (tools_of, {"name": "f"}, "t", "it is an object, not a list of tools"),
        (tools_of, '{"name": "f"}', "t", "it is an object, not a list of tools"),
        (tools_of, ["f"], "t[0]", "it is str, not an object"),
        (tools_of, "[{}", "t", "it is not valid JSON at character 3"),
        (tools_of, [{"a": "\ud800"}], "t", "surrogate"),
        (tools_of, '[{"a": "\\ud800"}]', "t", "surrogate"),
        (calls_in, '{"name": "f", "arguments": {"a": "\\uDC00"}}', "t", "surrogate"),
        (tools_of, [{"a": float("nan")}], "t", "cannot be written as JSON"),
        (tools_of, '[{"a": NaN}]', "t", "NaN is no JSON number"),
        (tools_of, DEEP, "t", "it is not valid JSON"),
        (tools_of, 5, "t", "it is a number"),
        (calls_of, "f()", "t", "it is str, not a list of calls"),
        (calls_of, ["f"], "t[0]", "it is str, not a call"),
        (calls_of, [{"function": {"arguments": {}}}], "t[0].function.name", "it is missing"),
        (calls_of, [{"name": "f", "arguments": None}], "t[0].arguments", "it is null"),
        (calls_of, [{"name": " ", "arguments": {}}], "t[0].name", "it is empty: no tool"),
        (calls_of, [{"name": 1, "arguments": {}}], "t[0].name", "it is a number, not a text"),
        (calls_of, [{"name": "f", "arguments": "{"}], "t[0].arguments", "it is not valid JSON"),
        (calls_of, [{"name": "f", "arguments": "[1]"}], "t[0].arguments", "it is a list, not an object"),
        (calls_in, None, "t", "it is null, not a text"),
        (calls_in, "", "t", "it is not valid JSON"),
        (calls_in, "3", "t", "it is a number, not a call"),
        (calls_in, '[{"name": "f"}]', "t[0].arguments", "it is missing"),
    ],
)
def test_faults_are_named(function: Callable[..., str], value: Any, field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        function(value, "t", ORIGIN)
    assert caught.value.field == field and words in str(caught.value)
