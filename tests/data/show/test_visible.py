"""Visible: white space is told apart, and what could change how the rest is shown is named."""

from __future__ import annotations

import pytest

from tunesmith.data.show.visible import one_line, parts


def test_white_space() -> None:
    assert list(parts("你 a\n\tb")) == [
        ("text", "你"),
        ("space", " "),
        ("text", "a"),
        ("newline", "\n"),
        ("tab", "\t"),
        ("text", "b"),
    ]
    assert one_line("a b\n\tc") == "a b↵⇥c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "<U+001B>[31mred"),
        ("a\rb", "a<U+000D>b"),
        ("x\u202ey", "x<U+202E>y"),
        ("\u2028", "<U+2028>"),
        ("a\u00a0b", "a<U+00A0>b"),
        ("\ufeff", "<U+FEFF>"),
        ("\u200d", "<U+200D>"),
        ("全\u3000角", "全\u3000角"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("é你！", "é你！"),
    ],
)
def test_what_cannot_be_seen_is_named(text: str, shown: str) -> None:
    assert one_line(text) == shown
