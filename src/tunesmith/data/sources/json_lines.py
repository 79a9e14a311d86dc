"""JSON lines as blocks: found by their line ends, not parsed, so that this costs nearly nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DataError
from . import limits
from .block import Block
from .text import Text

_SAMPLE = 1 << 16


def line_blocks(text: Text) -> Iterator[Block]:
    """Yield the lines of a text in blocks; only lines that are not blank count as records.

    Raises:
        DataError: a line is longer than a record may be.
    """
    record, line = 0, 1
    for data in _whole_lines(text):
        for part in _parts(data):
            lines = part.split(b"\n")
            block = Block(text.name, text.position(), lines=part, record=record, line=line)
            if filled := sum(1 for one in lines if one.strip(b" \t\r")):
                yield block
            record, line = record + filled, line + len(lines) - 1


def _whole_lines(text: Text) -> Iterator[bytes]:
    """Cut the text at line ends only."""
    held: list[bytes] = []
    size, line = 0, 1
    for data in text.utf8():
        cut = data.rfind(b"\n") + 1
        if cut:
            whole = b"".join((*held, data[:cut]))
            held, size, line = [], 0, line + whole.count(b"\n")
            yield whole
        if rest := data[cut:]:
            held.append(rest)
            size += len(rest)
        if size > limits.MAX_RECORD:
            raise DataError(
                f"{text.name}, line {line}: the line is longer than {limits.mebibytes(limits.MAX_RECORD)}, which is "
                "the limit for one record. Is a line break missing between records? Write one object a line."
            )
    if held:
        yield b"".join(held)


def _parts(data: bytes) -> Iterator[bytes]:
    """Cut lines into parts of about BLOCK_RECORDS records, by the length of the first lines."""
    sample = min(len(data), _SAMPLE)
    step = min(limits.BLOCK_SIZE, sample * limits.BLOCK_RECORDS // (data.count(b"\n", 0, sample) + 1) + 1)
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + step) + 1 or len(data)
        yield data if end - at == len(data) else data[at:end]
        at = end
