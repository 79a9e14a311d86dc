"""JSON text in cells, and what Arrow fills in."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tunesmith.data.sources.cells import row_record
from tunesmith.data.types import Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("a.csv", 2, 4)
MESSAGES = '[{"role": "user", "content": null}]'


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("messages", MESSAGES, [{"role": "user", "content": None}]),
        ("conversations", " [] ", []),
        ("history", '[["a", "b"]]', [["a", "b"]]),
        ("images", '["a.png"]', ["a.png"]),
        ("images", "a.png", "a.png"),
        ("tools", "[{}]", "[{}]"),
        ("text", "[1]", "[1]"),
        ("chosen", '{"role": "a"}', {"role": "a"}),
        ("chosen", '[{"role": "a"}]', [{"role": "a"}]),
        ("rejected", "[1, 2]", "[1, 2]"),
        ("rejected", "[Note] no", "[Note] no"),
        ("rejected", "[]", "[]"),
        ("n", None, None),
        ("when", datetime.date(2020, 1, 1), datetime.date(2020, 1, 1)),
        (
            "messages",
            [{"role": "a", "calls": None, "parts": [{"x": None, "y": 1}]}],
            [{"role": "a", "parts": [{"y": 1}]}],
        ),
        ("kept", [None, 1], [None, 1]),
    ],
)
def test_cells(column: str, cell: Any, value: Any) -> None:
    assert row_record({column: cell}, ORIGIN) == {column: value}


@pytest.mark.parametrize(
    ("cell", "words"), [("[{'role': 1}]", "single quotes"), ('[{"a": 1, "a": 2}]', "twice"), ("[" * 9999, "deep")]
)
def test_broken_json_names_the_column(cell: str, words: str) -> None:
    error = row_record({"a": "x", "messages": cell}, ORIGIN)
    assert isinstance(error, RecordError) and error.field == "messages" and words in str(error)
