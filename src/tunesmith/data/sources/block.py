"""A block: records of one file that stand together, small enough to be sent to another process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import DataError, RecordError
from ..types import Origin
from . import limits, values
from .encodings import not_utf8
from .json_faults import explain

Found = tuple[dict[str, Any] | RecordError, Origin]
"""A record, or the error that names what is wrong with it, and its place."""


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one file that stand together.

    `end`: how many bytes of the file, as it lies on the disk, were read when the block was complete. `parsed`: the
    records, where reading them is parsing them. `lines`: JSON lines as UTF-8 with LF, which `records` parses;
    `record` and `line` are the numbers of the first of them.
    """

    file: str
    end: int
    parsed: tuple[Found, ...] = ()
    lines: bytes = b""
    record: int = 0
    line: int = 1

    def records(self) -> Iterator[Found]:
        """Yield each record with its place, and in the place of a bad one the RecordError that names it.

        Raises:
            DataError: a line is not UTF-8.
        """
        yield from self.parsed
        if self.lines:
            yield from self._parse()

    def _parse(self) -> Iterator[Found]:
        lines: Iterable[str]
        try:
            lines = self.lines.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            lines = self._decoded_one_by_one()
        record = self.record
        for number, text in enumerate(lines, start=self.line):
            text = text.rstrip(" \t\r\n")
            if text:
                yield _parsed_line(text, origin := Origin(self.file, record, number)), origin
                record += 1

    def _decoded_one_by_one(self) -> Iterator[str]:
        """Yield the lines before the one that is not UTF-8, then raise."""
        for number, data in enumerate(self.lines.split(b"\n"), start=self.line):
            try:
                yield data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(self.file, number, data[error.start]) from None


def _parsed_line(text: str, origin: Origin) -> dict[str, Any] | RecordError:
    try:
        value, end = values.take(text, values.skip(text, 0), origin)
        if end < len(text) and not isinstance(value, RecordError):
            raise json.JSONDecodeError("Extra data", text, end)
        return value
    except json.JSONDecodeError as error:
        reason = f"it is not valid JSON at column {error.pos + 1}:"
        return RecordError(origin, values.WHOLE, reason, explain(error, origin.file))


@dataclass(slots=True)
class Gathering:
    """Records that are parsed while they are read, put together into blocks. `end` as in Block."""

    file: str

    def blocks(self, found: Iterable[tuple[Found, int, int]]) -> Iterator[Block]:
        """Yield the blocks of (record with its place, its size, `end`), those before an error too."""
        parsed: list[Found] = []
        size = end = 0
        try:
            for one, length, end in found:
                parsed.append(one)
                size += length
                if len(parsed) >= limits.BLOCK_RECORDS or size >= limits.BLOCK_SIZE:
                    yield Block(self.file, end, tuple(parsed))
                    parsed, size = [], 0
        except DataError:
            if parsed:
                yield Block(self.file, end, tuple(parsed))
            raise
        if parsed:
            yield Block(self.file, end, tuple(parsed))
