"""What a file is, by its content first and its suffix second, and how its records come out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath
from typing import BinaryIO

from . import limits
from .block import Block, Gathering
from .csv_rows import csv_records
from .encodings import detect
from .foreign import refuse_archive, refuse_packed_table, refuse_text
from .json_elements import list_records, loose_records
from .json_lines import line_blocks
from .plain_text import looks_like_json, text_record
from .tables import arrow_blocks, is_arrow, is_parquet, parquet_blocks
from .text import Text
from .unpack import Unpacked

PACKED = (".gz", ".zst", ".zstd")
"""The suffixes that packing adds to another suffix."""


def suffix(path: str) -> str:
    """Return the suffix that says what is in a file: of "a.jsonl.gz" it is ".jsonl"."""
    name = PurePath(path)
    return (name.with_suffix("") if name.suffix.lower() in PACKED else name).suffix.lower()


def notes(raw: BinaryIO, name: str) -> list[str]:
    """Return what a reader should know about how an opened file is read."""
    if is_parquet(head := _first_bytes(raw)) or is_arrow(head):
        return []
    stream = Unpacked(raw, name)
    encoding = detect(*stream.peek(limits.HEAD))
    return [] if encoding.is_utf8 else [f"read as {encoding.name} (not UTF-8)"]


def file_blocks(raw: BinaryIO, name: str) -> Iterator[Block]:
    """Yield the blocks of an opened file.

    Raises:
        DataError: it is no file of records, or broken.
    """
    head = _first_bytes(raw)
    if is_parquet(head):
        yield from parquet_blocks(name)
    elif is_arrow(head):
        yield from arrow_blocks(name)
    else:
        yield from _text_blocks(Unpacked(raw, name))


def _first_bytes(raw: BinaryIO) -> bytes:
    head = raw.read(8)
    raw.seek(0)
    return head


def _text_blocks(stream: Unpacked) -> Iterator[Block]:
    name, kind = stream.name, suffix(stream.name)
    head, whole = stream.peek(limits.HEAD)
    while not whole and not head.strip() and len(head) <= limits.MAX_RECORD:
        head, whole = stream.peek(2 * len(head))
    if is_parquet(head) or is_arrow(head):
        refuse_packed_table(name, stream.packing)
    encoding = detect(head, whole)
    if encoding.is_utf8:
        refuse_archive(head, name)
    text = Text(stream, encoding)
    start = _start(head[encoding.mark :], encoding.codec)
    if kind in (".txt", ".md") and start and not looks_like_json(start):
        refuse_text(start, name, prose=True)
        yield from Gathering(name).blocks(text_record(text))
    elif kind in (".csv", ".tsv") and start and start.lstrip()[:1] not in ("[", "{"):
        refuse_text(start, name, prose=True)
        yield from Gathering(name).blocks(csv_records(text, "\t" if kind == ".tsv" else None))
    else:
        refuse_text(start, name)
        if start.lstrip().startswith("["):
            yield from Gathering(name).blocks(list_records(text))
        elif _holds_lines(_first_lines(stream, encoding.codec, encoding.mark)):
            yield from line_blocks(text)
        else:
            yield from Gathering(name).blocks(loose_records(text))


def _start(head: bytes, codec: str) -> str:
    """Return the text that the first bytes hold; the reading that follows names a broken character."""
    return head.decode(codec, "replace").replace("\r\n", "\n").replace("\r", "\n")


def _first_lines(stream: Unpacked, codec: str, mark: int) -> str:
    """Return the beginning of the text with at least one whole line, if it is not absurdly long."""
    size = limits.HEAD
    while True:
        head, whole = stream.peek(size)
        text = _start(head[mark:], codec)
        if whole or "\n" in text.lstrip() or size > limits.MAX_RECORD:
            return text
        size = 2 * len(head)


def _holds_lines(text: str) -> bool:
    """Tell whether one of the first two lines that are not blank is an object by itself."""
    filled = (line for line in _each_line(text) if line.strip(" \t"))
    for line in islice(filled, 2):
        try:
            if isinstance(json.loads(line), dict):
                return True
        except (ValueError, RecursionError):
            continue  # the parse that follows says what is wrong
    return False


def _each_line(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[at:end]
        at = end + 1
