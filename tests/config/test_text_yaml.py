"""YAML text and plain values: what is read as what, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tunesmith.config.text import YamlError, parse, write


@pytest.mark.parametrize("text", ["no", "on", "yes", "010", "1:30", "2024-01-01", "0x1F", "1e", "e5", "1.2.3"])
def test_words_that_yaml_1_1_would_turn_into_something_else_stay_texts(text: str) -> None:
    assert parse(text)[0] == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1e3),
        ("5.", 5.0),
        (".5", 0.5),
        ("-1.5e+2", -150.0),
        ("1_000.5", 1000.5),
        (".inf", math.inf),
        ("12", 12),
        ("-1_000", -1000),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("[a, 1, 1e1]", ["a", 1, 10.0]),
    ],
)
def test_values_are_read_as_yaml_1_2_has_them(text: str, value: Any) -> None:
    found = parse(text)[0]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_item_has_its_line() -> None:
    _, lines = parse("a: 1\nb:\n  c: [x,\n      y]\n  <<: {d: 2}\n")
    assert lines == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0): 3, ("b", "c", 1): 4, ("b", "d"): 5}


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", 4, "'c' is given twice, first in line 3; keep one."),
        ("a: [1\n", 2, "this is not valid YAML"),
        ("a:\n\t- 1\n", 2, "Indent with spaces"),
        ("a: b: c\n", 1, "mapping values are not allowed here. Put a text that holds a colon in quotes"),
        ("a: 1\n---\nb: 2\n", 2, "this is not valid YAML"),
        ("a: &x [*x]\n", 1, "contains itself"),
        ("[1, 2]: 3\n", 1, "a key must be a word"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "this is not valid YAML"),
        ("a: 1\nb: \x07\n", 2, "holds the control character 0x07"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, line: int, wanted: str) -> None:
    with pytest.raises(YamlError, match=".*") as caught:
        parse(text)
    assert wanted in str(caught.value)
    assert caught.value.line == line


@pytest.mark.parametrize("value", ["1e-4", "no", "010", "12", "true", "a: b", "", "~", "没有", " x ", "a\nb"])
def test_texts_are_written_so_that_they_read_back_as_texts(value: str) -> None:
    text = write({"key": [value], "number": 1e-5})
    assert parse(text)[0] == {"key": [value], "number": 1e-5}
