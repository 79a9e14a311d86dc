"""White space and invisible characters, told apart so that each view can make them visible in its own way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

Sort = Literal["text", "space", "newline", "tab", "control"]
SPACE_MARK, NEWLINE_MARK, TAB_MARK = "·", "↵", "⇥"

_PARTS = re.compile(r"[^\S\n\t]|\n|\t|[^\s]+|\s")
_SAFE = re.compile(r"[!-~\u3041-\u30ff\u4e00-\u9fff\uff01-\uff5e]+")  # what is seen as it is: the common case
_JOINER = "\u200d"


def parts(text: str) -> Iterator[tuple[Sort, str]]:
    """Yield a text in parts.

    A `text` can be shown as it is. A `control` is the name of a character that shows nothing, or that would change how
    the rest is shown (escape codes, reversed writing): `U+001B`.
    """
    for part in _PARTS.findall(text):
        if part in "\n\t ":
            yield ("newline" if part == "\n" else "tab" if part == "\t" else "space"), part
        elif _SAFE.fullmatch(part):
            yield "text", part
        else:
            yield from _characters(part)


def one_line(text: str) -> str:
    """Return a text with all white space but plain spaces, and everything invisible, written as marks."""
    marks = {"newline": NEWLINE_MARK, "tab": TAB_MARK}
    return "".join(f"<{part}>" if sort == "control" else marks.get(sort, part) for sort, part in parts(text))


def _characters(text: str) -> Iterator[tuple[Sort, str]]:
    held = ""
    for character in text:
        if _unseen(character, alone=not held):
            if held:
                yield "text", held
            yield "control", f"U+{ord(character):04X}"
            held = ""
        else:
            held += character
    if held:
        yield "text", held


def _unseen(character: str, alone: bool) -> bool:
    """Tell whether a character is invisible; what joins emoji or modifies the one before it is not alone."""
    if character == _JOINER:
        return alone
    category = unicodedata.category(character)
    return category in {"Cc", "Cf", "Cs", "Zl", "Zp"} or (category == "Zs" and character not in " \u3000")
