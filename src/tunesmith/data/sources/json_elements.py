"""JSON values that follow each other, in a list or without one, read as a stream: memory does not grow with the file.

The text is seen through a window. A value that the window cuts is tried again with more text; the window doubles then,
so that a large value is not read many times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ...errors import DataError
from ..types import Origin
from . import limits, values
from .block import Found
from .json_faults import explain
from .text import Text

_CONTEXT = 100
"""How many characters `explain` looks at before and behind a fault."""
_TAIL = 16
"""A fault so near to the window's end may be the cut: longer than any literal or escape that the cut can halve."""

Sized = tuple[Found, int, int]
"""A record with its place, the length of its text, and how many bytes of the file are read."""


class Window:
    """The part of a text that is being looked at; `text` grows with `more` and shrinks with `drop`."""

    def __init__(self, source: Text) -> None:
        self.text, self.ended, self.source = "", False, source
        self._pieces = source.characters()
        self._line, self._column, self._counted = 1, 1, 0
        self._first_line, self._first_column = 1, 1

    def more(self, start: int) -> bool:
        """Read on, at least as much again as there is from `start`; return whether anything came."""
        wanted, parts = max(limits.CHUNK, len(self.text) - start), [self.text]
        while wanted > 0 and not self.ended:
            piece = next(self._pieces, "")
            self.ended = not piece
            parts.append(piece)
            wanted -= len(piece)
        grown = "".join(parts)
        self.text, before = grown, len(self.text)
        return len(grown) > before

    def drop(self, at: int) -> int:
        """Forget what stands before `at`, except for a little, when it has become much; return the new `at`."""
        if at < limits.CHUNK + _CONTEXT:
            return at
        cut = at - _CONTEXT
        self.line(cut)
        self._first_line, self._first_column = self.place(cut)
        self.text, self._counted = self.text[cut:], self._counted - cut
        return _CONTEXT

    def line(self, at: int) -> int:
        """Return the line of `at`, which never goes back."""
        self._line += self.text.count("\n", self._counted, at) if at > self._counted else 0
        self._counted = max(at, self._counted)
        return self._line

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of any place in the window."""
        breaks, last = self.text.count("\n", 0, at), self.text.rfind("\n", 0, at)
        return self._first_line + breaks, at - last if breaks else self._first_column + at

    def skip(self, at: int) -> int:
        """Return where the white space that begins at `at` ends, reading on as needed."""
        if self.text[at : at + 1] > " ":
            return at
        while (at := values.skip(self.text, at)) == len(self.text) and not self.ended:
            at = self.drop(at)
            self.more(at)
        return at

    def ahead(self, at: int) -> None:
        """Read on until a fault at `at` can be explained."""
        while len(self.text) - at < 2 * _CONTEXT and self.more(at):
            pass

    def take(self, at: int, record: int) -> tuple[Found, int]:
        """Return the record that begins at `at`, and where it ends."""
        origin = Origin(self.source.name, record, self.line(at))
        while True:
            try:
                value, end = values.take(self.text, at, origin)
                if self.ended or end < len(self.text) or self.text[end - 1] in '}]"':
                    return (value, origin), end
            except json.JSONDecodeError as error:
                if self.ended or self._is_sure(error):
                    raise self.broken(error.msg, error.pos, record) from None
            if len(self.text) - at > limits.MAX_RECORD:
                raise DataError(
                    f"{origin}: the record is longer than {limits.mebibytes(limits.MAX_RECORD)}, which is the limit. "
                    "Is a quote or a bracket not closed? If the records stand in a list inside of an object "
                    '({"data": [...]}), save that list alone.'
                )
            self.more(at)

    def broken(self, msg: str, at: int, record: int) -> DataError:
        """Return the error for a fault at `at`."""
        self.ahead(at)
        line, column = self.place(at)
        why = explain(json.JSONDecodeError(msg, self.text, at), self.source.name)
        return DataError(
            f"{self.source.name}, line {line}, column {column} (record {record}): it is not valid JSON. {why}"
        )

    def _is_sure(self, error: json.JSONDecodeError) -> bool:
        """Tell a fault of the text from one that the end of the window makes."""
        return not error.msg.startswith("Unterminated string") and len(self.text.rstrip()) - error.pos > _TAIL


def list_records(text: Text) -> Iterator[Sized]:
    """Yield the records between [ and ].

    Raises:
        DataError: the list is empty or broken, or more follows behind it; the message names line and column.
    """
    window = Window(text)
    at = window.skip(window.skip(0) + 1)
    if window.text.startswith("]", at):
        raise DataError(f"'{text.name}' holds an empty list: there is no record to learn from.")
    record = 0
    while True:
        at = window.drop(at)
        found, end = window.take(at, record)
        size, at = end - at, window.skip(end)
        if window.text[at : at + 1] not in (",", "]"):
            raise window.broken("Expecting ',' delimiter", at, record)
        yield found, size, text.position()
        if window.text[at] == "]":
            break
        record, at = record + 1, window.skip(at + 1)
    at = window.skip(at + 1)
    if at < len(window.text):
        window.ahead(at)
        line, column = window.place(at)
        rest = " ".join(window.text[at : at + 20].split())
        raise DataError(
            f"{text.name}, line {line}, column {column}: the list of {record + 1} records is over, but the file goes "
            f"on with '{rest}'. Two files in one? Join them into one list, or write one object a "
            "line."
        )


def loose_records(text: Text) -> Iterator[Sized]:
    """Yield objects that stand one after the other, each over any number of lines.

    Raises:
        DataError: the JSON is broken; the message names line and column.
    """
    window = Window(text)
    record, at = 0, window.skip(0)
    while at < len(window.text):
        at = window.drop(at)
        if window.text[at] == "," and record:
            raise window.broken("Extra data", at, record)
        found, end = window.take(at, record)
        yield found, end - at, text.position()
        record, at = record + 1, window.skip(end)
