"""What every format asks of a field."""

from __future__ import annotations

import pytest

from tunesmith.data.formats._fields import closest, filled, kind, text_of
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
